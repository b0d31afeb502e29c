package durable

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// recovery is the restore of one component.
type recovery struct {
	*member
	setUp   uint64 // change count when it began
	applied uint64 // change count up to which the state is the stored one
	source  found  // where the newest state is
}

// find claims the component, unless the adapter has done that and given what is
// taken, and learns where its newest state is. Its error is errOutclaimed.
func (m *recovery) find(calls *shifts, epoch uint64, in *storedSet, taken *Snapshot) error {
	m.setUp, m.applied = m.changeCount(), 0
	m.keepStart()
	snap, err := taken, error(nil)
	if taken != nil {
		m.fetched(taken, nil)
	} else {
		snap, err = m.fetch(calls, epoch)
	}
	if err != nil && errors.Is(err, errOutclaimed) {
		return m.fail("restore", err)
	}
	m.source = m.latest(foundBy(m.member, snap, err), in)
	return nil
}

// restore applies the state that was found and opens the component for saves.
func (m *recovery) restore(ctx context.Context, epoch uint64, start time.Time) (RestoreResult, error) {
	snap, err := m.source.snap, m.source.err
	res := m.judge(ctx, snap, err)
	err = m.admit(ctx, epoch, snap, err, &res)
	m.c.event("restore", m.member, res.Version, res.bytes(snap), start, res.Err)
	m.logRestore(res, err)
	return res, err
}

func (r RestoreResult) bytes(s *Snapshot) int {
	if s == nil {
		return 0
	}
	return len(s.Data)
}

// keepStart remembers the state to start from when none is stored, for a
// component that is restored again and then found absent: what it has become
// meanwhile must not pass for a fresh state.
func (m *member) keepStart() {
	if m.tracked() == nil || m.everRestored() || m.startState() != nil || m.tracked().fresh() {
		return
	}
	if state, err := m.capture(context.Background()); err == nil {
		m.mu.Lock()
		m.rest().start = state
		m.mu.Unlock()
	}
}

func (m *member) startState() *Snapshot {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.more == nil {
		return nil
	}
	return m.more.start
}

// fetch claims the component and loads its newest snapshot. It tries again
// while the store cannot be reached and the context of calls lasts.
func (m *member) fetch(calls *shifts, epoch uint64) (*Snapshot, error) {
	wait := backoff{most: maxStoreBackoff}
	for {
		snap, err := m.fetchOnce(calls.begin(time.Now()), epoch)
		if err == nil || definite(err) {
			return snap, err
		}
		m.c.waitFor(m.fail("restore", err))
		m.c.outage.begin(m.id(), err)
		if !wait.sleep(calls.parent) {
			return nil, err
		}
	}
}

func (m *member) fetchOnce(ctx context.Context, epoch uint64) (*Snapshot, error) {
	if err := m.reconcileSpill(ctx); err != nil {
		return nil, err
	}
	if m.c.owner != nil {
		if err := m.c.owner.ClaimState(ctx, m.name, epoch); errors.Is(err, ErrFenced) {
			return nil, fmt.Errorf("%w: %w", errOutclaimed, err)
		} else if err != nil {
			return nil, err
		}
	}
	snap, err := m.c.adapter.LoadState(ctx, m.name)
	m.fetched(snap, err)
	return snap, err
}

// fetched notes what a load of the component tells about the store.
func (m *member) fetched(snap *Snapshot, err error) {
	if err == nil || definite(err) {
		m.c.outage.over(m.id())
	}
	_, version := fenceOf(snap, err)
	m.noticeRollback(version)
}

// definite reports that err is an answer, not a failure to get one.
func definite(err error) bool {
	for _, answer := range []error{ErrNotFound, ErrExpired, ErrLost, ErrCorrupt, ErrTooNew, ErrClosed, ErrInvalidID, ErrTooLarge, errOutclaimed} {
		if errors.Is(err, answer) {
			return true
		}
	}
	return false
}

// judge applies what was loaded to the component and names the outcome.
func (m *recovery) judge(ctx context.Context, snap *Snapshot, err error) RestoreResult {
	res := RestoreResult{ComponentID: m.id()}
	if err != nil {
		res.Outcome = outcomeOf(err)
		if res.Outcome != FirstBoot {
			res.Epoch, res.Version = fenceOf(nil, err)
			res.Err = err
		}
		return res
	}
	res.Epoch, res.Version, res.SavedAt, res.Schema = snap.Epoch, snap.Version, snap.SavedAt, snap.Schema
	if !snap.SavedAt.IsZero() {
		res.Age = max(0, time.Since(snap.SavedAt))
	}
	res.Outcome = Restored
	if snap.LastVersion > snap.Version {
		res.Outcome, res.Skipped = FellBack, m.skipped(ctx, snap)
	}
	if err := m.apply(snap); err != nil {
		res.Outcome, res.Err = Rejected, m.fail("restore", err)
		if errors.Is(err, ErrTooNew) {
			res.Outcome = TooNew
		}
	}
	return res
}

// fenceOf returns what a load told about the fence.
func fenceOf(snap *Snapshot, err error) (epoch, version uint64) {
	if err != nil {
		if e := (*Error)(nil); errors.As(err, &e) {
			return e.Epoch, e.Version
		}
	}
	if snap != nil {
		return snap.Epoch, max(snap.Version, snap.LastVersion)
	}
	return 0, 0
}

func outcomeOf(err error) Outcome {
	switch {
	case errors.Is(err, ErrTooNew): // first, as it is never the fault of the bytes
		return TooNew
	case errors.Is(err, ErrCorrupt):
		return Corrupt
	case errors.Is(err, ErrLost):
		return Lost
	case errors.Is(err, ErrExpired):
		return Expired
	case errors.Is(err, ErrNotFound):
		return FirstBoot
	}
	return Unreachable
}

