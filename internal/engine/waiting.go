package engine

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/durablestate/durable/internal/engine/wait"
	"github.com/durablestate/durable/internal/store"
)

// waitRepeat is how often the log says again what is waited for.
const waitRepeat = 10 * time.Minute

// waiting is what a Restore waits for: for Health, and for the log, which says it
// within seconds and then rarely. A store that cannot be reached is a warning. So
// is another's lease that was not given up in a moment, once: after that a standby
// is in order. It is safe for concurrent use.
type waiting struct {
	log *slog.Logger

	mu     sync.Mutex
	err    error     // nil: nothing
	what   string    // is waited for
	since  time.Time // that is waited for
	said   time.Time // zero: not yet
	warned bool
}

// on notes that err keeps a Restore from going on, nil: nothing does.
func (w *waiting) on(err error) {
	now := time.Now()
	w.mu.Lock()
	before, since, told := w.what, w.since, !w.said.IsZero()
	w.err = err
	level, say := w.next(err, now)
	what, began := w.what, w.since
	w.mu.Unlock() // a log handler may hang
	switch {
	case say:
		w.log.Log(context.Background(), level, "durable: a restore waits for "+what, "for", now.Sub(began).Round(time.Second), "error", err)
	case err == nil && told:
		w.log.Info("durable: a restore need not wait any more for "+before, "after", now.Sub(since).Round(time.Millisecond))
	}
}

// next takes err in and returns whether the log says so now. w.mu is held.
func (w *waiting) next(err error, now time.Time) (level slog.Level, say bool) {
	what, held := "", errors.Is(err, store.ErrLeaseHeld)
	switch {
	case held:
		what = "the lease of another holder"
	case err != nil:
		what = "the store"
	}
	if what != w.what {
		w.what, w.since, w.said, w.warned = what, now, time.Time{}, false
	}
	warn := !held || now.Sub(w.since) >= wait.Patience && !w.warned
	if warn {
		level = slog.LevelWarn
	}
	say = err != nil && (w.said.IsZero() || warn && !w.warned || now.Sub(w.said) >= waitRepeat)
	if say {
		w.said, w.warned = now, w.warned || warn
	}
	return level, say
}

// why returns what a Restore waits for, nil: nothing.
func (w *waiting) why() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}
