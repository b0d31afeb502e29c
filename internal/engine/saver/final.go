package saver

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/durablestate/durable/internal/engine/component"
	"github.com/durablestate/durable/internal/engine/flight"
	"github.com/durablestate/durable/internal/engine/report"
	"github.com/durablestate/durable/internal/store"
)

// SizeOfChange is how much there is to save, judged by the last save: 0 for a
// state that did not change, at least 1 for one that did or may have.
func (s *Saver) SizeOfChange() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.subject.Mark().Exact && !s.changed() {
		return 0
	}
	return 1 + s.copy.bytes
}

// Pending reports whether Close may save the state, and whether it has to: the last
// change is not durable, or nobody knows.
func (s *Saver) Pending() (may, must bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	may = s.phase == open
	return may, may && s.unsaved()
}

// finalTries bounds how often Close tries what trying does not help much: a state that
// still changes, because the workers should have been quiet, is stored below the level,
// or is not given by its component.
const finalTries = 3

// Tries returns how often Close may try a state of which a try ended with err.
func Tries(err error) int {
	switch class := store.ClassOf(err); {
	case isFinal(err):
		return 1
	case errors.As(err, new(stuckError)):
		return finalTries
	case class == store.Unreached, class == store.Refused:
		return math.MaxInt
	}
	return finalTries
}

// isFinal reports that the store does not take the state as it is.
func isFinal(err error) bool {
	return store.ClassOf(err) == store.Permanent && !errors.As(err, new(stuckError))
}

// Spillable is Pending for the spill: it has what is not durable, unless it has that
// already.
func (s *Saver) Spillable() (may, must bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	may = s.phase == open && !s.isSpilled() && s.unsaved()
	return may, may
}

// unsaved reports that the last change is not durable, or that nobody knows. Errors
// say nothing about that: a check that failed leaves a stored change stored. The caller
// holds s.mu.
func (s *Saver) unsaved() bool {
	switch {
	case !s.ever && s.untouched(): // only set up
		return false
	case s.changed():
		return true
	}
	return !s.told && !s.subject.Mark().Exact // one has to ask
}

// untouched reports that a state that was never restored has not changed since a
// restore was first asked for. The caller holds s.mu.
func (s *Saver) untouched() bool {
	x := s.known()
	return !x.asked || s.subject.Mark().Changes == x.setUp
}

// Reasons are why Close could not save states that have no error of their own.
type Reasons struct {
	Began    time.Time // when Close did
	Now      time.Time
	NotBegun error // no save of it began; as it is shown
	NotEnded error // one did not come to its end
	Changed  error // it was changed meanwhile
}

// CloseIfSaved refuses saves for good if the last change is durable, and reports that.
func (s *Saver) CloseIfSaved() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	saved := !s.unsaved()
	if saved {
		s.enter(closed, nil)
	}
	return saved
}

// Finish refuses saves for good. It returns what is known of the state, and why its
// last change is not durable.
func (s *Saver) Finish(why *Reasons) report.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.storedStatus()
	st.Age, st.Changed, st.Err, st.Spilled = s.age(why.Now), true, s.whyUnsaved(why), s.isSpilled()
	s.enter(closed, nil)
	return st
}

// whyUnsaved says why Close could not save the state. The caller holds s.mu.
func (s *Saver) whyUnsaved(why *Reasons) error {
	x := s.known()
	err := x.err
	switch {
	case s.phase != open:
		err = s.gate()
	case !s.line.Quiet():
		err = s.Fail("save", why.NotEnded)
	case err == nil && s.lastCurrent < s.sys.instant(why.Began):
		err = why.NotBegun
	case err == nil:
		err = s.Fail("save", why.Changed)
	}
	if x.spilled > 0 && !s.isSpilled() && x.unspilled == nil {
		x.unspilled = errSpilledBefore
	}
	if x.unspilled != nil {
		err = fmt.Errorf("%w; it was not spilled either: %w", err, x.unspilled)
	}
	return err
}

// spillState saves the state to System.Spill, as the version that the store would
// have got next, unless it turns out to be stored. The next restore offers it to the
// store. It is a flight like that of a save, so that there is one at a time.
func (s *Saver) spillState(ctx context.Context, f *flight.Flight) error {
	if _, must := s.Spillable(); !must {
		return nil
	}
	start := time.Now()
	snap := &store.Snapshot{}
	c, err := s.capture(ctx, f)
	if err == nil && s.isStored(c) {
		return nil
	}
	if err == nil {
		snap = c.Snapshot
		err = s.spill(ctx, snap)
	}
	s.sys.Emit("spill", s.ID(), snap.Version, len(snap.Data), start, err)
	s.noteSpilled(c.Changes, err)
	return err
}

func (s *Saver) noteSpilled(changes uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.rare()
	x.unspilled = err
	if err == nil {
		x.spilled = changes + 1
	}
}

var errSpilledBefore = errors.New("what was spilled is older than its last change")

// isSpilled reports that the last change, as far as changes are counted, is in the
// spill. The caller holds s.mu.
func (s *Saver) isSpilled() bool {
	x := s.known()
	return x.spilled > 0 && x.spilled > s.subject.Mark().Changes
}

// isStored reports that the state c, of which no change count tells, is the stored one.
func (s *Saver) isStored(c component.Capture) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.known()
	if x.unsaved || !s.copy.exists || s.copy.belowLevel || c.Digest == (component.Digest{}) || c.Digest != x.digest {
		return false
	}
	s.told = true
	return true
}

// spill saves snap above everything that was ever spilled of the state.
func (s *Saver) spill(ctx context.Context, snap *store.Snapshot) (err error) {
	s.mu.Lock()
	snap.Epoch, snap.Version = s.copy.epoch, s.copy.used
	s.mu.Unlock()
	snap.SavedAt = time.Now()
	for range conflictTries {
		if snap.Version, err = store.Next("version", snap.Version); err != nil {
			return err
		}
		if err = s.sys.Spill.Save(ctx, s.Name(), snap); !errors.Is(err, store.ErrConflict) {
			break
		}
		f, _ := s.sys.Words.Fence(err)
		snap.Version = max(snap.Version, f.Version)
	}
	s.use(snap.Version)
	return err
}
