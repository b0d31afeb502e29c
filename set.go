package durable

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/durablestate/durable/internal/barrier"
)

// setID is the reserved id under which all components of a Checkpointer are
// saved as one state.
const setID = "~set"

// set is the components of a Checkpointer as one state: a member saves it like
// any other, and its payload is the envelopes of the components, one after the
// other. Without Options.Consistent it has no parts and is only looked for.
type set struct {
	c     *Checkpointer
	m     *member
	units *barrier.Barrier
	parts []*part // in the order of registration

	// Only the capture that is under way uses these.
	cut     cut
	carried []sealed // of components that are not registered; fixed by Restore
	warned  time.Duration

	mu    sync.Mutex // guards what a part says of itself
	pause time.Duration
}

// part is a component as a part of the set.
type part struct {
	s       *set
	m       *member
	working atomic.Bool // a callback has not returned

	// Only the capture that is under way uses these.
	shot *shot  // what raw is made of
	raw  []byte // its envelope in the last cut

	// Guarded by s.mu.
	captured uint64        // change count of the last cut
	stored   uint64        // change count of the last cut that is stored
	bytes    int           // of its state in the last cut
	cost     time.Duration // of its last capture, while units of work were held up
}

// cut is what is known of the last capture.
type cut struct {
	changes uint64
	digest  digest
}

func newSet(c *Checkpointer) *set {
	s := &set{c: c, units: c.units}
	s.m = newMember(c, setID, c.namespace()+setID, nil)
	s.m.counted, s.m.set = s, s
	return s
}

// add makes a registered component a part of the set.
func (s *set) add(m *member) {
	m.part = &part{s: s, m: m}
	s.parts = append(s.parts, m.part)
	if m.tracked == nil {
		s.m.extended.Store(true) // changes show in its bytes alone
	}
}

// changeCount implements counted. Each addend only grows.
func (s *set) changeCount() (sum uint64) {
	for _, p := range s.list() {
		sum += p.m.changeCount()
	}
	return sum
}

// list returns the parts, also while components are being registered.
func (s *set) list() []*part {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.parts
}

// fresh implements counted.
func (s *set) fresh() bool {
	for _, p := range s.list() {
		if p.m.counted == nil || !p.m.counted.fresh() {
			return false
		}
	}
	return true
}

// captured returns what is known of the last capture.
func (s *set) captured() (changes uint64, d digest) { return s.cut.changes, s.cut.digest }

// settled takes the result of an attempt to save in and returns how long units
// of work were held up for it.
func (s *set) settled(err error) (pause time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil || errors.Is(err, ErrNotDurable) {
		for _, p := range s.parts {
			p.stored = p.captured
		}
	}
	pause, s.pause = s.pause, 0
	return pause
}

// status is that of the set, with what is the component's own.
func (p *part) status() ComponentStatus {
	st := p.s.m.snapshotStatus()
	p.m.mu.Lock()
	own := p.m.status
	p.m.mu.Unlock()
	st.ComponentID = p.m.id
	if st.Saves == 0 { // what was restored, from wherever
		st.Version, st.SavedAt, st.Bytes = own.Version, own.SavedAt, own.Bytes
	}
	if own.Err != nil {
		st.Err = own.Err
	}
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	if st.Saves > 0 {
		st.Bytes = p.bytes
	}
	st.Pause = p.cost
	if p.m.counts() {
		st.Changed = p.m.changeCount() > p.stored || p.s.m.uncertain()
	}
	return st
}

// uncertain reports that of the stored set, as a whole, it cannot be said that it
// is there and durable.
func (m *member) uncertain() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stored.short || !m.stored.anywhere && !m.counted.fresh()
}

// unsaved lists the components whose changes are not in the stored set, and all
// when that cannot be told.
func (s *set) unsaved() []ComponentStatus {
	var all, changed []ComponentStatus
	for _, p := range s.list() {
		st := p.status()
		all = append(all, st)
		if st.Changed {
			changed = append(changed, st)
		}
	}
	if len(changed) > 0 {
		return changed
	}
	return all
}

// explainSize adds to ErrTooLarge who makes the set large.
func (s *set) explainSize(err error) error {
	largest, size := "", -1
	for _, p := range s.parts {
		if len(p.raw) > size {
			largest, size = p.m.id, len(p.raw)
		}
	}
	return fmt.Errorf("%w; the limit is for the sum of all components, and the largest is %q with %d bytes", err, largest, size)
}

// hold waits until no unit of work is under way and holds up new ones.
func (s *set) hold(ctx context.Context) error {
	if err := s.units.Close(ctx); err != nil {
		return fmt.Errorf("a unit of work does not end (Do, Commit or Checkpoint inside Do?): %w", err)
	}
	return nil
}
