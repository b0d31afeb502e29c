package filestore

import (
	"errors"
	"fmt"
	"slices"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
)

// An index is what the commits say about components and leases. It is built
// from the headers, in the order of the commits, and never looks at a payload.
//
// A moved record counts as if it still lay in the commit that it belongs to.
type index struct {
	last   uint64 // number of the last commit
	comps  idTable
	leases map[string]*leaseRecord
	files  map[uint64]*file
	damage []damage            // ascending
	over   map[*component]bool // components with more generations than are kept
	tombs  map[*component]bool // components with a deletion that is needed still

	garbage []*file // files that nothing refers to
	size    int64   // bytes of all files
	live    int64   // bytes of all records that something refers to
}

// A leaseRecord is the newest record of a lease.
type leaseRecord struct {
	place
	seq   uint64 // commit that it belongs to
	epoch uint64
	err   error        // it cannot be read
	rec   *store.Lease // once it was read
}

// damage is a commit file of which nothing is known.
type damage struct {
	seq uint64
	err error
}

func newIndex() index {
	return index{
		leases: map[string]*leaseRecord{},
		files:  map[uint64]*file{},
		over:   map[*component]bool{},
		tombs:  map[*component]bool{},
	}
}

// apply adds the commit c, which is newer than all before it. A commit that is
// known already is left alone.
func (x *index) apply(c *commit) {
	if c.seq <= x.last {
		return
	}
	x.last = c.seq
	f := &file{seq: c.seq, size: c.size}
	x.files[c.seq] = f
	x.size += f.size
	whole := place{f, 0, 0}
	x.ref(whole) // until all is applied
	if c.err != nil {
		x.damage = append(x.damage, damage{c.seq, c.err})
		f.stuck = true
		return // keeps its reference: nobody knows what it holds
	}
	for i := range c.entries {
		e := &c.entries[i]
		origin := e.origin
		if origin == 0 {
			origin = c.seq
		}
		p := placeAt(f, e.off, e.size)
		f.records += p.size
		if e.kind == envelope.Lease {
			x.applyLease(p, origin, e)
		} else {
			x.applyRecord(p, origin, e)
		}
	}
	x.unref(whole)
}

// next returns the number of the next commit.
func (x *index) next() (uint64, error) {
	seq, err := store.Next("commit", x.last)
	if err != nil {
		err = fmt.Errorf("move %[1]s, or x-%[1]s, out of the directory if no program of yours wrote it: %[2]w", commitName(x.last), err)
	}
	return seq, err
}

func (x *index) applyLease(p place, origin uint64, e *entry) {
	l := x.leases[e.id]
	if l != nil && origin < l.seq {
		return
	}
	x.ref(p)
	if l != nil {
		x.unref(l.place)
	}
	x.leases[e.id] = &leaseRecord{place: p, seq: origin, epoch: e.epoch, err: e.err}
}

func (x *index) applyRecord(p place, origin uint64, e *entry) {
	c := e.comp
	if c == nil {
		c = x.comps.add(e.id)
	}
	switch e.kind {
	case envelope.Snapshot:
		x.applySnapshot(c, p, origin, e)
	case envelope.Deletion:
		x.applyDeletion(c, p, origin, e)
	case envelope.Claim:
		if origin >= c.latest {
			c.deleted = c.deleted && e.deleted // without e.deleted its generations are gone from the directory
			x.lead(c, p)
		}
	}
	c.latest = max(c.latest, origin)
	c.fence.Epoch = max(c.fence.Epoch, e.epoch)
	c.fence.Version = max(c.fence.Version, e.version)
}

// applyDeletion drops what was there. A deletion that was moved may stand behind
// what was saved after it, of a greater version.
func (x *index) applyDeletion(c *component, p place, origin uint64, e *entry) {
	p.file.deletion = true
	n := len(c.gens)
	if e.origin != 0 {
		if n = slices.IndexFunc(c.gens, func(g gen) bool { return g.version > e.version }); n < 0 {
			n = len(c.gens)
		}
	}
	x.drop(c, 0, n)
	x.bury(c, p, origin)
	if origin >= c.latest {
		c.last, c.deleted, c.keep = 0, true, 0
		x.lead(c, p)
	}
}

