package durable

import (
	"context"
	"sync"
	"time"
)

// flight is one save that any number of callers wait for.
type flight struct {
	m     *member
	room  int  // bytes that the workers count for its state
	begun bool // guarded by the member's mu

	mu   sync.Mutex
	over bool
	err  error         // valid once over
	done chan struct{} // made by the first who has to wait
}

func landed(err error) *flight { return &flight{over: true, err: err} }

func (f *flight) land(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over, f.err = true, err
	if f.done != nil {
		close(f.done)
	}
}

func (f *flight) landed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.over
}

// landing returns what is closed when the flight has landed, nil when it has.
func (f *flight) landing() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over {
		return nil
	}
	if f.done == nil {
		f.done = make(chan struct{})
	}
	return f.done
}

func (f *flight) wait(ctx context.Context) error {
	if done := f.landing(); done != nil {
		select {
		case <-done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return f.err
}

// save saves the component's state as it is at the time of the call or later and
// returns when that is durable, or ctx ends.
func (m *member) save(ctx context.Context) error {
	return m.saver().request().wait(ctx)
}

// request returns a flight that covers every change made so far. It is the way
// in for everybody but Close.
func (m *member) request() *flight {
	if m.c.closing.Err() != nil {
		return landed(m.fail("save", ErrClosed))
	}
	return m.enqueue()
}

// enqueue returns the flight that waits, or a new one, which it gives to the
// workers unless one of the member is under way: then it follows that one.
func (m *member) enqueue() *flight {
	m.mu.Lock()
	defer m.mu.Unlock()
	busy := m.flight != nil
	if busy && !m.flight.begun {
		return m.flight // it will cover this change too
	}
	f := &flight{m: m}
	if !busy && !m.c.workers.hand(f) {
		f.land(m.fail("save", ErrClosed))
		return f
	}
	m.flight = f
	return f
}

// tick is a scheduled checkpoint. One that comes while a save is under way is
// left out.
func (m *member) tick(now time.Time) {
	if !m.look(now, true) {
		m.request()
	}
}

// look reports that there is nothing to do, because every change made so far is
// stored and the stored copy need not be refreshed yet; or, for who is not in a
// hurry, because a save is under way or impossible.
func (m *member) look(now time.Time, idly bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.flight != nil || m.phase != phaseOpen {
		return idly
	}
	if !m.current(now) {
		return false
	}
	m.skips++
	m.good = m.c.instant(now)
	return true
}

// fly lands the flight, and returns another one that came meanwhile.
func (f *flight) fly() (again *flight) {
	m := f.m
	m.mu.Lock()
	f.begun = true // whoever comes from here on needs another flight
	m.mu.Unlock()
	err := m.attemptSave(f)
	f.land(err)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.flight != f {
		return m.flight
	}
	m.flight = nil
	return nil
}
