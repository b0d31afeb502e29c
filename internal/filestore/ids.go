package filestore

import (
	"hash/maphash"
	"strings"
)

var seed = maphash.MakeSeed()

// An idTable finds components by their ids. It takes a third of the memory of a
// map of strings. Components are never removed: a store remembers fences.
type idTable struct {
	slots []*component // open addressing; the length is a power of two
	n     int
	slab  []component // for the next ones
}

// get returns the component id, nil if it is not known.
func (t *idTable) get(id string) *component {
	if t.n == 0 {
		return nil
	}
	return t.slots[t.slot(id)]
}

// add returns the component id, which is made if it is not known.
func (t *idTable) add(id string) *component {
	if 4*(t.n+1) > 3*len(t.slots) {
		t.grow()
	}
	i := t.slot(id)
	if t.slots[i] == nil {
		if len(t.slab) == cap(t.slab) {
			t.slab = make([]component, 0, min(256, max(4, t.n)))
		}
		t.slab = append(t.slab, component{id: strings.Clone(id), deleted: true})
		t.slots[i] = &t.slab[len(t.slab)-1]
		t.n++
	}
	return t.slots[i]
}

// slot returns where id is, or where it belongs.
func (t *idTable) slot(id string) int {
	mask := len(t.slots) - 1
	i := int(maphash.String(seed, id)) & mask
	for t.slots[i] != nil && t.slots[i].id != id {
		i = (i + 1) & mask
	}
	return i
}

func (t *idTable) grow() {
	old := t.slots
	t.slots = make([]*component, max(16, 2*len(old)))
	for _, c := range old {
		if c != nil {
			t.slots[t.slot(c.id)] = c
		}
	}
}

// attemptMark stands for an attempt in memory, 0 for none.
func attemptMark(epoch, version uint64, writeID string) uint64 {
	h := maphash.String(seed, writeID)
	for _, v := range []uint64{epoch, version} {
		h = (h ^ v) * 0x9e3779b97f4a7c15
		h ^= h >> 29
	}
	return max(h, 1)
}
