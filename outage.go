package durable

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// outage turns the failures of any number of components into one log line on the
// way down and one on the way up.
type outage struct {
	log      *slog.Logger
	down, up string

	any    atomic.Bool // failed is not empty
	mu     sync.Mutex
	failed map[string]bool
	since  time.Time
	most   int
}

func (o *outage) begin(id string, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.failed == nil {
		o.failed = map[string]bool{}
	}
	if len(o.failed) == 0 {
		o.since, o.most = time.Now(), 0
		o.log.Warn("durable: "+o.down+"; components go on, and it is tried again", "component", id, "error", err)
	}
	o.failed[id] = true
	o.any.Store(true)
	o.most = max(o.most, len(o.failed))
}

func (o *outage) over(id string) {
	if !o.any.Load() {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.failed[id] {
		return
	}
	delete(o.failed, id)
	if len(o.failed) == 0 {
		o.any.Store(false)
		o.log.Info("durable: "+o.up, "after", time.Since(o.since).Round(time.Millisecond), "components", o.most)
	}
}
