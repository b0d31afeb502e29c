package schedule

import (
	"math"
	"math/rand/v2"
	"time"
)

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
	index uint32
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
func (r *round[T]) step() time.Duration { return max(1, r.interval/time.Duration(len(r.slots))) }

// at is when the slot pos is due.
func (r *round[T]) at(pos int) time.Time { return r.began.Add(r.step() * time.Duration(pos)) }

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
			return r.at(pos), true
		}
	}
	return time.Time{}, false
}
