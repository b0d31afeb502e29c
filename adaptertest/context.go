package adaptertest

import (
	"context"
	"fmt"
	"time"

	"github.com/durablestate/durable"
)

var contextRules = []rule{
	{"a call whose context has ended fails, and says nothing about the state",
		"return ctx.Err() (wrapped) when the context has ended; an outage is not a conflict and not an absence",
		func(e *env) {
			s := e.saves(snap(1, 1, "one"))
			ctx, cancel := context.WithCancel(e.ctx)
			cancel()
			for _, c := range append(stateCalls(e.a, e.id), leaseCalls(e.a, e.id)...) {
				e.failed(c.name+" with a cancelled context", e.soon(ctx, c))
			}
			e.holds(s)
			e.saves(s)
		}},
	{"a save whose context ends is stored whole or not at all",
		"make the write one atomic step; after an unknown outcome the same save again either is recognised or is stored",
		func(e *env) {
			var before *durable.Snapshot
			for v := uint64(1); v <= 25; v++ {
				s := snap(1, v, fmt.Sprintf("version %d %01000d", v, v))
				ctx, cancel := context.WithTimeout(e.ctx, time.Duration(v*v)*time.Microsecond)
				err := e.a.SaveState(ctx, e.id, s)
				cancel()
				e.wholeOrNot(s, before, err)
				e.saves(s)
				e.holds(s)
				before = s
			}
		}},
}

// wholeOrNot checks that what is stored after SaveState of s returned err is s
// or, if that failed, before. A late write may still come afterwards.
func (e *env) wholeOrNot(s, before *durable.Snapshot, err error) {
	e.Helper()
	if err != nil {
		e.failed("SaveState with a context that ends", err)
	}
	got, loadErr := e.a.LoadState(e.ctx, e.id)
	switch {
	case err != nil && before == nil && loadErr != nil:
		e.answers("LoadState", loadErr, durable.ErrNotFound)
	case err != nil && before != nil && loadErr == nil && got.Version == before.Version:
		e.same("LoadState", got, before, before.Version)
	default:
		e.same("LoadState", e.found("LoadState", got, loadErr), s, s.Version)
	}
}

// soon makes the call, which must return although nobody else helps it.
func (e *env) soon(ctx context.Context, c call) error {
	e.Helper()
	done := make(chan error, 1)
	go func() { done <- c.do(ctx) }()
	select {
	case err := <-done:
		return err
	case <-time.After(patience):
		e.broken("%s did not return within %s", c.name, patience)
		return nil
	}
}
