package durable

import (
	"context"
	"sync/atomic"
	"time"
)

// shifts gives calls of the adapter a context with a limit. Calls that begin
// within a short time share one: making one, with a timer, for each would cost
// more than the rest of a save.
type shifts struct {
	parent context.Context
	limit  time.Duration
	newest atomic.Pointer[shift]
}

type shift struct {
	ctx   context.Context
	end   context.CancelFunc // left to the limit and to parent: others use ctx too
	began time.Time
}

// shortOf is the part of the limit by which a call's time may be shorter.
const shortOf = 100

// begin returns the context of a call that begins now. One that is over is not
// given out again: it is too old by then, or parent is over too.
func (s *shifts) begin(now time.Time) context.Context {
	n := s.newest.Load()
	if n == nil || now.Sub(n.began) > s.limit/shortOf {
		n = &shift{began: now}
		n.ctx, n.end = context.WithTimeout(s.parent, s.limit)
		s.newest.Store(n)
	}
	return n.ctx
}
