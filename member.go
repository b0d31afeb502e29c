package durable

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// member is one registered component: what is known of its stored copy and the
// saves that are asked for.
type member struct {
	c        *Checkpointer
	id, name string // as registered, as the adapter knows it
	comp     Component
	tracked  tracked     // nil: the component does not count its changes
	extended atomic.Bool // the component makes more of its snapshot than tracked counts
	interval time.Duration
	policy   RestorePolicy

	mu      sync.Mutex
	gate    error   // why the component cannot save, nil when it can
	waiting *flight // asked for and not yet begun
	newest  *flight // the last one asked for
	busy    bool    // a goroutine works the flights off
	stored  stored
	status  ComponentStatus
	ever    bool // it was restored once
	unsaved bool // the last attempt found a change and failed

	asked     bool      // a Restore was asked for
	atRestore uint64    // change count at that moment; fixed once one succeeded
	good      time.Time // when the stored copy was last known to be current
	backoff   time.Duration

	// Only the Restore that is under way uses these.
	start   *Snapshot // state to start from, when it is not the zero state
	setUp   uint64    // change count when it began
	applied uint64    // change count up to which the state is the stored one
	floor   uint64    // epoch below which the spill adapter refuses saves
}

// stored is what is known of the copy in the store.
type stored struct {
	epoch    uint64
	tried    uint64            // highest version used by us or known to be taken
	attempt  string            // write id of the last accepted save; empty: none under this epoch
	version  uint64            // of that save
	changes  uint64            // change count it covers
	digest   [sha256.Size]byte // of its data, where the change count does not tell all
	bytes    int
	anywhere bool // some snapshot is stored and has not vanished
	short    bool // it is stored, but not as durably as configured
}

// flight is one save that any number of callers wait for.
type flight struct {
	done chan struct{}
	err  error // valid once done is closed
}

func newFlight() *flight { return &flight{done: make(chan struct{})} }

func landed(err error) *flight {
	f := newFlight()
	f.land(err)
	return f
}

func (f *flight) land(err error) {
	f.err = err
	close(f.done)
}

func (f *flight) landed() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

