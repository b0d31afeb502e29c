// Package schedule decides when what is due: one goroutine and one timer for any
// number of items, each with an interval of its own, that come and go at any time.
package schedule

import (
	"container/heap"
	"context"
	"math"
	"math/rand/v2"
	"sync"
	"time"
)

// An Item is called once an interval.
type Item interface {
	comparable
	Interval() time.Duration // always the same
	Place() *Place           // of the item's own; only a Schedule uses what is in it
	Tick(now time.Time)      // must be quick: all items share one goroutine
}

// Schedule ticks items: each at a random moment within its first interval, and
// once an interval after that. A tick that is late is left out, not made up for.
// Adding and removing an item costs the same however many others there are. It is
// safe for concurrent use.
type Schedule[T Item] struct {
	mu     sync.Mutex
	rounds map[time.Duration]*round[T]
	early  queue[T]      // what is to be ticked before its turn
	wake   chan struct{} // something is due earlier than before
}

// New returns an empty schedule.
func New[T Item]() *Schedule[T] {
	return &Schedule[T]{rounds: map[time.Duration]*round[T]{}, wake: make(chan struct{}, 1)}
}

// Add takes items in. One that is in already, or was removed, is left alone.
func (s *Schedule[T]) Add(items ...T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for _, x := range items {
		if x.Place().slot != nowhere {
			continue
		}
		interval := x.Interval()
		r := s.rounds[interval]
		if r == nil {
			r = newRound[T](interval)
			s.rounds[interval] = r
		}
		r.add(x, now)
	}
	s.hurry()
}

// Remove takes x out, or keeps it out, for good. A Tick may still be under way.
func (s *Schedule[T]) Remove(x T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := x.Place()
	if p.early != nowhere {
		heap.Remove(&s.early, int(p.early-1))
	}
	if p.slot != nowhere && p.slot != removed {
		s.rounds[x.Interval()].remove(x)
	}
	p.slot = removed
}

// Sooner asks for a tick of x at that time, before its turn.
func (s *Schedule[T]) Sooner(x T, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch p := x.Place(); {
	case p.slot == removed:
		return
	case p.early == nowhere:
		heap.Push(&s.early, entry[T]{x, at})
	case at.Before(s.early[p.early-1].at):
		s.early[p.early-1].at = at
		heap.Fix(&s.early, int(p.early-1))
	default:
		return
	}
	s.hurry()
}

// hurry makes Run look what is due next.
func (s *Schedule[T]) hurry() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run ticks what is due until ctx ends.
func (s *Schedule[T]) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var due []T
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-s.wake:
		}
		now := time.Now()
		due = s.pop(due[:0], now)
		for _, x := range due {
			x.Tick(now)
		}
		clear(due)
		if next, ok := s.next(); ok {
			timer.Reset(time.Until(next))
		}
	}
}

// pop appends what is due to due.
func (s *Schedule[T]) pop(due []T, now time.Time) []T {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.early) > 0 && !s.early[0].at.After(now) {
		due = append(due, heap.Pop(&s.early).(entry[T]).item)
	}
	for _, r := range s.rounds {
		due = r.pop(due, now)
	}
	return due
}

// next returns when something is due.
func (s *Schedule[T]) next() (at time.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.early) > 0 {
		at, ok = s.early[0].at, true
	}
	for _, r := range s.rounds {
		if t, any := r.next(); any && (!ok || t.Before(at)) {
			at, ok = t, true
		}
	}
	return at, ok
}

// entry is an item in a queue.
type entry[T Item] struct {
	item T
	at   time.Time
}

// queue implements heap.Interface; its items know where they are in it.
type queue[T Item] []entry[T]

func (q queue[T]) Len() int           { return len(q) }
func (q queue[T]) Less(i, j int) bool { return q[i].at.Before(q[j].at) }
func (q queue[T]) put(i int, e entry[T]) {
	q[i] = e
	e.item.Place().early = uint32(i + 1)
}
func (q queue[T]) Swap(i, j int) {
	x, y := q[i], q[j]
	q.put(i, y)
	q.put(j, x)
}
func (q *queue[T]) Push(x any) {
	*q = append(*q, entry[T]{})
	q.put(len(*q)-1, x.(entry[T]))
}
func (q *queue[T]) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = entry[T]{}
	*q = (*q)[:last]
	e.item.Place().early = nowhere
	return e
}

const (
	mostSlots = 1024
	shortSlot = 10 * time.Millisecond

	// mostTogether is how many items in a row share a slot when there are very many:
	// to look at neighbours is several times quicker than to go all over the memory.
	mostTogether = 32
)

// A round comes by every item of one interval, slot by slot, and then begins anew.
// An item is in a random slot; it costs a pointer, and its Place.
type round[T Item] struct {
	interval time.Duration
	slots    [][]T
	items    int
	pos      int       // the slot that is next
	began    time.Time // when slot 0 was due

	slot     int // in which an item was put last
	together int // how many more are put there
}

// Place is where in a Schedule an item is.
type Place struct {
	slot  uint16 // plus one, or one of those below
	index uint32 // in the slot
	early uint32 // in the queue, plus one; 0: it is not there
}

const (
	nowhere = 0 // it was never added
	removed = math.MaxUint16
)

func newRound[T Item](interval time.Duration) *round[T] {
	n := max(1, min(mostSlots, int(interval/shortSlot)))
	return &round[T]{interval: interval, slots: make([][]T, n)}
}

// step is the time between slots.
func (r *round[T]) step() time.Duration {
	return max(1, r.interval/time.Duration(len(r.slots)))
}

// at is when the slot pos is due.
func (r *round[T]) at(pos int) time.Time {
	return r.began.Add(r.step() * time.Duration(pos))
}

func (r *round[T]) add(x T, now time.Time) {
	if r.items == 0 {
		r.pos, r.began = 0, now.Add(rand.N(r.step()))
	}
	if r.together == 0 {
		r.slot = rand.N(len(r.slots))
		r.together = min(max(1, r.items/len(r.slots)/4), mostTogether)
	}
	r.together--
	p := x.Place()
	p.slot, p.index = uint16(r.slot+1), uint32(len(r.slots[r.slot]))
	r.slots[r.slot] = append(r.slots[r.slot], x)
	r.items++
}

// remove takes x out; the last of its slot takes its place.
func (r *round[T]) remove(x T) {
	p := x.Place()
	i := int(p.slot - 1)
	slot := r.slots[i]
	last := slot[len(slot)-1]
	slot[p.index] = last
	last.Place().index = p.index
	var none T
	slot[len(slot)-1] = none
	r.slots[i] = slot[:len(slot)-1]
	r.items--
}

// pop appends the items of the slots that are due. A slot that should have been an
// interval ago is left out, not made up for.
func (r *round[T]) pop(due []T, now time.Time) []T {
	for range r.slots {
		if r.at(r.pos).After(now) {
			return due
		}
		due = append(due, r.slots[r.pos]...)
		if r.pos++; r.pos == len(r.slots) {
			r.pos, r.began = 0, r.began.Add(r.interval)
		}
	}
	if late := now.Sub(r.at(r.pos)); late >= 0 {
		r.began = r.began.Add(late + r.step())
	}
	return due
}

// next returns when the next slot is due that has items.
func (r *round[T]) next() (time.Time, bool) {
	for i := range r.slots {
		if pos := r.pos + i; len(r.slots[pos%len(r.slots)]) > 0 {
			return r.began.Add(r.step() * time.Duration(pos)), true
		}
	}
	return time.Time{}, false
}
