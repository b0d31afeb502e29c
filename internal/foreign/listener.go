package foreign

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"
)

// Patience is for how long whoever tells a [Listener] something waits for it.
const Patience = time.Second

var (
	errSlow = errors.New("it does not return; nothing more is told until it does")
	errDeaf = errors.New("an earlier call has not returned")
)

// Listener is foreign code that is told what happens, and that nobody needs an answer
// from: nobody waits for it longer than Patience. While a call has not returned after
// that, nothing else is told. It is safe for concurrent use.
type Listener struct {
	Calls *Helpers // in which it is called

	hung atomic.Int64 // calls that nobody waits for any more
}

// Deaf reports that err, of Tell, was told before.
func Deaf(err error) bool { return errors.Is(err, errDeaf) }

// Tell calls fn like [Call], as far as anybody waits for it.
func (l *Listener) Tell(in string, fn func()) error {
	if l.hung.Load() > 0 {
		return errDeaf
	}
	h := l.Calls.ask(in, func() error { fn(); return nil })
	if h.timer == nil {
		h.timer = time.NewTimer(Patience)
	} else {
		h.timer.Reset(Patience)
	}
	select {
	case err := <-h.done:
		h.timer.Stop()
		return l.Calls.take(h, err)
	case <-h.timer.C:
	}
	l.hung.Add(1)
	go func() {
		_ = l.Calls.take(h, <-h.done)
		l.hung.Add(-1)
	}()
	return errSlow
}

// Logger returns a logger that hands what it is told to the handler of l as to a
// [Listener]: what that does wrong costs a line, and nothing else.
func Logger(l *slog.Logger) *slog.Logger {
	if l.Handler() == slog.DiscardHandler {
		return l
	}
	return slog.New(&handler{h: l.Handler(), told: &Listener{}})
}

// handler is the handler h, told of records.
type handler struct {
	h    slog.Handler
	told *Listener
}

func (h *handler) Enabled(ctx context.Context, level slog.Level) bool {
	var enabled bool
	err := h.told.Tell("slog.Handler.Enabled", func() { enabled = h.h.Enabled(ctx, level) })
	return err == nil && enabled
}

func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	var err error
	if failed := h.told.Tell("slog.Handler.Handle", func() { err = h.h.Handle(ctx, r) }); failed != nil {
		return failed // err may yet be written
	}
	return err
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.with(func() slog.Handler { return h.h.WithAttrs(attrs) })
}

func (h *handler) WithGroup(name string) slog.Handler {
	return h.with(func() slog.Handler { return h.h.WithGroup(name) })
}

// with returns what makes of the handler, and h itself when that fails.
func (h *handler) with(makes func() slog.Handler) slog.Handler {
	var n slog.Handler
	if err := h.told.Tell("slog.Handler.With", func() { n = makes() }); err != nil || n == nil {
		return h
	}
	return &handler{h: n, told: h.told}
}
