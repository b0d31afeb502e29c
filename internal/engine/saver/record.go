package saver

import (
	"errors"
	"fmt"
	"time"

	"github.com/durablestate/durable/internal/engine/component"
	"github.com/durablestate/durable/internal/engine/wait"
	"github.com/durablestate/durable/internal/store"
)

// record takes the result of an attempt in and returns what was stored before.
// losses is how much the store was known to have lost when it began.
func (s *Saver) record(done attempt, err error, losses uint32, now time.Time) (before Copy) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before = s.copy
	switch {
	case err != nil:
		s.failures++
	case done.op == "skip":
		s.skips++
	default:
		s.saves++
	}
	if err == nil && (done.op == "save" || before.belowLevel) {
		done.copy.savedAt = now.UnixNano()
	}
	if err != nil || s.extras != nil || done.digest != (component.Digest{}) {
		s.recordRare(done, err)
	}
	if stored(err) {
		s.copy = done.copy
	}
	if err == nil {
		s.good, s.seen, s.copy.losses = s.sys.instant(now), s.sys.instant(now), losses
	}
	if err != nil && s.sys.Ownership.Superseded(err) {
		s.enter(shut, err)
	}
	return before
}

// recordRare is the part of record for what not every state has. The caller holds
// s.mu.
func (s *Saver) recordRare(done attempt, err error) {
	r := s.rare()
	r.err, r.unsaved = err, err != nil && done.op == "save"
	if err == nil {
		r.backoff, r.lastDurable = 0, nil
	} else if stored(err) && r.lastDurable == nil {
		d := s.copy.durable()
		r.lastDurable = &d
	}
	if stored(err) {
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
		s.sys.Down.Over(id)
		s.sys.Stuck.Over(id)
		if s.sys.Closing.Err() != nil && before.bytes >= shrunkFrom && done.copy.bytes*shrunkTo <= before.bytes {
			s.sys.Log.Warn("durable: the final snapshot is less than a tenth of the one before; was the component cleaned up before Close?",
				"component", id, "bytes", done.copy.bytes, "before", before.bytes)
		}
	case s.sys.Ownership.Superseded(err):
		s.sys.Log.Error("durable: another owner has taken the component over; it is not saved any more until restored", "component", id, "error", err)
		s.sys.Emit("fence", id, done.copy.version, 0, time.Now(), err)
		s.sys.Ownership.Suspect()
	case errors.As(err, new(stuckError)):
		s.sys.Stuck.Begin(id, err)
		s.retrySoon()
	default:
		s.sys.Stuck.Over(id)
		s.sys.Down.Begin(id, err)
		s.retrySoon()
	}
}

const firstBackoff = time.Second

// retrySoon brings the next checkpoint forward after a failure, with
// decorrelated jitter, so that a store that comes back is not stormed.
func (s *Saver) retrySoon() {
	s.mu.Lock()
	r := s.rare()
	r.backoff = min(s.Interval(), wait.Jitter(firstBackoff, 3*max(r.backoff, firstBackoff)))
	in := r.backoff
	s.mu.Unlock()
	s.sys.Retry(s, time.Now().Add(in))
}

// NoticeRollback raises an event when the store had lost acknowledged saves of
// the state.
func (s *Saver) NoticeRollback(version uint64) {
	if s.sys.Custodian == nil {
		return
	}
	if what := s.sys.Custodian.Rollback(s.Name()); what != "" {
		s.sys.Log.Error("durable: the store lost acknowledged saves", "component", s.ID(), "seen", what)
		s.sys.Emit("rollback", s.ID(), version, 0, time.Now(), fmt.Errorf("%w: %s", store.ErrLost, what))
	}
}
