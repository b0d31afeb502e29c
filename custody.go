package durable

import (
	"fmt"
	"time"
)

const (
	// fewComponents are refreshed with every checkpoint, so that a copy that
	// vanished is soon written again. More would be a load of its own.
	fewComponents = 1000
	// mostUnrefreshed bounds for how long a stored copy goes unseen that nothing
	// says to be in danger.
	mostUnrefreshed = 15 * time.Minute
)

// A custodian is an adapter that can say more about what it stores: for how long
// it stays, and whether the store was seen to have lost something. It is found
// through wrappers.
type custodian interface {
	lifetime() time.Duration     // of a stored state that is not refreshed; 0: no end
	losses() uint64              // how often the store was seen to have lost something
	rollback(name string) string // what was seen of one component; empty: nothing since the last call
}

// lifetime implements custodian for a store that keeps state until it is deleted.
func (b *base) lifetime() time.Duration { return b.ttl }

// losses implements custodian.
func (b *base) losses() uint64 { return 0 }

// rollback implements custodian.
func (b *base) rollback(string) string { return "" }

// unrefreshed is for how long a stored copy needs no refresh; 0: it is to be
// refreshed with every checkpoint.
func (c *Checkpointer) unrefreshed() time.Duration {
	if c.custodian == nil || c.registered.Load() <= fewComponents {
		return 0
	}
	if ttl := c.custodian.lifetime(); ttl > 0 {
		return min(ttl/4, mostUnrefreshed)
	}
	return mostUnrefreshed
}

// lost counts what the store was seen to have lost, to be compared with an earlier
// count.
func (c *Checkpointer) lost() uint32 {
	if c.custodian == nil {
		return 0
	}
	return uint32(c.custodian.losses())
}

// current reports that the stored copy is as it should be, without asking the
// store: nothing changed since it was seen there a while ago, the lease is being
// renewed, so the store can be reached and nobody took over, and nothing was seen
// to be lost. The caller holds m.mu.
func (m *member) current(now time.Time) bool {
	s := &m.stored
	return m.counts() && s.attempt != (writeID{}) && !s.short && m.err() == nil && m.changeCount() == s.changes &&
		m.since(m.seen, now) < m.c.unrefreshed() && s.losses == m.c.lost() &&
		m.c.keeper != nil && m.c.keeper.renewed(now)
}

// noticeRollback raises an event when the store had lost acknowledged saves of
// the component.
func (m *member) noticeRollback(version uint64) {
	if m.c.custodian == nil {
		return
	}
	if what := m.c.custodian.rollback(m.name); what != "" {
		m.c.log.Error("durable: the store lost acknowledged saves", "component", m.id(), "seen", what)
		m.c.event("rollback", m, version, 0, time.Now(), fmt.Errorf("%w: %s", ErrLost, what))
	}
}
