package filestore

import (
	"errors"
	"slices"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
)

// An index is what the commits say about components and leases. It is built
// from the headers, in the order of the commits, and never looks at a payload.
type index struct {
	keep   int
	last   uint64 // number of the last commit
	comps  map[string]*component
	leases map[string]*leaseRecord
	files  map[uint64]*file
	damage []damage        // ascending
	over   map[string]bool // components with more than keep generations
	tombs  map[string]bool // components with a deletion that is needed still

	garbage []uint64 // files that nothing refers to
}

// A component is what is known of one component.
type component struct {
	fence   store.Fence
	last    store.Attempt // last accepted save, zero after a deletion
	latest  uint64        // commit of its newest record
	deleted bool          // no state since the last deletion
	gens    []gen         // ascending
	dropped []uint64      // files that may still hold generations that were forgotten
	tomb    uint64        // commit of the deletion that hides some of these, 0 for none
}

// A gen is one stored generation.
type gen struct {
	place
	epoch, version uint64
	verdict        verdict
}

// A place is where a record lies.
type place struct {
	seq       uint64
	off, size int64
}

type verdict uint8

const (
	unread verdict = iota
	good           // it verified when it was read
	bad            // it did not; its bytes are kept
)

// A leaseRecord is the newest record of a lease.
type leaseRecord struct {
	place
	epoch uint64
	err   error        // it cannot be read
	rec   *store.Lease // once it was read
}

// A file is a commit file. It may go when nothing refers to it.
type file struct {
	refs     int  // components and leases of which it holds the newest record, generations, and deletions that are needed
	rotten   bool // it holds a generation that did not verify: keep the bytes
	deletion bool // it holds a deletion
}

// damage is a commit file of which nothing is known.
type damage struct {
	seq uint64
	err error
}

func newIndex(keep int) index {
	return index{
		keep:   keep,
		comps:  map[string]*component{},
		leases: map[string]*leaseRecord{},
		files:  map[uint64]*file{},
		over:   map[string]bool{},
		tombs:  map[string]bool{},
	}
}

// apply adds the commit c, which is newer than all before it. A commit that is
// known already is left alone.
func (x *index) apply(c *commit) {
	if c.seq <= x.last {
		return
	}
	x.last = c.seq
	f := &file{refs: 1} // until all is applied
	x.files[c.seq] = f
	if c.err != nil {
		x.damage = append(x.damage, damage{c.seq, c.err})
		return // keeps its reference: nobody knows what it holds
	}
	for i := range c.entries {
		if e := &c.entries[i]; e.kind == envelope.Lease {
			x.applyLease(c.seq, e)
		} else {
			x.applyRecord(c.seq, e, f)
		}
	}
	x.unref(c.seq)
}

func (x *index) applyLease(seq uint64, e *entry) {
	if old := x.leases[e.id]; old != nil {
		x.unref(old.seq)
	}
	x.files[seq].refs++
	x.leases[e.id] = &leaseRecord{place: place{seq, e.off, e.size}, epoch: e.epoch, err: e.err}
}

func (x *index) applyRecord(seq uint64, e *entry, f *file) {
	c := x.comps[e.id]
	if c == nil {
		c = &component{deleted: true}
		x.comps[e.id] = c
	} else if c.latest != 0 {
		x.unref(c.latest)
	}
	c.latest = seq
	f.refs++
	switch e.kind {
	case envelope.Snapshot:
		x.applySnapshot(c, seq, e)
	case envelope.Deletion:
		f.deletion = true
		x.drop(c, len(c.gens))
		x.bury(e.id, c, seq)
		c.last, c.deleted = store.Attempt{}, true
	case envelope.Claim:
		if c.deleted && !e.deleted {
			c.deleted = false // its generations are gone from the directory
		}
	}
	c.fence.Epoch = max(c.fence.Epoch, e.epoch)
	c.fence.Version = max(c.fence.Version, e.version)
}