// skipped names the versions above the one used that did not verify.
func (m *recovery) skipped(ctx context.Context, snap *Snapshot) []uint64 {
	var versions []uint64
	if h, ok := m.c.adapter.(Historian); ok {
		infos, _ := h.ListSnapshots(ctx, m.source.place.name) // what cannot be listed is named below
		for _, i := range infos {
			if i.Err != nil && i.Version > snap.Version {
				versions = append(versions, i.Version)
			}
		}
	}
	if len(versions) == 0 {
		versions = []uint64{snap.LastVersion}
	}
	return versions
}

// apply migrates the snapshot and hands it to the component.
func (m *recovery) apply(snap *Snapshot) (err error) {
	defer recovered(m.member, "RestoreState", &err)
	data, err := m.migrate(snap.Schema, snap.Data)
	if err != nil {
		return err
	}
	if m.tracked() == nil {
		return m.comp.RestoreState(data)
	}
	m.applied, err = m.restoring(snap.Codec, data)
	return err
}

// admit opens the component for saves if its policy accepts the outcome.
func (m *recovery) admit(ctx context.Context, epoch uint64, snap *Snapshot, cause error, res *RestoreResult) error {
	if !m.policy.starts(res.Outcome) {
		err := cmpOr(res.Err, cause)
		err = &Error{Op: "restore", ComponentID: m.id(), Epoch: res.Epoch, Version: res.Version,
			Err: fmt.Errorf("%s, which policy %q does not accept: %w", res.Outcome, m.policy, err)}
		m.shut(err)
		return err
	}
	fresh := res.Outcome != Restored && res.Outcome != FellBack
	if fresh {
		if err := m.beginFresh(ctx, snap, res.Outcome); err != nil {
			m.shut(err)
			return err
		}
	}
	m.open(epoch, snap, cause, fresh, m.applied)
	return nil
}

// beginFresh sets an unusable snapshot aside and makes the state a fresh one.
func (m *recovery) beginFresh(ctx context.Context, snap *Snapshot, o Outcome) error {
	var err error
	switch {
	case snap != nil:
		err = m.setAside(ctx, m.c.adapter, snap)
	case m.source.unread != nil:
		err = m.setAside(ctx, m.c.adapter, m.source.unread)
	case o == Lost:
		err = m.source.place.setOlderAside(ctx)
	}
	if err != nil {
		return m.fail("restore", fmt.Errorf("the old state could not be set aside: %w", err))
	}
	if m.tracked() == nil || !m.everRestored() && m.changeCount() == m.setUp {
		return nil // it is as it was set up
	}
	if err := m.startAgain(); err != nil {
		return m.fail("restore", err)
	}
	return nil
}

// startAgain makes the state the one that the component was set up with.
func (m *recovery) startAgain() (err error) {
	defer recovered(m.member, "InitState", &err)
	if start := m.startState(); start != nil {
		return m.apply(start)
	}
	m.tracked().reset()
	return nil
}

func (m *member) shut(err error) {
	m.mu.Lock()
	m.enter(phaseShut, &Error{Op: "save", ComponentID: m.id(), Err: fmt.Errorf("%w: %w", ErrNotRestored, err)})
	m.rest().err = err
	m.mu.Unlock()
}

// open lets the component save. Its first save, within the first interval, is
// under the new epoch whether or not anything changed.
func (m *member) open(epoch uint64, snap *Snapshot, cause error, fresh bool, applied uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	loaded, version := fenceOf(snap, cause)
	s := stored{epoch: epoch, tried: max(m.stored.tried, version), anywhere: !fresh}
	if m.c.owner == nil {
		// Without ownership saves go on under the epoch that was loaded. It is
		// never 0, which asks for the fence as it is when the save arrives: a
		// deletion would not stop such a save.
		s.epoch = max(loaded, m.floor(), m.stored.epoch, 1)
	}
	if !fresh {
		s.version, s.bytes, s.changes, s.savedAt = snap.Version, len(snap.Data), applied, unixNano(snap.SavedAt)
	}
	m.stored, m.good, m.ever = s, m.c.instant(time.Now()), true
	m.phase = phaseOpen
	if r := m.more; r != nil {
		*r = more{start: r.start, arrival: r.arrival, backoff: r.backoff, unsaved: r.unsaved}
		m.trim()
	}
}

// floor is the epoch below which saves are refused. The caller holds m.mu.
func (m *member) floor() uint64 {
	if m.more == nil {
		return 0
	}
	return m.more.floor
}

func (m *member) logRestore(res RestoreResult, err error) {
	level, msg := slog.LevelInfo, "durable: restored"
	switch {
	case err != nil:
		level, msg = slog.LevelError, "durable: not restored; the component cannot save"
	case res.Outcome == FirstBoot:
		msg = "durable: nothing stored, starting fresh"
	case res.Outcome == FellBack:
		level, msg = slog.LevelWarn, "durable: restored an older generation in place of newer ones"
	case res.Outcome != Restored:
		level, msg = slog.LevelWarn, "durable: stored state cannot be used, starting fresh"
	case res.Version == 0:
		msg = "durable: restored from a plain value, which cannot be verified"
	}
	if !m.c.log.Enabled(context.Background(), level) {
		return
	}
	attrs := []slog.Attr{slog.String("component", m.id()), slog.String("outcome", string(res.Outcome)),
		slog.Uint64("version", res.Version), slog.Duration("age", res.Age.Round(time.Millisecond))}
	if len(res.Skipped) > 0 {
		attrs = append(attrs, slog.Any("skipped", res.Skipped))
	}
	if e := cmpOr(err, res.Err); e != nil {
		attrs = append(attrs, slog.Any("error", e))
	}
	m.c.log.LogAttrs(context.Background(), level, msg, attrs...)
}