func (f *flight) wait(ctx context.Context) error {
	select {
	case <-f.done:
		return f.err
	default:
	}
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func newMember(c *Checkpointer, id, name string, comp Component) *member {
	m := &member{c: c, id: id, name: name, comp: comp, interval: c.opts.Interval, policy: c.opts.Restore}
	m.tracked, _ = comp.(tracked)
	m.gate = m.fail("save", ErrNotRestored)
	m.status.ComponentID = id
	own := c.opts.Components[id]
	setDefault(&own.Interval, m.interval)
	setDefault(&own.Restore, m.policy)
	m.interval, m.policy = own.Interval, own.Restore
	return m
}

// attach ties the component to its Checkpointer and checks its hooks.
func (m *member) attach() (err error) {
	defer recovered(m, "InitState", &err)
	if m.tracked != nil {
		if err := m.tracked.attach(m.comp, m); err != nil {
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
	return &Error{Op: op, ComponentID: m.id, Err: err}
}

// save implements host.
func (m *member) save(ctx context.Context) error { return m.request().wait(ctx) }

// request returns a flight that covers every change made so far. It is the way
// in for everybody but Close.
func (m *member) request() *flight {
	if m.c.closing.Err() != nil {
		return landed(m.fail("save", ErrClosed))
	}
	return m.enqueue()
}

func (m *member) enqueue() *flight {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.waiting != nil {
		return m.waiting // it has not begun, so it will cover this change too
	}
	f := newFlight()
	m.waiting, m.newest = f, f
	if !m.busy {
		m.busy = m.c.spawn(m.work)
		if !m.busy {
			m.waiting = nil
			f.land(m.fail("save", ErrClosed))
		}
	}
	return f
}

// tick is a scheduled checkpoint. One that comes while a save is under way is
// left out.
func (m *member) tick() {
	m.mu.Lock()
	idle := m.gate == nil && !m.busy
	m.mu.Unlock()
	if idle {
		m.request()
	}
}

// work lands flights until none waits.
func (m *member) work() {
	for {
		m.c.slots <- struct{}{}
		m.mu.Lock()
		f := m.waiting
		m.waiting = nil // whoever comes from here on needs another flight
		m.busy = f != nil
		m.mu.Unlock()
		if f != nil {
			f.land(m.attemptSave())
		}
		<-m.c.slots
		if f == nil {
			return
		}
	}
}

func (m *member) attemptSave() error {
	m.mu.Lock()
	gate, last := m.gate, m.stored
	m.mu.Unlock()
	if gate != nil {
		return gate
	}
	ctx, cancel := context.WithTimeout(m.c.life, m.c.opts.SaveTimeout)
	defer cancel()
	start := time.Now()
	done, err := m.saveChanged(ctx, last)
	if err != nil {
		err = m.fail("save", err)
	}
	m.settle(done, err)
	m.c.event(done.op, m, done.version, done.bytes, start, err)
	return err
}

// outcome is what one attempt to save came to.
type outcome struct {
	op string // "save" or "skip"
	stored
}

// saveChanged saves the component, or only keeps the stored copy alive when
// nothing changed since last.
func (m *member) saveChanged(ctx context.Context, last stored) (outcome, error) {
	changes := m.changeCount() // before the capture, so that it covers at least these
	if m.counts() && last.attempt != "" && changes == last.changes {
		done, vanished, err := m.refresh(ctx, last)
		if !vanished {
			return done, err
		}
	}
	state, err := m.capture()
	if err != nil {
		return outcome{"save", last}, faultError{err}
	}
	next := last
	next.changes, next.bytes = changes, len(state.Data)
	if !m.counts() {
		next.digest = sha256.Sum256(state.Data)
		if last.attempt != "" && next.digest == last.digest {
			done, vanished, err := m.refresh(ctx, next)
			if !vanished {
				return done, err
			}
		}
	}
	return m.write(ctx, next, state)
}

// counts reports that the component's change count tells of every change.
func (m *member) counts() bool { return m.tracked != nil && !m.extended.Load() }

func (m *member) changeCount() uint64 {
	if m.tracked == nil {
		return 0
	}
	return m.tracked.changeCount()
}

// refresh keeps the stored copy of an unchanged state alive. vanished means that
// it must be written again.
func (m *member) refresh(ctx context.Context, last stored) (done outcome, vanished bool, err error) {
	err = m.c.adapter.SaveState(ctx, m.name, &Snapshot{Epoch: last.epoch, Version: last.version, WriteID: last.attempt})
	switch {
	case errors.Is(err, ErrLost), m.c.owner != nil && errors.Is(err, ErrConflict):
		m.c.log.Warn("durable: stored state has vanished or was replaced, writing it again", "component", m.id, "error", err)
		m.mu.Lock()
		m.stored.anywhere = false // until that has succeeded
		m.mu.Unlock()
		return outcome{}, true, nil
	case err != nil:
		return outcome{"skip", last}, false, err
	}
	last.anywhere, last.short = true, false
	return outcome{"skip", last}, false, nil
}

const conflictTries = 4

// write stores state as a new version. The owner of a component continues above
// whatever version it meets; without ownership a conflict means another writer,
// who must not be overwritten.
func (m *member) write(ctx context.Context, next stored, state *Snapshot) (outcome, error) {
	var err error
	for range conflictTries {
		next.tried++
		m.used(next.tried)
		s := *state
		s.Epoch, s.Version, s.WriteID, s.SavedAt = next.epoch, next.tried, rand.Text(), time.Now()
		err = m.c.adapter.SaveState(ctx, m.name, &s)
		if stored := errors.Is(err, ErrNotDurable); err == nil || stored {
			next.attempt, next.version, next.anywhere, next.short = s.WriteID, s.Version, true, stored
			break
		}
		if m.c.owner == nil || !errors.Is(err, ErrConflict) {
			break
		}
		_, version := fenceOf(nil, err)
		next.tried = max(next.tried, version)
	}
	return outcome{"save", next}, err
}

// used notes that version was tried: new bytes never take it again, whatever
// became of the attempt.
func (m *member) used(version uint64) {
	m.mu.Lock()
	m.stored.tried = max(m.stored.tried, version)
	m.mu.Unlock()
}

// settle takes the result of an attempt in.
func (m *member) settle(done outcome, err error) {
	now := time.Now()
	m.mu.Lock()
	before := m.stored
	m.status.Err = err
	switch {
	case err != nil:
		m.status.Failures++
	case done.op == "skip":
		m.status.Skips++
	default:
		m.status.Saves++
	}
	if err == nil && (done.op == "save" || before.short) {
		m.status.Version, m.status.SavedAt, m.status.Bytes = done.version, now, done.bytes
	}
	m.unsaved = err != nil && done.op == "save"
	if err == nil {
		m.good, m.backoff = now, 0
	}
	if err == nil || errors.Is(err, ErrNotDurable) { // then the next attempt asks for a confirmation only
		m.stored = done.stored
	}
	if refused := m.refused(err); refused {
		m.gate = err
	}
	m.mu.Unlock()
	m.follow(before, done, err)
}

// refused reports that saving must stop until the component is restored.
func (m *member) refused(err error) bool {
	return errors.Is(err, ErrFenced) || m.c.owner == nil && errors.Is(err, ErrConflict)
}

// follow does what an attempt's result asks for beyond the component itself.
func (m *member) follow(before stored, done outcome, err error) {
	switch {
	case err == nil:
		m.c.outage.over(m.id)
		m.c.faults.over(m.id)
		if m.c.closing.Err() != nil && before.bytes >= 64 && done.bytes*10 <= before.bytes {
			m.c.log.Warn("durable: the final snapshot is less than a tenth of the one before; was the component cleaned up before Close?",
				"component", m.id, "bytes", done.bytes, "before", before.bytes)
		}
	case m.refused(err):
		m.c.log.Error("durable: another owner has taken the component over; it is not saved any more until restored", "component", m.id, "error", err)
		m.c.event("fence", m, done.version, 0, time.Now(), err)
		if m.c.keeper != nil {
			m.c.keeper.check()
		}
	case errors.As(err, new(faultError)):
		m.c.faults.begin(m.id, err)
		m.retrySoon()
	default:
		m.c.faults.over(m.id)
		m.c.outage.begin(m.id, err)
		m.retrySoon()
	}
}

const firstBackoff = time.Second

// retrySoon brings the next checkpoint forward after a failure, with
// decorrelated jitter, so that a store that comes back is not stormed.
func (m *member) retrySoon() {
	m.mu.Lock()
	m.backoff = min(m.interval, jitter(firstBackoff, 3*max(m.backoff, firstBackoff)))
	in := m.backoff
	m.mu.Unlock()
	m.c.due.sooner(m, time.Now().Add(in))
}

// capture encodes the state; the result says what it is and lacks what makes it
// a save. A panic in the component fails this component only.
func (m *member) capture() (state *Snapshot, err error) {
	defer recovered(m, "SnapshotState", &err)
	data, err := m.comp.SnapshotState()
	if err != nil {
		return nil, err
	}
	if data == nil {
		data = []byte{}
	}
	m.extended.Store(m.tracked != nil && !m.tracked.encodes(data))
	return &Snapshot{Schema: m.schema(), Codec: m.codec(), Data: data}, nil
}

// faultError is the failure of a component to give its state, which says nothing
// about the store.
type faultError struct{ error }

func (e faultError) Unwrap() error { return e.error }

func recovered(m *member, in string, err *error) {
	if r := recover(); r != nil {
		m.c.log.Error("durable: a component panicked", "component", m.id, "in", in, "stack", string(debug.Stack()))
		*err = fmt.Errorf("panic in %s: %.200s", in, fmt.Sprint(r))
	}
}

func (m *member) codec() string {
	if m.tracked != nil {
		return m.tracked.stateCodec()
	}
	return ""
}

// changed reports that the component has a state that is not stored, as far as
// can be told without asking it. The caller holds m.mu.
func (m *member) changed() bool {
	if m.stored.short {
		return true
	}
	if m.tracked == nil {
		return !m.stored.anywhere || m.unsaved
	}
	return m.changeCount() > m.stored.changes || !m.stored.anywhere && !m.tracked.fresh() ||
		m.extended.Load() && m.unsaved
}

func (m *member) snapshotStatus() ComponentStatus {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.status
	s.Changed = m.changed()
	if !m.good.IsZero() {
		s.Age = max(0, time.Since(m.good))
	}
	return s
}

func (m *member) everRestored() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ever
}

const overdueIntervals = 3

func (m *member) health() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.gate != nil {
		return m.gate
	}
	if age := time.Since(m.good); age/overdueIntervals > m.interval {
		err := cmpOr(m.status.Err, errors.New("is the Checkpointer started?"))
		return &Error{Op: "health", ComponentID: m.id, Err: fmt.Errorf("no checkpoint for %s: %w", age.Round(time.Second), err)}
	}
	return nil
}
