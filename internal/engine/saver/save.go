package saver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/durablestate/durable/internal/engine/component"
	"github.com/durablestate/durable/internal/engine/flight"
	"github.com/durablestate/durable/internal/engine/report"
	"github.com/durablestate/durable/internal/engine/wait"
	"github.com/durablestate/durable/internal/store"
)

// attempt is one attempt to save: what it does, and what is stored if it succeeds.
type attempt struct {
	op     string // "save", or "skip" for a refresh
	copy   Copy
	digest component.Digest
	final  bool // Close has begun before it
}

// Fly implements flight.Task: it makes one attempt to save.
func (s *Saver) Fly(f *flight.Flight) error {
	if ctx := s.sys.spilling.Load(); ctx != nil {
		return s.spillState(*ctx, f)
	}
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
	return attempt{copy: s.copy, digest: s.known().digest, final: s.sys.Closing.Err() != nil}, s.gate()
}

// save saves the state; if nothing changed since last, it only refreshes the copy.
func (s *Saver) save(ctx context.Context, f *flight.Flight, last attempt) (attempt, error) {
	known := last.copy.attempt != (writeID{})
	if m := s.subject.Mark(); known && m.Exact && m.Changes == last.copy.changes {
		done, vanished, err := s.refresh(ctx, last)
		if !vanished {
			return done, err
		}
	}
	last.op = "save"
	c, err := s.capture(ctx, f)
	if err != nil {
		return last, stuckError{err}
	}
	next := last
	next.copy.changes, next.copy.bytes, next.digest = c.Changes, len(c.Snapshot.Data), c.Digest
	if known && c.Digest != (component.Digest{}) && c.Digest == last.digest {
		done, vanished, err := s.refresh(ctx, next)
		if !vanished {
			return done, err
		}
	}
	return s.write(ctx, next, c.Snapshot)
}

// capture asks for the state within the flight f. A component may take its time; when
// that is over, its state is not sent any more.
func (s *Saver) capture(ctx context.Context, f *flight.Flight) (component.Capture, error) {
	s.sys.Crew.Call(f)
	c, err := s.subject.Capture(ctx)
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		s.sys.Crew.Weigh(f, len(c.Snapshot.Data))
	}
	return c, err
}

// refresh keeps the stored copy alive. vanished: it must be written again.
func (s *Saver) refresh(ctx context.Context, last attempt) (done attempt, vanished bool, err error) {
	last.op = "skip"
	err = s.sys.send(ctx, s.Name(), &store.Snapshot{Epoch: last.copy.epoch, Version: last.copy.version, WriteID: last.copy.attempt.String()})
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
		if c.used, err = store.Next("version", c.used); err != nil {
			break
		}
		s.use(c.used)
		id = newWriteID()
		state.Epoch, state.Version, state.WriteID, state.SavedAt = c.epoch, c.used, id.String(), time.Now()
		err = s.sys.send(ctx, s.Name(), state)
		if !errors.Is(err, store.ErrConflict) || s.sys.Ownership.Superseded(err) {
			break
		}
		f, _ := s.sys.Words.Fence(err)
		c.used = max(c.used, f.Version)
	}
	if store.IsStored(err) { // if below the level, the next attempt asks for a confirmation only
		c.attempt, c.version, c.exists, c.belowLevel = id, state.Version, true, err != nil
	}
	return next, err
}

// use notes that version was tried: whatever became of it, it is never used again.
func (s *Saver) use(version uint64) {
	s.mu.Lock()
	s.copy.used = max(s.copy.used, version)
	s.mu.Unlock()
}

// stuckError: a component gave no state, which says nothing about the store.
type stuckError struct{ error }

func (e stuckError) Unwrap() error { return e.error }

// superseded reports that err, of an attempt, is the store's word that somebody else
// has the state. A component may meet the fence of another store.
func (s *Saver) superseded(err error) bool {
	return err != nil && !errors.As(err, new(stuckError)) && s.sys.Ownership.Superseded(err)
}

