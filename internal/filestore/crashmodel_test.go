package filestore_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/durablestate/durable/internal/store"
)

// An attempt is one call that changes state, and what became of it.
type attempt struct {
	kind           string // save, claim, delete
	id             string
	epoch, version uint64 // epoch of a deletion: the fence's afterwards
	writeID, data  string

	begun, ended int // moments of the history; 0: not yet
	acked        bool
}

func (a *attempt) String() string {
	return fmt.Sprintf("%s %q epoch %d version %d", a.kind, a.id, a.epoch, a.version)
}

// before reports whether a was over when b began.
func (a *attempt) before(b *attempt) bool { return a.ended != 0 && a.ended < b.begun }

// A leaseAttempt is one call that changes a lease.
type leaseAttempt struct {
	name     string
	epoch    uint64
	released bool
	acked    bool
}

// A mark is put into the record of the disk when an attempt begins and when it
// ends.
type mark struct {
	attempt *attempt
	lease   *leaseAttempt
	end     bool
	err     error
}

// forget takes back what is known of the attempt, before its record is replayed.
func (m mark) forget() {
	if m.attempt != nil {
		m.attempt.begun, m.attempt.ended, m.attempt.acked = 0, 0, false
	} else {
		m.lease.acked = false
	}
}

func (m mark) String() string {
	what := fmt.Sprint(m.attempt)
	if m.attempt == nil {
		what = fmt.Sprintf("lease %q epoch %d", m.lease.name, m.lease.epoch)
	}
	switch {
	case !m.end:
		return "begin " + what
	case m.err != nil:
		return fmt.Sprintf("failed %s: %v", what, m.err)
	}
	return "ACKNOWLEDGED " + what
}

// A history is what was attempted on a store and what it acknowledged: all that
// a caller knows. From it follows what a crash must leave.
type history struct {
	now      int
	acks     uint64 // ends so far
	attempts map[string][]*attempt
	leases   map[string][]*leaseAttempt
	together [][]*attempt // saves of one commit
	rotten   uint64       // version that does not verify, 0 for none
	wrong    error        // an answer that should not have been given
}

func newHistory() *history {
	return &history{attempts: map[string][]*attempt{}, leases: map[string][]*leaseAttempt{}}
}

// clone returns a history that goes on from h.
func (h *history) clone() *history {
	c := newHistory()
	c.now, c.together, c.rotten = h.now, h.together, h.rotten
	for id, list := range h.attempts {
		for _, a := range list {
			b := *a
			c.attempts[id] = append(c.attempts[id], &b)
		}
	}
	maps.Copy(c.leases, h.leases)
	return c
}

func (h *history) apply(m mark) {
	h.now++
	if m.end {
		h.acks++
	}
	if l := m.lease; l != nil {
		if m.end && m.err == nil {
			l.acked = true
			h.leases[l.name] = append(h.leases[l.name], l)
		} else if h.leases[l.name] == nil {
			h.leases[l.name] = []*leaseAttempt{}
		}
		return
	}
	a := m.attempt
	if !m.end {
		a.begun, a.ended, a.acked = h.now, 0, false
		h.attempts[a.id] = append(h.attempts[a.id], a)
		return
	}
	a.ended, a.acked = h.now, m.err == nil
	if a.acked && a.kind != "delete" && h.wrong == nil {
		h.wrong = h.superseded(a)
	}
}

// superseded demands that a, which was accepted, was not to be refused because
// of what had been accepted before it began.
func (h *history) superseded(a *attempt) error {
	for _, b := range h.attempts[a.id] {
		if b.acked && b.before(a) && (b.epoch > a.epoch || a.kind == "save" && b.version >= a.version) {
			return fmt.Errorf("BACKWARDS: %s was accepted after %s", a, b)
		}
	}
	return nil
}

// An observation is what a store says of one component.
type observation struct {
	snap    *store.Snapshot
	err     error
	fence   store.Fence
	history []store.SnapshotInfo
	older   []*store.Snapshot // of the history
}

func (h *history) observe(s store.Store, id string) (o observation, err error) {
	if o.snap, o.err = s.Load(ctx, id); o.err != nil && !errors.Is(o.err, store.ErrNotFound) {
		return o, fmt.Errorf("load %q: %w", id, o.err)
	}
	if o.fence, err = s.Fence(ctx, id); err != nil {
		return o, fmt.Errorf("fence of %q: %w", id, err)
	}
	if o.history, err = s.History(ctx, id); err != nil && !errors.Is(err, store.ErrNotFound) {
		return o, fmt.Errorf("history of %q: %w", id, err)
	}
	for _, info := range o.history {
		if errors.Is(info.Err, store.ErrCorrupt) && info.Version == h.rotten {
			continue
		}
		if info.Err != nil {
			return o, fmt.Errorf("history of %q: version %d: %w", id, info.Version, info.Err)
		}
		snap := o.snap
		if snap == nil || snap.Version != info.Version {
			if snap, err = s.LoadVersion(ctx, id, info.Version); err != nil {
				return o, fmt.Errorf("version %d of %q: %w", info.Version, id, err)
			}
		}
		o.older = append(o.older, snap)
	}
	return o, nil
}

// same reports whether p, of an unchanged store that was opened later, agrees with o.
// It may show older generations that the saver of o knew to be superseded.
func (o *observation) same(p *observation) bool {
	switch {
	case (o.snap == nil) != (p.snap == nil) || o.fence != p.fence || len(o.older) > len(p.older):
		return false
	case o.snap == nil:
		return true
	}
	return o.snap.Attempt() == p.snap.Attempt() && string(o.snap.Data) == string(p.snap.Data)
}

