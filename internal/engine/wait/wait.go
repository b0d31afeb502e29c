// Package wait has the ways in which a Checkpointer waits: with backoff until a
// store answers, for goroutines to end, for many calls of which only so many run
// at a time, and under deadlines that many calls share.
package wait

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/durablestate/durable/internal/store"
)

const (
	shortest = 50 * time.Millisecond
	longest  = 5 * time.Second
)

// ForAnswer calls ask until that succeeds or its error is an answer, which asking
// again would not change. In between it sleeps longer and longer, with
// decorrelated jitter, after it has told silent what kept ask from an answer. It
// returns what ask returned last, which is no answer when ctx ended.
func ForAnswer(ctx context.Context, silent func(error), ask func() error) error {
	for last := shortest; ; {
		err := ask()
		if err == nil || store.IsAnswer(err) {
			return err
		}
		silent(err)
		last = min(longest, Jitter(shortest, 3*last))
		if !Sleep(ctx, last) {
			return err
		}
	}
}

// Sleep returns false when ctx ended.
func Sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// Jitter returns a random duration between lo and hi.
func Jitter(lo, hi time.Duration) time.Duration {
	if hi <= lo {
		return lo
	}
	return lo + rand.N(hi-lo)
}

// Deadlines gives calls of an adapter a context with a limit. Calls that begin
// within a short time share one: making one, with a timer, for each would cost
// more than the rest of a save. It is safe for concurrent use.
type Deadlines struct {
	parent context.Context
	limit  time.Duration
	newest atomic.Pointer[shared]
}

type shared struct {
	ctx   context.Context
	end   context.CancelFunc // left to the limit and to parent: others use ctx too
	began time.Time
}

// shortOf is the part of the limit by which a call's time may be shorter.
const shortOf = 100

// NewDeadlines returns those of calls that end with parent, or after limit.
func NewDeadlines(parent context.Context, limit time.Duration) *Deadlines {
	return &Deadlines{parent: parent, limit: limit}
}

// Parent returns what ends all calls.
func (d *Deadlines) Parent() context.Context { return d.parent }

// Begin returns the context of a call that begins now. One that is over is not
// given out again: it is too old by then, or parent is over too.
func (d *Deadlines) Begin(now time.Time) context.Context {
	s := d.newest.Load()
	if s == nil || now.Sub(s.began) > d.limit/shortOf {
		s = &shared{began: now}
		s.ctx, s.end = context.WithTimeout(d.parent, d.limit)
		d.newest.Store(s)
	}
	return s.ctx
}
