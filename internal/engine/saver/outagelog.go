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
		o.log.Warn("durable: "+o.down+"; components go on, and it is tried again", "component", id, "error", err)
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
		o.log.Info("durable: "+o.up, "after", took.Round(time.Millisecond), "components", most)
	}
}
