package saver

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

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

// NewOutage returns an outage that has not begun, of which the log says down when
// it begins, and up when it is over.
func NewOutage(log *slog.Logger, down, up string) *Outage {
	return &Outage{log: log, down: down, up: up, failed: map[string]bool{}}
}

// Begin notes that a component failed.
func (o *Outage) Begin(id string, err error) {
	if o.add(id) {
		o.log.Warn("durable: "+o.down+"; components go on, and it is tried again", "component", id, "error", err)
	}
}

// add reports whether id is the first to fail. No lock is held while anything is
// logged: a handler that hangs must not hold up the saves of others.
func (o *Outage) add(id string) (first bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	first = len(o.failed) == 0
	if first {
		o.since, o.most = time.Now(), 0
	}
	o.failed[id] = true
	o.any.Store(true)
	o.most = max(o.most, len(o.failed))
	return first
}

// Over notes that a component did not fail.
func (o *Outage) Over(id string) {
	if !o.any.Load() {
		return
	}
	if took, most, last := o.remove(id); last {
		o.log.Info("durable: "+o.up, "after", took.Round(time.Millisecond), "components", most)
	}
}

// remove reports whether id was the last that failed, for how long some did, and
// how many at most.
func (o *Outage) remove(id string) (took time.Duration, most int, last bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.failed[id] {
		return 0, 0, false
	}
	delete(o.failed, id)
	if len(o.failed) > 0 {
		return 0, 0, false
	}
	o.any.Store(false)
	o.failed = map[string]bool{} // a map that was large stays large
	return time.Since(o.since), o.most, true
}
