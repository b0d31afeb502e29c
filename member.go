package durable

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// member is one registered component: what is known of its stored copy and the
// saves that are asked for.
type member struct {
	c        *Checkpointer
	id, name string // as registered, as the adapter knows it
	comp     Component
	counted  counted     // nil: the component does not count its changes
	tracked  tracked     // nil: it is no StatefulComponent
	set      *set        // the member is the set itself, which has no comp
	part     *part       // the component is saved as a part of the set; nil: by itself
	promoted bool        // its SnapshotState is that of its StatefulComponent
	extended atomic.Bool // the component makes more of its snapshot than tracked counts
	interval time.Duration
	policy   RestorePolicy

	mu      sync.Mutex
	gate    error   // why the component cannot save, nil when it can
	waiting *flight // asked for and not yet begun
	newest  *flight // the last one asked for
	busy    bool    // a goroutine works the flights off
	stored  stored
	status  ComponentStatus
	ever    bool // it was restored once
	unsaved bool // the last attempt found a change and failed

	asked     bool      // a Restore was asked for
	atRestore uint64    // change count at that moment; fixed once one succeeded
	good      time.Time // when the stored copy was last known to be current
	seen      time.Time // when it was last seen in the store
	losses    uint64    // of the store, as known then
	backoff   time.Duration

	// Only the Restore that is under way uses these.
	start   *Snapshot // state to start from, when it is not the zero state
	setUp   uint64    // change count when it began
	applied uint64    // change count up to which the state is the stored one
	floor   uint64    // epoch below which saves are refused, without ownership
	source  found     // where the newest state is
}

// stored is what is known of the copy in the store.
type stored struct {
	epoch    uint64
	tried    uint64            // highest version used by us or known to be taken
	attempt  string            // write id of the last accepted save; empty: none under this epoch
	version  uint64            // of that save
	changes  uint64            // change count it covers
	digest   [sha256.Size]byte // of its data, where the change count does not tell all
	bytes    int
	anywhere bool // some snapshot is stored and has not vanished
	short    bool // it is stored, but not as durably as configured
}

func newMember(c *Checkpointer, id, name string, comp Component) *member {
	m := &member{c: c, id: id, name: name, comp: comp, interval: c.opts.Interval, policy: c.opts.Restore}
	if t, ok := comp.(tracked); ok {
		m.counted, m.tracked = t, t
		m.promoted = promoted(m)
	}
	m.gate = m.fail("save", ErrNotRestored)
	m.status.ComponentID = id
	own := c.opts.Components[id]
	setDefault(&own.Interval, m.interval)
	setDefault(&own.Restore, m.policy)
	m.interval, m.policy = own.Interval, own.Restore
	return m
}

// attach ties the component to its Checkpointer and checks its hooks.
func (m *member) attach() (err error) {
	defer recovered(m, "InitState", &err)
	if m.tracked != nil {
		if err := m.tracked.attach(m.comp, m); err != nil {
			return err
		}
	} else if i, ok := m.comp.(stateInitialiser); ok {
		i.InitState()
	}
	return m.checkSchema()
}

func (m *member) fail(op string, err error) error {
	if e := (*Error)(nil); errors.As(err, &e) {
		return err // the adapter said it all
	}
	return &Error{Op: op, ComponentID: m.id, Err: err}
}

// counts reports that the component's change count tells of every change.
func (m *member) counts() bool { return m.counted != nil && !m.extended.Load() }

func (m *member) changeCount() uint64 {
	if m.counted == nil {
		return 0
	}
	return m.counted.changeCount()
}

// changed reports that the component has a state that is not stored, as far as
// can be told without asking it. The caller holds m.mu.
func (m *member) changed() bool {
	if m.stored.short {
		return true
	}
	if m.counted == nil {
		return !m.stored.anywhere || m.unsaved
	}
	return m.changeCount() > m.stored.changes || !m.stored.anywhere && !m.counted.fresh() ||
		m.extended.Load() && m.unsaved
}

func (m *member) snapshotStatus() ComponentStatus {
	if m.part != nil {
		return m.part.status()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.status
	s.Changed = m.changed()
	if !m.good.IsZero() {
		s.Age = max(0, time.Since(m.good))
	}
	return s
}

func (m *member) everRestored() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ever
}

const overdueIntervals = 3

func (m *member) health() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.gate != nil {
		return m.gate
	}
	if age := time.Since(m.good); age/overdueIntervals > m.interval {
		err := cmpOr(m.status.Err, errors.New("is the Checkpointer started?"))
		return &Error{Op: "health", ComponentID: m.id, Err: fmt.Errorf("no checkpoint for %s: %w", age.Round(time.Second), err)}
	}
	return nil
}
