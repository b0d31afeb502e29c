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
	st.Changed = s.changed()
	if s.good != 0 {
		st.Age = max(0, s.sys.since(s.good, time.Now()))
	}
	return st
}

// StoredStatus is the part of Status that needs no look at the subject.
func (s *Saver) StoredStatus() report.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.storedStatus()
}

// storedStatus is StoredStatus. The caller holds s.mu.
func (s *Saver) storedStatus() report.Status {
	d := s.copy.durable()
	if s.extras != nil && s.extras.lastDurable != nil {
		d = *s.extras.lastDurable
	}
	return report.Status{
		ComponentID: s.ID(), Version: d.version, SavedAt: unixTime(d.savedAt), Bytes: d.bytes,
		Saves: s.saves, Skips: s.skips, Failures: s.failures, Err: s.err(),
	}
}

// Uncertain reports that of the stored copy it cannot be said that it is there and
// durable.
func (s *Saver) Uncertain() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.copy.belowLevel || !s.copy.exists && !s.subject.Mark().Fresh
}

// Next returns the epoch and the version that the next save will have, unless the
// store has others.
func (s *Saver) Next() (epoch, version uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.copy.epoch, s.copy.used + 1
}

// overdueIntervals is after how many intervals without a save or a check something
// is wrong.
const overdueIntervals = 3

// Health returns why the state is not being saved as it should be, nil when it is.
func (s *Saver) Health(now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != open {
		return s.gate()
	}
	if age := s.sys.since(s.good, now); age/overdueIntervals > s.Interval() {
		err := cmp.Or(s.err(), errors.New("is the Checkpointer started?"))
		return s.fault("health", fmt.Errorf("no checkpoint for %s: %w", age.Round(time.Second), err))
	}
	return nil
}
