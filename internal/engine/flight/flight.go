// Package flight makes many calls out of few: at most one call of a task is under
// way, and whoever comes meanwhile shares the next one. A [Crew] runs so many
// calls at a time.
package flight

import (
	"context"
	"sync"
)

// A Task is what a flight is a call of.
type Task interface {
	sync.Locker          // guards the Line
	Line() *Line         // of the task's own; always the same
	Fly(f *Flight) error // is called by a Crew, never twice at a time
}

// A Line has the flights of one task. Its zero value has none.
type Line struct {
	last *Flight // that was asked for last; nil: none is under way
}

// Idle reports that no flight is under way. The caller holds the task's lock.
func (l *Line) Idle() bool { return l.last == nil }

// Quiet reports that no flight is under way any more, or that it has come to its
// end. The caller holds the task's lock.
func (l *Line) Quiet() bool { return l.last == nil || l.last.Over() }

// Last returns the flight that was asked for last, nil when none is under way.
// The caller holds the task's lock.
func (l *Line) Last() *Flight { return l.last }

// Flight is one call that any number of callers wait for.
type Flight struct {
	task  Task
	room  int  // bytes that the crew counts for it
	begun bool // guarded by the task's lock

	mu   sync.Mutex
	over bool
	err  error         // valid once over
	done chan struct{} // made by the first who has to wait
}

// Done returns a flight that has come to its end.
func Done(err error) *Flight { return &Flight{over: true, err: err} }

func (f *Flight) finish(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over, f.err = true, err
	if f.done != nil {
		close(f.done)
	}
}

// Over reports that the flight has come to its end.
func (f *Flight) Over() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.over
}

// ended returns what is closed at the flight's end, nil when that has come.
func (f *Flight) ended() <-chan struct{} {
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

// Wait returns what the call returned, or the error of ctx if that ends first.
func (f *Flight) Wait(ctx context.Context) error {
	if done := f.ended(); done != nil {
		select {
		case <-done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return f.err
}