// record takes the result of an attempt in and returns what was stored before.
// losses is how much the store was known to have lost when it began.
func (s *Saver) record(done attempt, err error, losses uint32, now time.Time) (before Copy) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before = s.copy
	s.told = s.told || done.final && !errors.As(err, new(stuckError))
	switch {
	case err != nil:
		s.failures.add()
	case done.op == "skip":
		s.skips.add()
	default:
		s.saves++
	}
	if err == nil && (done.op == "save" || before.belowLevel) {
		done.copy.savedAt = now.UnixNano()
	}
	if err != nil || s.extras != nil || done.digest != (component.Digest{}) {
		s.recordRare(done, err)
	}
	if store.IsStored(err) {
		s.copy = done.copy
	}
	if err == nil {
		s.lastCurrent, s.lastSeen, s.copy.losses = s.sys.instant(now), s.sys.instant(now), losses
	}
	if s.superseded(err) {
		s.enter(shut, err)
	}
	return before
}

// recordRare records what not every state has. The caller holds s.mu.
func (s *Saver) recordRare(done attempt, err error) {
	r := s.rare()
	differs := done.op == "save" && (done.digest == component.Digest{} || done.digest != r.digest)
	r.err, r.unsaved = err, err != nil && (r.unsaved || differs) // what failed may be stored all the same
	if err == nil {
		r.backoff, r.lastDurable = 0, nil
	} else if store.IsStored(err) && r.lastDurable == nil {
		before := s.copy
		r.lastDurable = &before
	}
	if store.IsStored(err) {
		r.digest = done.digest
	}
	s.trim()
}

// A final snapshot is warned of when it is less than the shrunkTo-th part of one
// that had at least shrunkFrom bytes: was the state cleaned up before Close?
const (
	shrunkTo   = 10
	shrunkFrom = 64
)

// react does what an attempt's result asks for beyond the state itself.
func (s *Saver) react(before Copy, done attempt, err error) {
	id := s.ID()
	switch {
	case err == nil:
		s.sys.Note(id, nil)
		if s.sys.Closing.Err() != nil && before.bytes >= shrunkFrom && done.copy.bytes*shrunkTo <= before.bytes {
			s.sys.Log.Warn("durable: the final snapshot is less than a tenth of the one before; was the component cleaned up before Close?",
				"component", id, "bytes", done.copy.bytes, "before", before.bytes)
		}
	case s.superseded(err):
		s.sys.Log.Error("durable: another owner has taken the component over; it is not saved any more until restored", "component", id, "error", err)
		s.sys.Emit("fence", id, done.copy.version, 0, time.Now(), err)
		s.sys.Ownership.Suspect()
	default:
		s.sys.Note(id, err)
		s.retrySoon()
	}
}

const firstBackoff = time.Second

// retrySoon brings the next checkpoint forward after a failure, with
// decorrelated jitter, so that a store that comes back is not stormed.
func (s *Saver) retrySoon() {
	if s.sys.Closing.Err() != nil { // it has its own ways
		return
	}
	s.mu.Lock()
	r := s.rare()
	r.backoff = min(s.Interval(), wait.Jitter(firstBackoff, 3*max(r.backoff, firstBackoff)))
	in := r.backoff
	s.mu.Unlock()
	s.sys.Retry(s, time.Now().Add(in))
}

// NoticeRollback tells of acknowledged saves that the store was seen to have lost.
func (s *Saver) NoticeRollback(version uint64) {
	if s.sys.Custodian == nil {
		return
	}
	if what := s.sys.Custodian.Rollback(s.Name()); what != "" {
		s.sys.Log.Error("durable: the store lost acknowledged saves; the next checkpoint writes the newest state again", "component", s.ID(), "seen", what)
		s.sys.Emit("rollback", s.ID(), version, 0, time.Now(), fmt.Errorf("%w: %s", store.ErrLost, what))
	}
}
