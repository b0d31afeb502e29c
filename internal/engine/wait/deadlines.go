package wait

import (
	"context"
	"sync/atomic"
	"time"
)

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
