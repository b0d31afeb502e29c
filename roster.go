package durable

import (
	"hash/maphash"
	"unsafe"
)

// roster has the members of a Checkpointer in the order of registration, and
// finds one by its id. It costs a member about ten bytes beyond itself: members
// are made many at a time, and what is looked ids up in has their places alone.
type roster struct {
	slabs [][]member
	n     int
	seed  maphash.Seed
	table []uint32 // place in the roster plus one, open addressing; a power of two long
}

// slab is how many members are made at a time.
const slab = (16<<10 - 8) / int(unsafe.Sizeof(member{}))

func newRoster() *roster {
	return &roster{seed: maphash.MakeSeed(), table: make([]uint32, 8)}
}

// next returns the member that add will take in.
func (r *roster) next() *member {
	if r.n == len(r.slabs)*slab {
		r.slabs = append(r.slabs, make([]member, slab))
	}
	return r.at(r.n)
}

func (r *roster) at(i int) *member { return &r.slabs[i/slab][i%slab] }

// add takes in what next returned; its id must be new.
func (r *roster) add() {
	r.n++
	if 4*r.n > 3*len(r.table) {
		r.table = make([]uint32, 2*len(r.table))
		for i := range r.n - 1 {
			r.enter(i)
		}
	}
	r.enter(r.n - 1)
}

func (r *roster) enter(i int) {
	for h := r.hash(r.at(i).id()); ; h++ {
		if e := &r.table[h%len(r.table)]; *e == 0 {
			*e = uint32(i + 1)
			return
		}
	}
}

// find returns the member of that id, nil if there is none.
func (r *roster) find(id string) *member {
	for h := r.hash(id); ; h++ {
		e := r.table[h%len(r.table)]
		if e == 0 {
			return nil
		}
		if m := r.at(int(e - 1)); m.id() == id {
			return m
		}
	}
}

func (r *roster) hash(id string) int { return int(maphash.String(r.seed, id) >> 2) }

// list returns the members in the order of registration.
func (r *roster) list() []*member {
	members := make([]*member, r.n)
	for i := range members {
		members[i] = r.at(i)
	}
	return members
}
