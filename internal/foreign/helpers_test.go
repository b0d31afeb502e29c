package foreign_test

import (
	"bytes"
	"errors"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/foreign"
)

// goroutine returns the number of the goroutine that calls it.
func goroutine() string {
	b := make([]byte, 64)
	return string(bytes.Fields(b[:runtime.Stack(b, false)])[1])
}

func TestOneHelperMakesCallAfterCallUntilOneEndsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p foreign.Helpers
		defer p.End()
		where := func() (id string) {
			require.NoError(t, p.Call("X", func() error { id = goroutine(); return nil }))
			return id
		}
		first := where()
		require.NotEqual(t, goroutine(), first)
		require.ErrorContains(t, p.Call("X", func() error { panic("boom") }), "boom")
		require.EqualError(t, p.Call("X", func() error { return errors.New("plain") }), "plain")
		require.Equal(t, first, where())
		require.ErrorContains(t, p.Call("X", func() error { runtime.Goexit(); return nil }), "X ended its goroutine")
		require.NotEqual(t, first, where())
	})
}

func TestNoHelperIsLeftWhenNobodyCalls(t *testing.T) {
	for name, end := range map[string]func(*foreign.Helpers){"End": (*foreign.Helpers).End, "time": func(*foreign.Helpers) { time.Sleep(3 * time.Second) }} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // fails when a goroutine is left over
				var p foreign.Helpers
				before, gate := runtime.NumGoroutine(), make(chan struct{})
				var calls sync.WaitGroup
				for range 100 {
					calls.Go(func() { _ = p.Call("X", func() error { <-gate; return nil }) })
				}
				synctest.Wait()
				close(gate)
				calls.Wait()
				synctest.Wait()
				require.LessOrEqual(t, runtime.NumGoroutine(), before+16, "the others are not kept")
				end(&p)
				synctest.Wait()
				require.LessOrEqual(t, runtime.NumGoroutine(), before)
				require.NoError(t, p.Call("X", func() error { return nil }))
				p.End()
				require.NoError(t, p.Call("X", func() error { return nil }), "still works")
			})
		})
	}
}

func TestACallThatHangsWhenHelpersEndHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p foreign.Helpers
		gate, done := make(chan struct{}), make(chan error)
		go func() { done <- p.Call("X", func() error { <-gate; return nil }) }()
		synctest.Wait()
		p.End()
		close(gate)
		require.NoError(t, <-done)
	})
}

func TestAListenerGetsItsHelperBackAfterItHung(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p foreign.Helpers
		defer p.End()
		l := foreign.Listener{Calls: &p}
		for range 3 {
			require.NoError(t, l.Tell("X", func() {}))
			require.Error(t, l.Tell("X", func() { time.Sleep(2 * foreign.Patience) }))
			time.Sleep(2 * foreign.Patience)
			begin := time.Now()
			require.NoError(t, l.Tell("X", func() { time.Sleep(foreign.Patience / 2) }), "the whole of its time")
			require.Equal(t, foreign.Patience/2, time.Since(begin))
		}
	})
}

func TestACallMakesNoGarbage(t *testing.T) {
	var p foreign.Helpers
	defer p.End()
	fn := func() error { return nil }
	require.Zero(t, testing.AllocsPerRun(1000, func() { _ = p.Call("X", fn) }))
}

func BenchmarkHelpers(b *testing.B) {
	var p foreign.Helpers
	defer p.End()
	b.ReportAllocs()
	for b.Loop() {
		_ = p.Call("X", func() error { return nil })
	}
}
