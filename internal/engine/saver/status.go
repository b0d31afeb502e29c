package saver

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/durablestate/durable/internal/engine/report"
)

// Status returns what is known of the state.
func (s *Saver) Status() report.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.storedStatus()
	st.Changed, st.Age = s.changed(), s.age(time.Now())
	return st
}

// age is how long ago the stored copy was known to be current. The caller holds s.mu.
func (s *Saver) age(now time.Time) time.Duration {
	if s.lastCurrent == 0 {
		return 0
	}
	return max(0, s.sys.since(s.lastCurrent, now))
}

// StoredStatus is the part of Status that needs no look at the subject.
func (s *Saver) StoredStatus() report.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.storedStatus()
}

// storedStatus is StoredStatus. The caller holds s.mu.
func (s *Saver) storedStatus() report.Status {
	x := s.known()
	d := cmp.Or(x.lastDurable, &s.copy)
	return report.Status{
		ComponentID: s.ID(), Version: d.version, SavedAt: unixTime(d.savedAt), Bytes: d.bytes,
		Saves: s.saves, Skips: uint64(s.skips), Failures: uint64(s.failures), Err: x.err,
	}
}

// Uncertain reports that the stored copy may be gone, or is not durable.
func (s *Saver) Uncertain() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.copy.belowLevel || !s.copy.exists && !s.subject.Mark().Fresh
}

// Next returns epoch and version of the next save, unless the store has others.
func (s *Saver) Next() (epoch, version uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.copy.epoch, s.copy.used + 1
}

// overdueIntervals is how many may pass without a save or a check at the most.
const overdueIntervals = 3

// Health returns why the state is not being saved as it should be, nil when it is.
func (s *Saver) Health(now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != open {
		return s.gate()
	}
	if err := s.known().err; isFinal(err) {
		return err
	}
	if age := s.sys.since(s.lastCurrent, now); age/overdueIntervals > s.Interval() {
		err := cmp.Or(s.known().err, errors.New("is the Checkpointer started?"))
		return s.fault("health", fmt.Errorf("no checkpoint for %s: %w", age.Round(time.Second), err))
	}
	return nil
}

const (
	// fewComponents are refreshed with every checkpoint, so that a copy that
	// vanished is soon written again. More would be a load of its own.
	fewComponents = 1000
	// mostUnrefreshed is how long a copy goes unseen that seems in no danger.
	mostUnrefreshed = 15 * time.Minute
)

// unrefreshed is for how long a stored copy needs no refresh; 0: it is to be
// refreshed with every checkpoint.
func (sys *System) unrefreshed() time.Duration {
	if sys.Custodian == nil || sys.Count() <= fewComponents {
		return 0
	}
	if ttl := sys.Custodian.Lifetime(); ttl > 0 {
		return min(ttl/4, mostUnrefreshed)
	}
	return mostUnrefreshed
}

// upToDate reports that the stored copy is as it should be, without asking the store:
// nothing changed since it was seen there a while ago, the lease is being renewed,
// so the store can be reached and nobody took over, and nothing was seen to be
// lost. The caller holds s.mu.
func (s *Saver) upToDate(now time.Time) bool {
	m := s.subject.Mark()
	return m.Exact && m.Changes == s.copy.changes && s.copy.attempt != (writeID{}) && !s.copy.belowLevel && s.known().err == nil &&
		s.sys.since(s.lastSeen, now) < s.sys.unrefreshed() && s.copy.losses == s.sys.lost() && s.sys.Ownership.Renewed(now)
}

// changed reports that the subject has a state that is not stored, as far as can
// be told without asking it. The caller holds s.mu.
func (s *Saver) changed() bool {
	m := s.subject.Mark()
	switch {
	case s.copy.belowLevel:
		return true
	case !s.copy.exists && !m.Fresh: // nothing stored, and something to store
		return true
	case m.Changes > s.copy.changes:
		return true
	}
	return !m.Exact && s.known().unsaved // the last attempt found what the count does not tell
}