// judge reports what is wrong with o after a crash.
func (h *history) judge(id string, o *observation, keep int) error {
	list := h.attempts[id]
	if o.err != nil {
		for _, a := range list {
			if a.kind == "save" && a.acked && !slices.ContainsFunc(list, func(d *attempt) bool { return d.kind == "delete" && !d.before(a) }) {
				return fmt.Errorf("LOST: %s was acknowledged, and the state is not found", a)
			}
		}
		return h.judgeFence(id, o)
	}
	if err := h.judgeSnapshot(id, o.snap); err != nil {
		return err
	}
	kept := 0
	for _, a := range list {
		if a.kind == "save" && a.acked {
			if a.version > o.snap.Version {
				return fmt.Errorf("LOST: %s was acknowledged, version %d is there", a, o.snap.Version)
			}
			if a.version != h.rotten {
				kept++
			}
		}
	}
	if o.snap.LastVersion != o.snap.Version {
		return fmt.Errorf("FALSE ALARM: version %d of %q is reported as a fallback from %d", o.snap.Version, id, o.snap.LastVersion)
	}
	if err := h.judgeHistory(id, o, min(keep, kept)); err != nil {
		return err
	}
	return h.judgeFence(id, o)
}

func (h *history) judgeSnapshot(id string, snap *store.Snapshot) error {
	list := h.attempts[id]
	i := slices.IndexFunc(list, func(a *attempt) bool {
		return a.kind == "save" && a.version == snap.Version && a.writeID == snap.WriteID
	})
	if i < 0 {
		return fmt.Errorf("MIXED: version %d (%s) of %q was never saved", snap.Version, snap.WriteID, id)
	}
	a := list[i]
	if a.data != string(snap.Data) || a.epoch != snap.Epoch || snap.Codec != "json" {
		return fmt.Errorf("TORN: %s reads as %d bytes of epoch %d instead of %d bytes", a, len(snap.Data), snap.Epoch, len(a.data))
	}
	for _, d := range list {
		if d.kind == "delete" && d.acked && a.before(d) {
			return fmt.Errorf("RESURRECTED: %s, although %s was acknowledged", a, d)
		}
	}
	return nil
}

// judgeHistory demands that at least n generations are there.
func (h *history) judgeHistory(id string, o *observation, n int) error {
	if slices.ContainsFunc(h.attempts[id], func(a *attempt) bool { return a.kind == "delete" }) {
		n = 1
	}
	if len(o.older) < n {
		return fmt.Errorf("LOST: %d generations of %q are left instead of %d", len(o.older), id, n)
	}
	for i, snap := range o.older {
		if err := h.judgeSnapshot(id, snap); err != nil {
			return fmt.Errorf("in the history: %w", err)
		}
		if i > 0 && snap.Version >= o.older[i-1].Version {
			return fmt.Errorf("the history of %q is out of order", id)
		}
	}
	return nil
}

func (h *history) judgeFence(id string, o *observation) error {
	var lowest, highest store.Fence
	deletions := uint64(0) // each raises the fence as it finds it
	for _, a := range h.attempts[id] {
		if a.kind == "delete" {
			deletions++
		}
		f := store.Fence{Epoch: a.epoch, Version: a.version}
		highest = store.Fence{Epoch: max(highest.Epoch, f.Epoch), Version: max(highest.Version, f.Version)}
		if a.acked {
			lowest = store.Fence{Epoch: max(lowest.Epoch, f.Epoch), Version: max(lowest.Version, f.Version)}
		}
	}
	if o.fence.Epoch < lowest.Epoch || o.fence.Version < lowest.Version {
		return fmt.Errorf("BACKWARDS: the fence of %q is %v, acknowledged was %v", id, o.fence, lowest)
	}
	if o.fence.Epoch > highest.Epoch+deletions || o.fence.Version > highest.Version {
		return fmt.Errorf("the fence of %q is %v, nobody asked for more than %v", id, o.fence, highest)
	}
	return nil
}

// judgeTogether demands that of the saves of one commit all are there or none. Of
// those that failed the versions may be given again.
func (h *history) judgeTogether(seen map[string]*observation) error {
	for _, group := range h.together {
		if slices.ContainsFunc(group, func(a *attempt) bool { return a.ended != 0 && !a.acked }) {
			continue
		}
		there, gone := 0, 0
		for _, a := range group {
			if a.begun == 0 {
				continue
			}
			if o := seen[a.id]; o != nil && o.fence.Version >= a.version {
				there++
			} else {
				gone++
			}
		}
		if there > 0 && gone > 0 {
			return fmt.Errorf("TORN: %d of the %d saves of one commit are there", there, there+gone)
		}
	}
	return nil
}

func (h *history) judgeLease(name string, l *store.Lease, err error) error {
	var last *leaseAttempt
	for _, a := range h.leases[name] {
		if last == nil || a.epoch >= last.epoch {
			last = a
		}
	}
	switch {
	case errors.Is(err, store.ErrNotFound) && last == nil:
		return nil
	case err != nil:
		return fmt.Errorf("lease %q: %w", name, err)
	case last == nil:
		return nil
	case l.Epoch < last.epoch:
		return fmt.Errorf("BACKWARDS: lease %q has epoch %d, acknowledged was %d", name, l.Epoch, last.epoch)
	case l.Epoch == last.epoch && last.released && !l.Released:
		return fmt.Errorf("LOST: the release of lease %q was acknowledged", name)
	}
	return nil
}
