package durable

import (
	"container/heap"
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// schedule decides when which component is checkpointed: one goroutine and one
// timer for all of them.
type schedule struct {
	mu     sync.Mutex
	at     func(place uint32) *member
	rounds []*round
	early  queue // what is to be checkpointed before its turn
	queued map[*member]*entry
	wake   chan struct{} // early has a new first entry
}

func newSchedule() *schedule {
	return &schedule{queued: map[*member]*entry{}, wake: make(chan struct{}, 1)}
}

// plan spreads the checkpoints of n members over their intervals, in random order.
func (s *schedule) plan(n int, at func(place uint32) *member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = at
	groups := map[time.Duration][]uint32{}
	for i := range uint32(n) {
		interval := at(i).interval
		groups[interval] = append(groups[interval], i)
	}
	for interval, group := range groups {
		s.rounds = append(s.rounds, newRound(interval, shuffled(group), time.Now()))
	}
}

// mostTogether is how many neighbours stay together when very many components are
// put in random order: to look at one after the other is several times quicker than
// to go all over the memory.
const mostTogether = 32

// shuffled returns places in random order.
func shuffled(places []uint32) []uint32 {
	together := min(max(1, len(places)/mostSlots/4), mostTogether)
	groups := slices.Collect(slices.Chunk(places, together))
	rand.Shuffle(len(groups), func(i, j int) { groups[i], groups[j] = groups[j], groups[i] })
	return slices.Concat(groups...)
}

// sooner asks for a checkpoint of m at that time, before its turn.
func (s *schedule) sooner(m *member, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch e := s.queued[m]; {
	case e == nil:
		e = &entry{m: m, at: at}
		s.queued[m] = e
		heap.Push(&s.early, e)
	case at.Before(e.at):
		e.at = at
		heap.Fix(&s.early, e.index)
	default:
		return
	}
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
		now := time.Now()
		for _, m := range s.pop(now) {
			m.tick(now)
		}
		if next, ok := s.next(); ok {
			timer.Reset(time.Until(next))
		}
	}
}

// pop returns what is due.
func (s *schedule) pop(now time.Time) (due []*member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.early) > 0 && !s.early[0].at.After(now) {
		m := heap.Pop(&s.early).(*entry).m
		delete(s.queued, m)
		due = append(due, m)
	}
	for _, r := range s.rounds {
		for _, places := range r.pop(now) {
			for _, i := range places {
				due = append(due, s.at(i))
			}
		}
	}
	return due
}

func (s *schedule) next() (at time.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.early) > 0 {
		at, ok = s.early[0].at, true
	}
	for _, r := range s.rounds {
		if t := r.at(); !ok || t.Before(at) {
			at, ok = t, true
		}
	}
	return at, ok
}

const (
	mostSlots = 1024
	shortSlot = 10 * time.Millisecond
)

// A round comes by every component of one interval, slot by slot, and then begins
// anew. It costs a component four bytes, its place in the roster.
type round struct {
	interval time.Duration
	slots    [][]uint32
	pos      int       // the slot that is next
	began    time.Time // when slot 0 was due
}

func newRound(interval time.Duration, places []uint32, now time.Time) *round {
	n := max(1, min(len(places), mostSlots, int(interval/shortSlot)))
	r := &round{interval: interval, slots: make([][]uint32, n)}
	for i := range r.slots {
		r.slots[i] = places[i*len(places)/n : (i+1)*len(places)/n]
	}
	r.began = now.Add(jitter(0, interval/time.Duration(n)))
	return r
}

// at is when the next slot is due.
func (r *round) at() time.Time {
	return r.began.Add(r.interval / time.Duration(len(r.slots)) * time.Duration(r.pos))
}

// pop returns the slots that are due. One that should have been an interval ago is
// left out, not made up for.
func (r *round) pop(now time.Time) (due [][]uint32) {
	for range r.slots {
		if r.at().After(now) {
			return due
		}
		due = append(due, r.slots[r.pos])
		if r.pos++; r.pos == len(r.slots) {
			r.pos, r.began = 0, r.began.Add(r.interval)
		}
	}
	if late := now.Sub(r.at()); late >= 0 {
		r.began = r.began.Add(late + r.interval/time.Duration(len(r.slots)))
	}
	return due
}

// entry is a place in a queue.
type entry struct {
	m     *member
	at    time.Time
	index int
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
