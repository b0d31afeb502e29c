package durable

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// member is one registered component: what is known of its stored copy and the
// saves that are asked for. A program may have a million of them of which most do
// nothing, so it holds what an idle one needs: the rest is shared, or in more for
// as long as there is any.
type member struct {
	*kin
	name string    // as the adapter knows it
	comp Component // nil: the member is the set itself

	extended atomic.Bool // the component makes more of its snapshot than tracked counts

	mu     sync.Mutex
	phase  phase
	ever   bool    // it was restored once
	flight *flight // the save that was asked for last; nil: none is under way
	more   *more   // nil: nothing
	stored stored

	saves, skips, failures uint64

	good instant // when the stored copy was last known to be current
	seen instant // when it was last seen in the store
}

// kin is what a member has in common with others.
type kin struct {
	c        *Checkpointer
	part     *part // the component is saved as a part of the set; nil: by itself
	interval time.Duration
	policy   RestorePolicy
	counting bool // the component is tracked, or the set
	promoted bool // its SnapshotState is that of its StatefulComponent
}

// phase says whether a member may save.
type phase uint8

const (
	phaseUnrestored phase = iota
	phaseOpen
	phaseShut // more.why says why
	phaseClosed
)

// more is what a member has that not every one has all the time. The member's mu
// guards it, and it is dropped when nothing is left in it.
type more struct {
	why     error // the component cannot save
	err     error // of the last attempt
	unsaved bool  // which found a change
	backoff time.Duration
	before  *confirmed // while the stored copy is short: what was durable before
	digest  digest     // of the stored data, where the change count does not tell all
	start   *Snapshot  // state to start from, when it is not the zero state
	arrival *arrival   // what RestoreState is about to be given

	// Until it is restored.
	asked     bool   // a Restore was asked for
	atRestore uint64 // change count at that moment
	floor     uint64 // epoch below which saves are refused, without ownership
}

// init makes m the member of a component, or of the set for none.
func (m *member) init(c *Checkpointer, name string, comp Component) {
	m.name, m.comp = name, comp
	k := kin{c: c, interval: c.opts.Interval, policy: c.opts.Restore, counting: comp == nil}
	if t, ok := comp.(tracked); ok {
		_, encodes := comp.(stateMarshaler) // perhaps what no Update counts
		k.counting, k.promoted = true, promoted(t) && !encodes
	}
	own := c.opts.Components[m.name[c.prefix:]]
	setDefault(&own.Interval, k.interval)
	setDefault(&own.Restore, k.policy)
	k.interval, k.policy = own.Interval, own.Restore
	m.kin = c.kin(k)
}

// kin returns the one that equals k.
func (c *Checkpointer) kin(k kin) *kin {
	c.mu.Lock()
	defer c.mu.Unlock()
	shared := c.kins[k]
	if shared == nil {
		shared = new(kin)
		*shared = k
		c.kins[k] = shared
	}
	return shared
}

// id is the one given to Register.
func (m *member) id() string { return m.name[m.c.prefix:] }

// isSet reports that the member is the set of all components.
func (m *member) isSet() bool { return m.comp == nil }

// tracked is nil when the component is no StatefulComponent.
func (m *member) tracked() tracked {
	t, _ := m.comp.(tracked)
	return t
}

// counted is nil when the component does not count its changes.
func (m *member) counted() counted {
	if m.isSet() {
		return m.c.set
	}
	if t := m.tracked(); t != nil {
		return t
	}
	return nil
}

// attach ties the component to its Checkpointer and checks its hooks.
func (m *member) attach() (err error) {
	defer recovered(m, "InitState", &err)
	if t := m.tracked(); t != nil {
		if err := t.attach(m); err != nil {
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
	return &Error{Op: op, ComponentID: m.id(), Err: err}
}

// rest returns what the member has beyond an idle one. The caller holds m.mu.
func (m *member) rest() *more {
	if m.more == nil {
		m.more = &more{}
	}
	return m.more
}

// trim drops what is not needed any more. The caller holds m.mu.
func (m *member) trim() {
	if m.more != nil && *m.more == (more{}) {
		m.more = nil
	}
}

// err is that of the last attempt. The caller holds m.mu.
func (m *member) err() error {
	if m.more == nil {
		return nil
	}
	return m.more.err
}

// gate is why the component cannot save, nil when it can. The caller holds m.mu.
func (m *member) gate() error {
	switch m.phase {
	case phaseOpen:
		return nil
	case phaseShut:
		return m.more.why
	case phaseClosed:
		return &Error{Op: "save", ComponentID: m.id(), Err: ErrClosed}
	}
	return &Error{Op: "save", ComponentID: m.id(), Err: ErrNotRestored}
}

// enter makes p the member's phase and why the reason, nil where p says it all.
// The caller holds m.mu.
func (m *member) enter(p phase, why error) {
	m.phase = p
	if why != nil || m.more != nil {
		m.rest().why = why
		m.trim()
	}
}

// counts reports that the component's change count tells of every change.
func (m *member) counts() bool { return m.counting && !m.extended.Load() }

func (m *member) changeCount() uint64 {
	if !m.counting {
		return 0
	}
	return m.counted().changeCount()
}

// changed reports that the component has a state that is not stored, as far as
// can be told without asking it. The caller holds m.mu.
func (m *member) changed() bool {
	unsaved := m.more != nil && m.more.unsaved
	if m.stored.short {
		return true
	}
	if !m.counting {
		return !m.stored.anywhere || unsaved
	}
	return m.changeCount() > m.stored.changes || !m.stored.anywhere && !m.counted().fresh() ||
		m.extended.Load() && unsaved
}

func (m *member) snapshotStatus() ComponentStatus {
	if m.part != nil {
		return m.part.status()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.ownStatus()
	s.Changed = m.changed()
	if m.good != 0 {
		s.Age = max(0, m.since(m.good, time.Now()))
	}
	return s
}

// ownStatus is the part of the status that needs no look at the component. The
// caller holds m.mu.
func (m *member) ownStatus() ComponentStatus {
	r := confirmed{m.stored.version, m.stored.savedAt, m.stored.bytes}
	if m.more != nil && m.more.before != nil {
		r = *m.more.before
	}
	s := ComponentStatus{
		ComponentID: m.id(), Version: r.version, SavedAt: unixTime(r.savedAt), Bytes: r.bytes,
		Saves: m.saves, Skips: m.skips, Failures: m.failures, Err: m.err(),
	}
	if m.isSet() {
		s.Pause = m.c.set.held
	}
	return s
}

func (m *member) everRestored() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ever
}

const overdueIntervals = 3

func (m *member) health(now time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.phase != phaseOpen {
		return m.gate()
	}
	if age := m.since(m.good, now); age/overdueIntervals > m.interval {
		err := cmpOr(m.err(), errors.New("is the Checkpointer started?"))
		return &Error{Op: "health", ComponentID: m.id(), Err: fmt.Errorf("no checkpoint for %s: %w", age.Round(time.Second), err)}
	}
	return nil
}
