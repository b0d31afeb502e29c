package durable

import (
	"container/heap"
	"context"
	"log/slog"
	"sync"
	"time"
)

// schedule decides when which component is checkpointed: one goroutine and one
// timer for all of them.
type schedule struct {
	mu    sync.Mutex
	queue queue
	at    map[*member]*entry
	wake  chan struct{} // the first entry changed
}

type entry struct {
	m     *member
	at    time.Time
	index int
}

func newSchedule() *schedule {
	return &schedule{at: map[*member]*entry{}, wake: make(chan struct{}, 1)}
}

// plan spreads the first checkpoints of members over their intervals.
func (s *schedule) plan(members []*member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for _, m := range members {
		e := &entry{m: m, at: now.Add(jitter(0, m.interval))}
		s.at[m] = e
		heap.Push(&s.queue, e)
	}
}

// sooner brings the next checkpoint of m forward to at, if it is later.
func (s *schedule) sooner(m *member, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.at[m]
	if e == nil || !at.Before(e.at) {
		return
	}
	e.at = at
	heap.Fix(&s.queue, e.index)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *schedule) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-s.wake:
		}
		for _, m := range s.pop(time.Now()) {
			m.tick()
		}
		if next, ok := s.next(); ok {
			timer.Reset(time.Until(next))
		}
	}
}

// pop returns what is due and plans its next checkpoint. One that should have
// been long ago is left out, not made up for.
func (s *schedule) pop(now time.Time) (due []*member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.queue) > 0 && !s.queue[0].at.After(now) {
		e := s.queue[0]
		due = append(due, e.m)
		if e.at = e.at.Add(e.m.interval); !e.at.After(now) {
			e.at = now.Add(e.m.interval)
		}
		heap.Fix(&s.queue, 0)
	}
	return due
}

func (s *schedule) next() (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		return time.Time{}, false
	}
	return s.queue[0].at, true
}

// queue implements heap.Interface.
type queue []*entry

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].at.Before(q[j].at) }
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}
func (q *queue) Push(x any) {
	e := x.(*entry)
	e.index = len(*q)
	*q = append(*q, e)
}
func (q *queue) Pop() any {
	old := *q
	e := old[len(old)-1]
	*q = old[:len(old)-1]
	return e
}

// outage turns the failures of any number of components into one log line on the
// way down and one on the way up.
type outage struct {
	log      *slog.Logger
	down, up string

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
	o.most = max(o.most, len(o.failed))
}

func (o *outage) over(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.failed[id] {
		return
	}
	delete(o.failed, id)
	if len(o.failed) == 0 {
		o.log.Info("durable: "+o.up, "after", time.Since(o.since).Round(time.Millisecond), "components", o.most)
	}
}
