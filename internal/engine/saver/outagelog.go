package saver

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/durablestate/durable/internal/store"
)

// Outages are what may go wrong with any number of components at a time, by what
// can be done about it: each kind has a line of its own in the log when it begins and
// when it is over, so that none hides another. They are safe for concurrent use.
type Outages struct {
	down    *Outage // the store cannot be reached
	below   *Outage // it confirms less than configured
	lasting *Outage // it answers, and waiting will not help
	stuck   *Outage // a component does not give its state
}

// NewOutages returns Outages of which none has begun.
func NewOutages(log *slog.Logger) *Outages {
	return &Outages{
		down:    newOutage(log, "state cannot be saved or read", "all state can be saved and read again"),
		below:   newOutage(log, "what is stored is confirmed below the configured durability", "everything is stored as durably as configured again"),
		lasting: newOutage(log, "the store does not take a state, and waiting will not help", "the store takes every state again"),
		stuck:   newOutage(log, "a component cannot be saved, because it does not give its state", "every component can be saved again"),
	}
}

// Note takes in how the last call for a component ended.
func (o *Outages) Note(id string, err error) {
	var begun *Outage
	switch {
	case err == nil:
	case errors.As(err, new(stuckError)):
		begun = o.stuck
	case store.ClassOf(err) == store.BelowLevel:
		begun = o.below
	case store.ClassOf(err) == store.Permanent:
		begun = o.lasting
	default:
		begun = o.down
	}
	for _, kind := range []*Outage{o.down, o.below, o.lasting, o.stuck} {
		if kind == begun {
			kind.Begin(id, err)
		} else {
			kind.Over(id)
		}
	}
}

// GoOn notes err, of a call that is no save, and returns nil for one that has done
// what it was to do: below the configured durability is told, not waited for.
func (o *Outages) GoOn(id string, err error) error {
	switch store.ClassOf(err) {
	case store.Done:
		o.below.Over(id)
		return nil
	case store.BelowLevel:
		o.below.Begin(id, err)
		return nil
	}
	return err
}

// Reached notes that the store gave an answer about a component.
func (o *Outages) Reached(id string) { o.down.Over(id) }

// Outage turns the failures of any number of components into one log line on the
// way down and one on the way up. It is safe for concurrent use.
type Outage struct {
	log      *slog.Logger
	down, up string

	any    atomic.Bool // failed is not empty
	mu     sync.Mutex
	failed map[string]bool
	since  time.Time
	most   int
}

// newOutage returns an outage that has not begun, of which the log says down when
// it begins, and up when it is over.
func newOutage(log *slog.Logger, down, up string) *Outage {
	return &Outage{log: log, down: "durable: " + down + "; components go on, and it is tried again", up: "durable: " + up, failed: map[string]bool{}}
}

// Begin notes that a component failed. It logs without the lock, as Over does: a
// handler that hangs must not hold up the saves of others.
func (o *Outage) Begin(id string, err error) {
	o.mu.Lock()
	first := len(o.failed) == 0
	if first {
		o.since, o.most = time.Now(), 0
	}
	o.failed[id] = true
	o.any.Store(true)
	o.most = max(o.most, len(o.failed))
	o.mu.Unlock()
	if first {
		o.log.Warn(o.down, "component", id, "error", err)
	}
}

// Over notes that a component did not fail.
func (o *Outage) Over(id string) {
	if !o.any.Load() {
		return
	}
	o.mu.Lock()
	last := len(o.failed) == 1 && o.failed[id]
	delete(o.failed, id)
	if last {
		o.any.Store(false)
		o.failed = map[string]bool{} // a map that was large stays large
	}
	took, most := time.Since(o.since), o.most
	o.mu.Unlock()
	if last {
		o.log.Info(o.up, "after", took.Round(time.Millisecond), "components", most)
	}
}
