package filestore

import (
	"cmp"
	"slices"

	"github.com/durablestate/durable/internal/store"
)

// A component is what is known of one component. There may be millions, so its
// fields and those of a gen are counted.
type component struct {
	id      string
	fence   store.Fence
	last    uint64 // mark of the last accepted save, 0 after a deletion
	latest  uint64 // commit that its newest record belongs to
	gens    []gen  // ascending
	more    *more  // what most components do not have
	deleted bool   // no state since the last deletion
	keep    uint32 // how many of the newest generations that verify are kept; 0: all
}

// retain notes how many generations a save leaves: so many, or if keep is 0 all that
// there were. Only what this store saved as an owner is trimmed, to what it keeps
// itself; what others add is on top of that. again: the save replaced the newest.
func (c *component) retain(keep uint32, again bool) {
	switch {
	case keep > 0:
		c.keep = keep
	case c.keep > 0 && !again:
		c.keep++
	}
}

// more is what only some components have.
type more struct {
	head place  // of the newest record, if that is a claim or a deletion
	tomb place  // of the deletion that hides generations which files still hold
	died uint64 // commit that the deletion of tomb belongs to
}

func (c *component) rest() *more {
	if c.more == nil {
		c.more = &more{}
	}
	return c.more
}

// A gen is one stored generation.
type gen struct {
	file           *file
	epoch, version uint64
	size           uint32 // of its record in a bundle
	at             uint32 // offset of the record, and in the last two bits the verdict
}

type verdict uint8

const (
	unread verdict = iota
	good           // it verified when it was read
	bad            // it did not; its bytes are kept
)

func (g *gen) verdict() verdict     { return verdict(g.at & 3) }
func (g *gen) setVerdict(v verdict) { g.at = g.at&^3 | uint32(v) }
func (g *gen) place() place         { return placeAt(g.file, int64(g.at>>2), int64(g.size)) }
func (g *gen) same(o *gen) bool     { return g.file == o.file && g.at>>2 == o.at>>2 }
func newGen(p place, e *entry) (g gen) {
	g = gen{file: p.file, epoch: e.epoch, version: e.version}
	if p.off > 0 {
		g.size, g.at = uint32(p.size), uint32(p.off)<<2
	}
	return g
}

// A place is where a record lies.
type place struct {
	file      *file
	off, size int64
}

// placeAt returns the place of a record in f. One at its beginning is all of it.
func placeAt(f *file, off, size int64) place {
	if off == 0 {
		size = f.size
	}
	return place{f, off, size}
}

// A file is a commit file. It may go when nothing refers to it.
type file struct {
	seq      uint64
	size     int64
	records  int64 // bytes of all records
	live     int64 // bytes of those that something refers to
	refs     int   // generations, newest records of components and leases, and deletions that are needed
	rotten   bool  // it holds a generation that did not verify: keep the bytes
	deletion bool  // it holds a deletion
	stuck    bool  // what lives in it cannot be moved
}

// bySeq orders files by their numbers.
func bySeq(a, b *file) int { return cmp.Compare(a.seq, b.seq) }

// ref notes that something refers to the record at p.
func (x *index) ref(p place) {
	p.file.refs++
	p.file.live += p.size
	x.live += p.size
}

// unref ends what ref noted.
func (x *index) unref(p place) {
	if p.file == nil {
		return
	}
	f := p.file
	f.live -= p.size
	x.live -= p.size
	if f.refs--; f.refs == 0 {
		x.garbage = append(x.garbage, f)
	}
}

// drop forgets the generations of c from index from to index to.
func (x *index) drop(c *component, from, to int) {
	for i := range c.gens[from:to] {
		x.dropOne(&c.gens[from+i])
	}
	c.gens = slices.Delete(c.gens, from, to)
}

func (x *index) dropOne(g *gen) {
	if g.verdict() == bad {
		g.file.rotten = true
	}
	x.unref(g.place())
}

// lead makes the claim or deletion at p the newest record of c, and the zero
// place ends that it was one.
func (x *index) lead(c *component, p place) {
	if c.more == nil && p.file == nil {
		return
	}
	m := c.rest()
	old := m.head
	if m.head = p; p.file != nil {
		x.ref(p)
	}
	x.unref(old)
}

// bury keeps the deletion at p for as long as a file may hold what it deleted,
// which may have to stay because it holds live state as well. Whoever opens the
// directory without the deletion would find that alive. Earlier deletions are
// not needed any more.
func (x *index) bury(c *component, p place, origin uint64) {
	m := c.rest()
	if origin < m.died {
		return
	}
	old := m.tomb
	m.tomb, m.died = p, origin
	x.ref(p)
	x.unref(old)
	x.tombs[c] = true
}

// exhume lets the deletions go when all files before them are gone: what they
// deleted cannot be anywhere else.
func (x *index) exhume() {
	if len(x.tombs) == 0 {
		return
	}
	oldest := x.last
	for seq := range x.files {
		oldest = min(oldest, seq)
	}
	for c := range x.tombs {
		if m := c.more; m.died <= oldest {
			x.unref(m.tomb)
			m.tomb, m.died = place{}, 0
			delete(x.tombs, c)
		}
	}
}
