// Package wait has the ways in which a Checkpointer waits: with backoff until a
// store answers, for goroutines to end, for many calls of which only so many run
// at a time, and under deadlines that many calls share.
package wait

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/durablestate/durable/internal/store"
)

const (
	shortest = 50 * time.Millisecond
	longest  = 5 * time.Second
)

// Patience is for how long an answer is awaited before that is told.
const Patience = 3 * time.Second

var errSilent = fmt.Errorf("the store has not answered for %s", Patience)

// ForAnswer calls ask until that has done what it was to do, also if below the
// configured durability, or will never do it. In between it sleeps longer and
// longer, with decorrelated jitter, after it has told silent what kept ask from an
// answer; a call that takes long is told as well, from another goroutine. The end of
// ctx is the caller's doing and not told. ForAnswer returns what ask returned last,
// which is no answer when ctx ended, with the reason before that.
func ForAnswer(ctx context.Context, silent func(error), ask func() error) error {
	var before error
	for last := shortest; ; {
		err := watched(silent, ask)
		if store.IsStored(err) || store.IsAnswer(err) {
			return err
		}
		if ctx.Err() != nil {
			if before != nil && errors.Is(err, ctx.Err()) {
				err = fmt.Errorf("%w; before that: %w", err, before)
			}
			return err
		}
		silent(err)
		before = err
		last = min(longest, Jitter(shortest, 3*last))
		if !Sleep(ctx, last) {
			return err
		}
	}
}

// watched calls ask, and silent once while it takes long, but never after it.
func watched(silent func(error), ask func() error) error {
	told := make(chan struct{})
	t := time.AfterFunc(Patience, func() {
		defer close(told)
		silent(errSilent)
	})
	defer func() {
		if !t.Stop() {
			<-told
		}
	}()
	return ask()
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

// Until waits for done, and reports whether that came before ctx ended.
func Until(ctx context.Context, done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	case <-ctx.Done():
	}
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// Each calls do for each of n, in order, at most width at a time, and awaits them.
func Each(n, width int, do func(i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(width, n) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				do(int(i))
			}
		})
	}
	wg.Wait()
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

// Routines are goroutines whose end can be awaited; safe for concurrent use.
type Routines struct {
	mu      sync.Mutex
	running int
	over    bool
	idle    chan struct{} // closed when over and none is running
}

// NewRoutines returns Routines of which none is running.
func NewRoutines() *Routines { return &Routines{idle: make(chan struct{})} }

// Go runs fn in a goroutine, or returns false after End.
func (r *Routines) Go(fn func()) bool {
	if !r.Enter() {
		return false
	}
	go func() {
		defer r.Exit()
		fn()
	}()
	return true
}

// Enter counts a goroutine that ends with Exit, or returns false after End.
func (r *Routines) Enter() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.over {
		r.running++
	}
	return !r.over
}

// Exit is the end of what Enter counted.
func (r *Routines) Exit() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running--
	if r.over && r.running == 0 {
		close(r.idle)
	}
}

// Over reports that nothing may begin any more.
func (r *Routines) Over() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.over
}

// End, called once, lets none begin any more. What it returns is closed by the last.
func (r *Routines) End() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	if r.running == 0 {
		close(r.idle)
	}
	return r.idle
}
