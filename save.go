package durable

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

func (m *member) attemptSave(f *flight) error {
	m.mu.Lock()
	gate, last := m.gate(), outcome{stored: m.stored}
	if m.more != nil {
		last.digest = m.more.digest
	}
	m.mu.Unlock()
	if gate != nil {
		return gate
	}
	losses := m.c.lost()
	start := time.Now()
	done, err := m.saveChanged(m.c.workers.shifts.begin(start), f, last)
	if err != nil {
		err = m.fail("save", err)
	}
	now := time.Now()
	m.settle(done, err, losses, now)
	m.noticeRollback(done.version)
	e := Event{Op: done.op, ComponentID: m.id(), Version: done.version, Bytes: done.bytes, Duration: now.Sub(start), Err: err}
	if m.isSet() {
		e.Pause = m.c.set.settled(err)
	}
	m.c.emit(e)
	return err
}

// outcome is what one attempt to save came to, or what there was before it.
type outcome struct {
	op string // "save" or "skip"
	stored
	digest digest
}

// saveChanged saves the component, or only keeps the stored copy alive when
// nothing changed since last.
func (m *member) saveChanged(ctx context.Context, f *flight, last outcome) (outcome, error) {
	changes := m.changeCount() // before the capture, so that it covers at least these
	if m.counts() && last.attempt != (writeID{}) && changes == last.changes {
		done, vanished, err := m.refresh(ctx, last)
		if !vanished {
			return done, err
		}
	}
	last.op = "save"
	state, err := m.capture(ctx)
	if err != nil {
		return last, faultError{err}
	}
	next := last
	next.changes, next.bytes = changes, len(state.Data)
	m.c.workers.weigh(f, next.bytes)
	if m.isSet() {
		next.changes, next.digest = m.c.set.captured()
	} else if !m.counts() {
		next.digest = sha256.Sum256(state.Data)
	}
	if m.isSet() || !m.counts() {
		if last.attempt != (writeID{}) && next.digest == last.digest {
			done, vanished, err := m.refresh(ctx, next)
			if !vanished {
				return done, err
			}
		}
	}
	return m.write(ctx, next, state)
}

// refresh keeps the stored copy of an unchanged state alive. vanished means that
// it must be written again.
func (m *member) refresh(ctx context.Context, last outcome) (done outcome, vanished bool, err error) {
	last.op = "skip"
	err = m.c.adapter.SaveState(ctx, m.name, &Snapshot{Epoch: last.epoch, Version: last.version, WriteID: last.attempt.String()})
	switch {
	case errors.Is(err, ErrLost), m.c.owner != nil && errors.Is(err, ErrConflict):
		m.c.log.Warn("durable: stored state has vanished or was replaced, writing it again", "component", m.id(), "error", err)
		m.c.event("vanished", m, last.version, 0, time.Now(), err)
		m.mu.Lock()
		m.stored.anywhere = false // until that has succeeded
		m.mu.Unlock()
		return outcome{}, true, nil
	case err != nil:
		return last, false, err
	}
	last.anywhere, last.short = true, false
	return last, false, nil
}

const conflictTries = 4

// write stores state as a new version. The owner of a component continues above
// whatever version it meets; without ownership a conflict means another writer,
// who must not be overwritten.
func (m *member) write(ctx context.Context, next outcome, state *Snapshot) (outcome, error) {
	var err error
	for try := range conflictTries {
		next.tried++
		m.used(next.tried)
		id, s := newWriteID(), state
		if try > 0 { // the adapter has seen that one
			again := *state
			s = &again
		}
		s.Epoch, s.Version, s.WriteID, s.SavedAt = next.epoch, next.tried, id.String(), time.Now()
		err = m.c.adapter.SaveState(ctx, m.name, s)
		if stored := errors.Is(err, ErrNotDurable); err == nil || stored {
			next.attempt, next.version, next.anywhere, next.short = id, s.Version, true, stored
			break
		}
		if m.c.owner == nil || !errors.Is(err, ErrConflict) {
			break
		}
		_, version := fenceOf(nil, err)
		next.tried = max(next.tried, version)
	}
	if m.isSet() && errors.Is(err, ErrTooLarge) {
		err = m.c.set.explainSize(err)
	}
	return next, err
}

// used notes that version was tried: new bytes never take it again, whatever
// became of the attempt.
func (m *member) used(version uint64) {
	m.mu.Lock()
	m.stored.tried = max(m.stored.tried, version)
	m.mu.Unlock()
}