// applySnapshot adds a generation. One that the save rule would have refused
// was not written here: the file is a copy, or was exchanged with another.
func (x *index) applySnapshot(c *component, seq uint64, e *entry) {
	g := gen{place: place{seq, e.off, e.size}, epoch: e.epoch, version: e.version}
	if n := len(c.gens); n > 0 && e.attempt() == c.last && c.gens[n-1].version == e.version {
		x.dropOne(c, &c.gens[n-1]) // written again because the first copy vanished
		c.gens = c.gens[:n-1]
	} else if e.epoch < c.fence.Epoch || e.version <= c.fence.Version && e.attempt() != c.last {
		g.verdict = bad
	}
	if e.err != nil {
		g.verdict = bad
	}
	if e.epoch >= c.fence.Epoch && e.version >= c.fence.Version {
		c.last = e.attempt()
	}
	c.deleted = false
	x.files[seq].refs++
	c.gens = append(c.gens, g)
	if len(c.gens) > x.keep {
		x.over[e.id] = true
	}
}

// drop forgets the n oldest generations of c.
func (x *index) drop(c *component, n int) {
	for i := range c.gens[:n] {
		x.dropOne(c, &c.gens[i])
	}
	c.gens = slices.Delete(c.gens, 0, n)
}

func (x *index) dropOne(c *component, g *gen) {
	if g.verdict == bad {
		x.files[g.seq].rotten = true
	}
	c.dropped = slices.DeleteFunc(c.dropped, x.gone)
	c.dropped = append(c.dropped, g.seq)
	x.unref(g.seq)
}

// gone reports whether the file seq was removed.
func (x *index) gone(seq uint64) bool { return x.files[seq] == nil }

// bury keeps the deletion in commit seq for as long as a file holds what it
// deleted, which may have to stay because it holds live state as well. Whoever
// opens the directory without the deletion would find that alive. Earlier
// deletions are not needed any more.
func (x *index) bury(id string, c *component, seq uint64) {
	if c.tomb != 0 {
		x.unref(c.tomb)
	}
	c.tomb = seq
	x.files[seq].refs++
	x.tombs[id] = true
}

// exhume lets the deletions go of which all traces were removed.
func (x *index) exhume() {
	for id := range x.tombs {
		c := x.comps[id]
		hides := func(seq uint64) bool { return seq < c.tomb && !x.gone(seq) }
		if !slices.ContainsFunc(c.dropped, hides) {
			x.unref(c.tomb)
			c.tomb = 0
			delete(x.tombs, id)
		}
	}
}

func (x *index) unref(seq uint64) {
	f := x.files[seq]
	if f.refs--; f.refs == 0 {
		x.garbage = append(x.garbage, seq)
	}
}

// judge caches what reading the generation at p showed.
func (x *index) judge(id string, p place, v verdict) {
	c := x.comps[id]
	if c == nil {
		return
	}
	for i := range c.gens {
		if g := &c.gens[i]; g.place == p && g.verdict != bad {
			g.verdict = v
		}
	}
}

// view returns what is known of id, the doubt about it included. The result's
// generations must not be changed.
func (x *index) view(id string) view {
	v := view{deleted: true}
	if c := x.comps[id]; c != nil {
		v = view{fence: c.fence, last: c.last, deleted: c.deleted, latest: c.latest, gens: c.gens}
	}
	for i := len(x.damage) - 1; i >= 0 && x.damage[i].seq > v.latest; i-- {
		v.doubt = x.damage[i].err
		v.fence.Version++
		if errors.Is(v.doubt, store.ErrTooNew) {
			v.tooNew = v.doubt
		}
	}
	return v
}

// A view is what is known of a component at a moment.
type view struct {
	fence   store.Fence // with one version for each damaged file that may hold one
	last    store.Attempt
	latest  uint64
	deleted bool
	gens    []gen
	doubt   error // a damaged file is newer than what is known
	tooNew  error // a file of a newer program is newer than what is known
}
