package durable

import (
	"context"
	"time"
)

// flight is one save that any number of callers wait for.
type flight struct {
	done chan struct{}
	err  error // valid once done is closed
}

func newFlight() *flight { return &flight{done: make(chan struct{})} }

func landed(err error) *flight {
	f := newFlight()
	f.land(err)
	return f
}

func (f *flight) land(err error) {
	f.err = err
	close(f.done)
}

func (f *flight) landed() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

func (f *flight) wait(ctx context.Context) error {
	select {
	case <-f.done:
		return f.err
	default:
	}
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// save implements host.
func (m *member) save(ctx context.Context) error {
	s := m.saver()
	if ctx.Done() != nil {
		return s.request().wait(ctx)
	}
	if s.c.closing.Err() != nil {
		return s.fail("save", ErrClosed)
	}
	f, lead := s.board(s.c.workers.lead)
	if lead {
		s.c.workers.run(s)
	}
	return f.wait(ctx)
}

// request returns a flight that covers every change made so far. It is the way
// in for everybody but Close.
func (m *member) request() *flight {
	if m.c.closing.Err() != nil {
		return landed(m.fail("save", ErrClosed))
	}
	return m.enqueue()
}

func (m *member) enqueue() *flight {
	f, _ := m.board(func(m *member) (ok, lead bool) { return m.c.workers.add(m), false })
	return f
}

// board returns the flight that waits, or a new one that hand gives to the workers.
// lead is what hand said of it.
func (m *member) board(hand func(*member) (ok, lead bool)) (f *flight, lead bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.waiting != nil {
		return m.waiting, false // it has not begun, so it will cover this change too
	}
	f = newFlight()
	m.waiting, m.newest = f, f
	if !m.busy {
		m.busy, lead = hand(m)
		if !m.busy {
			m.waiting = nil
			f.land(m.fail("save", ErrClosed))
		}
	}
	return f, lead
}

// tick is a scheduled checkpoint. One that comes while a save is under way is
// left out.
func (m *member) tick(now time.Time) {
	m.mu.Lock()
	idle := m.gate == nil && !m.busy
	m.mu.Unlock()
	if idle && !m.look(now) {
		m.request()
	}
}

// look reports that there is nothing to do, because every change made so far is
// stored and the stored copy need not be refreshed yet.
func (m *member) look(now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.busy || m.gate != nil || !m.current(now) {
		return false
	}
	m.status.Skips++
	m.good = now
	return true
}

// work lands the flight that waits, and returns m when another one came meanwhile.
func (m *member) work() (again *member) {
	m.mu.Lock()
	f := m.waiting
	m.waiting = nil // whoever comes from here on needs another flight
	m.mu.Unlock()
	f.land(m.attemptSave())
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.busy = m.waiting != nil; m.busy {
		again = m
	}
	return again
}
