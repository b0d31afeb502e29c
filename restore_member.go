package durable

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// find claims the component and learns where its newest state is. Its error is
// errOutclaimed.
func (m *member) find(ctx context.Context, epoch uint64, in *storedSet) error {
	m.setUp, m.applied = m.changeCount(), 0
	m.keepStart()
	snap, err := m.fetch(ctx, epoch)
	if errors.Is(err, errOutclaimed) {
		return m.fail("restore", err)
	}
	var skipped []uint64
	if err == nil {
		snap, skipped, err = m.stepBack(ctx, snap)
	}
	m.source = m.latest(foundBy(m, snap, skipped, err), in)
	return nil
}

// restore applies the state that was found and opens the component for saves.
func (m *member) restore(ctx context.Context, epoch uint64, start time.Time) (RestoreResult, error) {
	defer func() { m.source = found{} }() // it holds the stored bytes
	snap, err := m.source.snap, m.source.err
	res := m.judge(ctx, snap, err)
	if m.source.skipped != nil {
		res.Skipped = m.source.skipped
	}
	err = m.admit(ctx, epoch, snap, err, &res)
	m.c.event("restore", m, res.Version, res.bytes(snap), start, res.Err)
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
	if m.tracked == nil || m.everRestored() || m.start != nil || m.tracked.fresh() {
		return
	}
	if state, err := m.capture(context.Background()); err == nil {
		m.start = state
	}
}

// fetch claims the component and loads its newest snapshot. It tries again
// while the store cannot be reached and ctx lasts.
func (m *member) fetch(ctx context.Context, epoch uint64) (*Snapshot, error) {
	wait := newBackoff(maxStoreBackoff)
	for {
		snap, err := m.fetchOnce(ctx, epoch)
		if err == nil || definite(err) {
			return snap, err
		}
		m.c.waitFor(m.fail("restore", err))
		m.c.outage.begin(m.id, err)
		if !wait.sleep(ctx) {
			return nil, err
		}
	}
}

func (m *member) fetchOnce(ctx context.Context, epoch uint64) (*Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, m.c.opts.SaveTimeout)
	defer cancel()
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
	if err == nil || definite(err) {
		m.c.outage.over(m.id)
	}
	_, version := fenceOf(snap, err)
	m.noticeRollback(version)
	return snap, err
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
func (m *member) judge(ctx context.Context, snap *Snapshot, err error) RestoreResult {
	res := RestoreResult{ComponentID: m.id}
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
	if e := (*Error)(nil); errors.As(err, &e) {
		return e.Epoch, e.Version
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
func (m *member) skipped(ctx context.Context, snap *Snapshot) []uint64 {
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
func (m *member) apply(snap *Snapshot) (err error) {
	defer recovered(m, "RestoreState", &err)
	data, err := m.migrate(snap.Schema, snap.Data)
	if err != nil {
		return err
	}
	if m.tracked == nil {
		return m.comp.RestoreState(data)
	}
	m.applied, err = m.tracked.restoring(snap.Codec, func() error { return m.comp.RestoreState(data) })
	return err
}

// admit opens the component for saves if its policy accepts the outcome.
func (m *member) admit(ctx context.Context, epoch uint64, snap *Snapshot, cause error, res *RestoreResult) error {
	if !m.policy.starts(res.Outcome) {
		err := cmpOr(res.Err, cause)
		err = &Error{Op: "restore", ComponentID: m.id, Epoch: res.Epoch, Version: res.Version,
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
	m.open(epoch, snap, cause, fresh)
	return nil
}

// beginFresh sets an unusable snapshot aside and makes the state a fresh one.
func (m *member) beginFresh(ctx context.Context, snap *Snapshot, o Outcome) error {
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
	if m.tracked == nil || !m.everRestored() && m.changeCount() == m.setUp {
		return nil // it is as it was set up
	}
	if err := m.startAgain(); err != nil {
		return m.fail("restore", err)
	}
	return nil
}

// startAgain makes the state the one that the component was set up with.
func (m *member) startAgain() (err error) {
	defer recovered(m, "InitState", &err)
	if m.start != nil {
		return m.apply(m.start)
	}
	m.tracked.reset()
	return nil
}

func (m *member) shut(err error) {
	m.mu.Lock()
	m.gate = &Error{Op: "save", ComponentID: m.id, Err: fmt.Errorf("%w: %w", ErrNotRestored, err)}
	m.status.Err = err
	m.mu.Unlock()
}

// open lets the component save. Its first save, within the first interval, is
// under the new epoch whether or not anything changed.
func (m *member) open(epoch uint64, snap *Snapshot, cause error, fresh bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	loaded, version := fenceOf(snap, cause)
	s := stored{epoch: epoch, tried: max(m.stored.tried, version), anywhere: !fresh}
	if m.c.owner == nil {
		// Without ownership saves go on under the epoch that was loaded. It is
		// never 0, which asks for the fence as it is when the save arrives: a
		// deletion would not stop such a save.
		s.epoch = max(loaded, m.floor, 1)
	}
	m.status.Version, m.status.SavedAt, m.status.Bytes = 0, time.Time{}, 0
	if !fresh {
		s.version, s.bytes, s.changes = snap.Version, len(snap.Data), m.applied
		m.status.Version, m.status.SavedAt, m.status.Bytes = snap.Version, snap.SavedAt, len(snap.Data)
	}
	m.stored, m.good, m.ever = s, time.Now(), true
	m.gate, m.status.Err = nil, nil
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
	attrs := []slog.Attr{slog.String("component", m.id), slog.String("outcome", string(res.Outcome)),
		slog.Uint64("version", res.Version), slog.Duration("age", res.Age.Round(time.Millisecond))}
	if len(res.Skipped) > 0 {
		attrs = append(attrs, slog.Any("skipped", res.Skipped))
	}
	if e := cmpOr(err, res.Err); e != nil {
		attrs = append(attrs, slog.Any("error", e))
	}
	m.c.log.LogAttrs(context.Background(), level, msg, attrs...)
}
