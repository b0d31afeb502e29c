package saver

import (
	"context"
	"errors"
	"time"

	"github.com/durablestate/durable/internal/engine/component"
	"github.com/durablestate/durable/internal/engine/flight"
	"github.com/durablestate/durable/internal/engine/report"
	"github.com/durablestate/durable/internal/store"
)

// attempt is one attempt to save: what it does, and what is stored if it succeeds.
type attempt struct {
	op     string // "save", or "skip" for a refresh
	copy   Copy
	digest component.Digest
}

// Fly implements flight.Task: it makes one attempt to save.
func (s *Saver) Fly(f *flight.Flight) error {
	last, gate := s.last()
	if gate != nil {
		return gate
	}
	losses, start := s.sys.lost(), time.Now()
	done, err := s.save(s.sys.Deadlines.Begin(start), f, last)
	pause, err := s.subject.Settled(err)
	if err != nil {
		err = s.Fail("save", err)
	}
	now := time.Now()
	before := s.record(done, err, losses, now)
	s.NoticeRollback(done.copy.version)
	s.sys.Events.Emit(report.Event{Op: done.op, ComponentID: s.ID(), Version: done.copy.version, Bytes: done.copy.bytes, Duration: now.Sub(start), Pause: pause, Err: err})
	s.react(before, done, err)
	return err
}

// last returns what is stored, or why the state cannot be saved.
func (s *Saver) last() (attempt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := attempt{copy: s.copy}
	if s.extras != nil {
		last.digest = s.extras.digest
	}
	return last, s.gate()
}

// save saves the state, or only keeps the stored copy alive when nothing changed
// since last.
func (s *Saver) save(ctx context.Context, f *flight.Flight, last attempt) (attempt, error) {
	known := last.copy.attempt != (writeID{})
	if m := s.subject.Mark(); known && m.Exact && m.Changes == last.copy.changes {
		done, vanished, err := s.refresh(ctx, last)
		if !vanished {
			return done, err
		}
	}
	last.op = "save"
	c, err := s.subject.Capture(ctx)
	if err != nil {
		return last, stuckError{err}
	}
	next := last
	next.copy.changes, next.copy.bytes, next.digest = c.Changes, len(c.Snapshot.Data), c.Digest
	s.sys.Crew.Weigh(f, next.copy.bytes)
	if known && c.Digest != (component.Digest{}) && c.Digest == last.digest {
		done, vanished, err := s.refresh(ctx, next)
		if !vanished {
			return done, err
		}
	}
	return s.write(ctx, next, c.Snapshot)
}

// refresh keeps the stored copy of an unchanged state alive. vanished means that
// it must be written again.
func (s *Saver) refresh(ctx context.Context, last attempt) (done attempt, vanished bool, err error) {
	last.op = "skip"
	err = s.sys.Save(ctx, s.Name(), &store.Snapshot{Epoch: last.copy.epoch, Version: last.copy.version, WriteID: last.copy.attempt.String()})
	switch {
	case err == nil:
		last.copy.exists, last.copy.belowLevel = true, false
	case errors.Is(err, store.ErrLost), errors.Is(err, store.ErrConflict) && !s.sys.Ownership.Superseded(err):
		s.sys.Log.Warn("durable: stored state has vanished or was replaced, writing it again", "component", s.ID(), "error", err)
		s.sys.Emit("vanished", s.ID(), last.copy.version, 0, time.Now(), err)
		s.mu.Lock()
		s.copy.exists = false // until that has succeeded
		s.mu.Unlock()
		return attempt{}, true, nil
	}
	return last, false, err
}

// conflictTries is how often a version above the one that was met is tried.
const conflictTries = 4

// write stores state as a new version. The owner of a state continues above
// whatever version it meets. It changes state.
func (s *Saver) write(ctx context.Context, next attempt, state *store.Snapshot) (attempt, error) {
	c, id := &next.copy, writeID{}
	var err error
	for try := range conflictTries {
		if try > 0 { // an adapter that keeps a snapshot, against its contract, must not see it change
			again := *state
			state = &again
		}
		c.used++
		s.use(c.used)
		id = newWriteID()
		state.Epoch, state.Version, state.WriteID, state.SavedAt = c.epoch, c.used, id.String(), time.Now()
		err = s.sys.Save(ctx, s.Name(), state)
		if !errors.Is(err, store.ErrConflict) || s.sys.Ownership.Superseded(err) {
			break
		}
		f, _ := s.sys.Words.Fence(err)
		c.used = max(c.used, f.Version)
	}
	if stored(err) {
		c.attempt, c.version, c.exists, c.belowLevel = id, state.Version, true, err != nil
	}
	return next, err
}

// stored reports that a save which ended with err is in the store, if not as
// durably as configured. Then the next attempt asks for a confirmation only.
func stored(err error) bool { return err == nil || errors.Is(err, store.ErrNotDurable) }

// use notes that version was tried: new bytes never take it again, whatever
// became of the attempt.
func (s *Saver) use(version uint64) {
	s.mu.Lock()
	s.copy.used = max(s.copy.used, version)
	s.mu.Unlock()
}

// stuckError is the failure of a component to give its state, which says nothing
// about the store.
type stuckError struct{ error }

func (e stuckError) Unwrap() error { return e.error }