// applySnapshot adds a generation. One that the save rule would have refused
// was not written here: the file is a copy, or was exchanged with another.
func (x *index) applySnapshot(c *component, p place, origin uint64, e *entry) {
	if e.origin != 0 {
		x.applyMoved(c, p, origin, e)
		return
	}
	g, mark := newGen(p, e), e.mark()
	refused, again := false, false
	if n := len(c.gens); n > 0 && mark == c.last && c.gens[n-1].version == e.version {
		again = true
		x.drop(c, n-1, n) // written again because the first copy vanished
	} else if e.epoch < c.fence.Epoch || e.version <= c.fence.Version && mark != c.last {
		refused = true
	}
	if refused || e.err != nil {
		g.setVerdict(bad)
	}
	if e.epoch >= c.fence.Epoch && e.version >= c.fence.Version {
		c.last = mark
	}
	c.deleted = false
	if !refused {
		c.retain(e.keep, again)
	}
	x.add(c, len(c.gens), g)
	if !refused {
		x.lead(c, place{})
	}
}

// applyMoved adds a generation that was moved, in the place of the original if
// that is still there, unless the copy is known to be damaged.
func (x *index) applyMoved(c *component, p place, origin uint64, e *entry) {
	if c.deleted && origin < c.latest || c.more != nil && origin < c.more.died {
		return // it was deleted
	}
	g := newGen(p, e)
	if e.err != nil {
		g.setVerdict(bad)
	}
	i := slices.IndexFunc(c.gens, func(o gen) bool { return o.version >= e.version })
	if i < 0 {
		i = len(c.gens)
	}
	if i < len(c.gens) && c.gens[i].version == e.version {
		if c.gens[i].epoch != e.epoch || e.err != nil && c.gens[i].verdict() != bad {
			return
		}
		defer x.drop(c, i+1, i+2)
	}
	if e.version >= c.fence.Version {
		c.last = e.mark()
	}
	c.deleted = false
	x.add(c, i, g)
	if origin > c.latest {
		x.lead(c, place{})
	}
}

func (x *index) add(c *component, i int, g gen) {
	x.ref(g.place())
	c.gens = slices.Insert(c.gens, i, g)
	if c.keep > 0 && len(c.gens) > int(c.keep) {
		x.over[c] = true
	}
}

// judge caches what reading the generation g showed.
func (c *component) judge(g *gen, v verdict) {
	for i := range c.gens {
		if h := &c.gens[i]; h.same(g) && h.verdict() != bad {
			h.setVerdict(v)
		}
	}
}

// view returns what is known of c, which may be nil, the doubt about it included.
// The result's generations must not be changed.
func (x *index) view(c *component) view {
	v := view{deleted: true}
	if c != nil {
		v = view{comp: c, keep: int(c.keep), fence: c.fence, last: c.last, deleted: c.deleted, latest: c.latest, gens: c.gens}
	}
	for i := len(x.damage) - 1; i >= 0 && x.damage[i].seq > v.latest; i-- {
		v.doubt = x.damage[i].err
		if next, err := v.fence.NextVersion(); err == nil {
			v.fence.Version = next
		}
		if errors.Is(v.doubt, store.ErrTooNew) {
			v.tooNew = v.doubt
		}
	}
	return v
}

// A view is what is known of a component at a moment.
type view struct {
	comp    *component  // nil: nothing is
	fence   store.Fence // with one version for each damaged file that may hold one
	last    uint64
	latest  uint64
	deleted bool
	keep    int // generations, of those that verify; 0: all
	gens    []gen
	doubt   error // a damaged file is newer than what is known
	tooNew  error // a file of a newer program is newer than what is known
}

// lastAs returns snap's attempt if it is the last accepted one, otherwise none.
func lastAs(last uint64, snap *store.Snapshot) store.Attempt {
	if a := snap.Attempt(); last != 0 && last == attemptMark(a.Epoch, a.Version, a.WriteID) {
		return a
	}
	return store.Attempt{}
}