// settle takes the result of an attempt in. losses is how much the store was known
// to have lost when it began.
func (m *member) settle(done outcome, err error, losses uint32, now time.Time) {
	m.mu.Lock()
	before := m.stored
	switch {
	case err != nil:
		m.failures++
	case done.op == "skip":
		m.skips++
	default:
		m.saves++
	}
	if err == nil && (done.op == "save" || before.short) {
		done.savedAt = now.UnixNano()
	}
	if err != nil || m.more != nil || done.digest != (digest{}) {
		m.settleRest(done, err)
	}
	if err == nil || errors.Is(err, ErrNotDurable) { // then the next attempt asks for a confirmation only
		m.stored = done.stored
	}
	if err == nil {
		m.good, m.seen, m.stored.losses = m.c.instant(now), m.c.instant(now), losses
	}
	if m.refused(err) {
		m.enter(phaseShut, err)
	}
	m.mu.Unlock()
	m.follow(before, done, err)
}

// settleRest is the part of settle for what not every member has. The caller
// holds m.mu.
func (m *member) settleRest(done outcome, err error) {
	r := m.rest()
	r.err, r.unsaved = err, err != nil && done.op == "save"
	if err == nil {
		r.backoff, r.before = 0, nil
	}
	if errors.Is(err, ErrNotDurable) && r.before == nil {
		r.before = &confirmed{m.stored.version, m.stored.savedAt, m.stored.bytes}
	}
	if err == nil || errors.Is(err, ErrNotDurable) {
		r.digest = done.digest
	}
	m.trim()
}

// refused reports that saving must stop until the component is restored.
func (m *member) refused(err error) bool {
	return errors.Is(err, ErrFenced) || m.c.owner == nil && errors.Is(err, ErrConflict)
}

// follow does what an attempt's result asks for beyond the component itself.
func (m *member) follow(before stored, done outcome, err error) {
	switch {
	case err == nil:
		m.c.outage.over(m.id())
		m.c.faults.over(m.id())
		if m.c.closing.Err() != nil && before.bytes >= 64 && done.bytes*10 <= before.bytes {
			m.c.log.Warn("durable: the final snapshot is less than a tenth of the one before; was the component cleaned up before Close?",
				"component", m.id(), "bytes", done.bytes, "before", before.bytes)
		}
	case m.refused(err):
		m.c.log.Error("durable: another owner has taken the component over; it is not saved any more until restored", "component", m.id(), "error", err)
		m.c.event("fence", m, done.version, 0, time.Now(), err)
		if m.c.keeper != nil {
			m.c.keeper.check()
		}
	case errors.As(err, new(faultError)):
		m.c.faults.begin(m.id(), err)
		m.retrySoon()
	default:
		m.c.faults.over(m.id())
		m.c.outage.begin(m.id(), err)
		m.retrySoon()
	}
}

const firstBackoff = time.Second

// retrySoon brings the next checkpoint forward after a failure, with
// decorrelated jitter, so that a store that comes back is not stormed.
func (m *member) retrySoon() {
	m.mu.Lock()
	r := m.rest()
	r.backoff = min(m.interval, jitter(firstBackoff, 3*max(r.backoff, firstBackoff)))
	in := r.backoff
	m.mu.Unlock()
	m.c.due.sooner(m, time.Now().Add(in))
}

// capture encodes the state; the result says what it is and lacks what makes it
// a save. A panic in the component fails this component only.
func (m *member) capture(ctx context.Context) (state *Snapshot, err error) {
	if m.isSet() {
		return m.c.set.capture(ctx)
	}
	defer recovered(m, "SnapshotState", &err)
	data, err := m.comp.SnapshotState()
	if err != nil {
		return nil, err
	}
	if data == nil {
		data = []byte{}
	}
	m.extended.Store(m.counting && !(m.promoted && len(data) > 0))
	return &Snapshot{Schema: m.schema(), Codec: m.codec(), Data: data}, nil
}

// faultError is the failure of a component to give its state, which says nothing
// about the store.
type faultError struct{ error }

func (e faultError) Unwrap() error { return e.error }

func recovered(m *member, in string, err *error) {
	if r := recover(); r != nil {
		m.c.log.Error("durable: a component panicked", "component", m.id(), "in", in, "stack", string(debug.Stack()))
		*err = fmt.Errorf("panic in %s: %.200s", in, fmt.Sprint(r))
	}
}

func (m *member) codec() string {
	if t := m.tracked(); t != nil {
		return t.stateCodec()
	}
	return ""
}
