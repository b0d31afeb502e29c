package foreign_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/foreign"
)

// rude is an error that panics when it is asked.
type rude struct{}

func (*rude) Error() string { panic("no text") }

// vague is an error that ends whoever compares it.
type vague struct{}

func (vague) Error() string { return "vague" }
func (vague) Is(error) bool { runtime.Goexit(); return false }

// ring is an error that wraps itself, twice.
type ring struct{}

func (ring) Error() string   { return "ring" }
func (ring) Unwrap() []error { return []error{ring{}, ring{}} }

// loop is an error that wraps itself.
type loop struct{}

func (loop) Error() string { return "loop" }
func (loop) Unwrap() error { return loop{} }

// loud is a value that panics when it is printed.
type loud struct{}

func (loud) String() string { runtime.Goexit(); return "" }

func TestWhatForeignCodeDoesOtherThanReturnIsTheErrorOfThatCall(t *testing.T) {
	plain := errors.New("plain")
	for name, c := range map[string]struct {
		fn   func() error
		text string
	}{
		"error":                   {func() error { return plain }, "plain"},
		"panic":                   {func() error { panic("boom") }, "panic in X: boom"},
		"panic with nil":          {func() error { panic(nil) }, "panic in X"},
		"long panic":              {func() error { panic(strings.Repeat("x", 1000)) }, "panic in X: " + strings.Repeat("x", 200)},
		"value that is not told":  {func() error { panic(loud{}) }, "panic in X"},
		"goexit":                  {func() error { runtime.Goexit(); return nil }, "X ended its goroutine"},
		"goexit in a defer":       {func() error { defer runtime.Goexit(); return nil }, "X ended its goroutine"},
		"goexit after a panic":    {func() error { defer runtime.Goexit(); panic("boom") }, "X ended its goroutine"},
		"typed nil":               {func() error { return (*rude)(nil) }, "panic in X: no text"},
		"error that wraps itself": {func() error { return loop{} }, "wraps itself"},
		"error with no end":       {func() error { return fmt.Errorf("%w and %w", plain, ring{}) }, "wraps itself"},
		"error that ends callers": {func() error { return vague{} }, "X ended its goroutine"},
	} {
		err := foreign.Call("X", c.fn)
		require.ErrorContains(t, err, c.text, name)
		require.LessOrEqual(t, len(err.Error()), 220, name)
	}
	require.NoError(t, foreign.Call("X", func() error { return nil }))
	require.Equal(t, plain, foreign.Call("X", func() error { return plain }), "as it is")
	require.Contains(t, foreign.Stack(foreign.Call("X", func() error { panic("boom") })), "foreign_test.go")
	require.Empty(t, foreign.Stack(plain))
}

func TestAListenerThatHangsHoldsNobodyUpForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l foreign.Listener
		turn, heard := make(chan struct{}), 0
		begin := time.Now()
		err := l.Tell("X", func() { <-turn })
		require.Error(t, err)
		require.False(t, foreign.Deaf(err), "the first one is to be told")
		require.True(t, foreign.Deaf(l.Tell("X", func() { heard++ })))
		require.LessOrEqual(t, time.Since(begin), foreign.Patience)
		close(turn)
		synctest.Wait()
		require.NoError(t, l.Tell("X", func() { heard++ }))
		require.Equal(t, 1, heard)
	})
}

// handler is a log handler that does fn with every record.
type handler struct{ fn func() }

func (h handler) Enabled(context.Context, slog.Level) bool  { h.fn(); return true }
func (h handler) Handle(context.Context, slog.Record) error { h.fn(); return nil }
func (h handler) WithAttrs([]slog.Attr) slog.Handler        { h.fn(); return nil }
func (h handler) WithGroup(string) slog.Handler             { h.fn(); return h }

func TestALogHandlerThatDoesNotReturnCostsALineOnly(t *testing.T) {
	for name, fn := range map[string]func(){
		"panic": func() { panic("boom") }, "goexit": runtime.Goexit, "hang": func() { select {} }, "nothing": func() {},
	} {
		t.Run(name, func(t *testing.T) {
			begin := time.Now()
			l := foreign.Logger(slog.New(handler{fn}))
			l.With("a", 1).WithGroup("b").Info("text")
			l.Error("text")
			require.Less(t, time.Since(begin), 4*foreign.Patience)
		})
	}
	quiet := slog.New(slog.DiscardHandler)
	require.Same(t, quiet, foreign.Logger(quiet), "it needs no care")
}

func BenchmarkCall(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		_ = foreign.Call("X", func() error { return nil })
	}
}
