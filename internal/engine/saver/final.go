package saver

import (
	"context"
	"errors"
	"fmt"
	"time"

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

// finalRounds bounds how often a state that still changes is saved by Close: the
// workers should have been quiet.
const finalRounds = 3

// WantsFinal reports whether Close must save the state in its round, 1 or later.
func (s *Saver) WantsFinal(round int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.phase != open:
		return false
	case round == 1:
		return true
	case worthRepeating(s.known().err):
		return true
	default:
		return s.changed() && round <= finalRounds && !isFinal(s.known().err)
	}
}

// worthRepeating reports that Close should try again for as long as it has time after
// a save ended with err. What is below the level, or was not given, gets its rounds
// like a state that changes.
func worthRepeating(err error) bool {
	switch store.ClassOf(err) {
	case store.Unreached, store.Refused:
		return true
	}
	return false
}

// isFinal reports that the store does not take the state as it is.
func isFinal(err error) bool {
	return store.ClassOf(err) == store.Permanent && !errors.As(err, new(stuckError))
}

// Unsaved reports that the last change is not durable.
func (s *Saver) Unsaved() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.phase == open || s.subject.Mark().Exact // a closed gate lets nobody ask
	saved := s.line.Quiet() && !s.changed() && asked
	onlySetUp := !s.ever && s.untouched() // nothing processed
	return !saved && !onlySetUp
}

// untouched reports that a state that was never restored has not changed since a
// restore was first asked for. The caller holds s.mu.
func (s *Saver) untouched() bool {
	x := s.known()
	return !x.asked || s.subject.Mark().Changes == x.setUp
}

// WhyUnsaved says why a Close that began at that time, and gave its saves so
// long, could not save the state, whose last error was err.
func (s *Saver) WhyUnsaved(began time.Time, budget time.Duration, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.phase != open:
		return s.gate()
	case !s.line.Quiet(), err == nil && s.lastCurrent < s.sys.instant(began):
		return s.Fail("save", fmt.Errorf("not finished within the budget of %s", budget))
	case err == nil:
		return s.Fail("save", errors.New("it changed during Close"))
	}
	return err
}

// SpillState saves the state to System.Spill, as the version that the store would
// have got next. The next restore offers it to the store.
func (s *Saver) SpillState(ctx context.Context) error {
	start := time.Now()
	snap := &store.Snapshot{}
	c, err := s.subject.Capture(ctx)
	if err == nil {
		snap = c.Snapshot
		err = s.spill(ctx, snap)
	}
	s.sys.Emit("spill", s.ID(), snap.Version, len(snap.Data), start, err)
	return err
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

// Spillable reports that the state is restored, and no save of it hangs beyond ctx.
func (s *Saver) Spillable(ctx context.Context) bool {
	s.mu.Lock()
	f, isOpen := s.line.Last(), s.phase == open
	s.mu.Unlock()
	if !isOpen || f == nil {
		return isOpen
	}
	_ = f.Wait(ctx)
	return f.Over()
}
