package filestore

import (
	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
)

// pending is the state of a component as the requests before it in the batch
// leave it.
type pending struct {
	view
	early bool
}

// A judging is what judging a batch needs, kept for the next one.
type judging struct {
	states []pending // one for each request at most
	comps  map[*component]*pending
	fresh  map[string]*pending // of components of which nothing is known
	leases map[string]bool     // taken in this batch
}

func (j *judging) begin(n int) {
	if j.comps == nil {
		j.comps, j.fresh, j.leases = map[*component]*pending{}, map[string]*pending{}, map[string]bool{}
	}
	clear(j.comps)
	clear(j.fresh)
	clear(j.leases)
	clear(j.states)
	if j.states = j.states[:0]; cap(j.states) < n {
		j.states = make([]pending, 0, n)
	}
}

// of returns the state of the component of r. mu is held.
func (j *judging) of(x *index, r *request) *pending {
	c := r.entry.comp
	if c == nil {
		c = x.comps.get(r.id)
	}
	p := j.comps[c]
	if c == nil {
		p = j.fresh[r.id]
	}
	if p != nil {
		return p
	}
	j.states = append(j.states, pending{view: x.view(c)})
	p = &j.states[len(j.states)-1]
	if c == nil {
		j.fresh[r.id] = p
	} else {
		j.comps[c] = p
	}
	return p
}

// judge decides for each request of b, in order, whether it is written. Store.mu
// is held.
func (c *committer) judge(b *batch) {
	c.judging.begin(len(b.reqs))
	for _, r := range b.reqs {
		r.write, r.early, r.outcome = false, false, nil
		if r.kind == envelope.Lease {
			c.judgeLease(r)
		} else {
			r.judge(c.judging.of(&c.s.x, r))
		}
	}
}

func (c *committer) judgeLease(r *request) {
	var prev uint64
	if l := c.s.x.leases[r.id]; l != nil {
		prev = l.seq
	}
	if r.write = prev == r.prev && !c.judging.leases[r.id]; !r.write {
		r.outcome = errAgain
		return
	}
	c.judging.leases[r.id] = true
	r.entry = entry{id: r.id, kind: r.kind, epoch: r.snap.Epoch, version: 1}
}

// judge decides whether r is written after what p tells, and adds it to p.
func (r *request) judge(p *pending) {
	r.early = p.early
	if p.tooNew != nil {
		r.outcome = store.Answer(p.fence, p.tooNew, "")
		return
	}
	switch r.kind {
	case envelope.Snapshot:
		r.judgeSave(p)
	case envelope.Claim:
		r.judgeClaim(p)
	case envelope.Deletion:
		r.judgeDeletion(p)
	}
	if r.write {
		r.entry.comp = p.comp
		p.early, p.fence = true, store.Fence{Epoch: r.entry.epoch, Version: r.entry.version}
	}
}

func (r *request) judgeSave(p *pending) {
	repeat, err := store.Judge(p.fence, lastAs(p.last, &r.snap), &r.snap)
	switch {
	case err != nil:
		r.outcome = err
		return
	case repeat && p.early:
		return // shares the outcome of the save that it repeats
	case repeat && !r.again:
		r.outcome = errAgain
		return
	}
	if r.batch.released && r.encoded == (span{}) {
		r.outcome = errAgain // the caller may have taken its data back
		return
	}
	r.write = true
	r.entry = entry{id: r.id, kind: r.kind, epoch: r.snap.Epoch, version: r.snap.Version, writeID: r.snap.WriteID, keep: r.keep}
	p.last, p.deleted = r.entry.mark(), false
}

func (r *request) judgeClaim(p *pending) {
	switch epoch := r.snap.Epoch; {
	case epoch < p.fence.Epoch:
		r.outcome = fenced(p.fence, epoch)
	case epoch > p.fence.Epoch:
		r.write = true
		r.entry = entry{id: r.id, kind: r.kind, epoch: epoch, version: p.fence.Version, deleted: p.deleted}
	case !p.early:
		r.outcome = errAgain
	}
}

func (r *request) judgeDeletion(p *pending) {
	if p.fence != r.expect {
		r.outcome = errAgain
		return
	}
	r.write = true
	r.entry = entry{id: r.id, kind: r.kind, epoch: r.snap.Epoch, version: p.fence.Version}
	p.last, p.deleted = 0, true
}
