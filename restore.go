package durable

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

const (
	restoreParallel = 64
	claimRounds     = 5
	pollLease       = 200 * time.Millisecond // so a hand-over is quick
	maxStoreBackoff = 5 * time.Second
)

// Restore takes ownership and brings the state of every component back, or of
// the named ones. Call it when the components are set up and before they process
// anything. It waits for a lease that another process holds and for a store that
// cannot be reached, with jittered backoff, until ctx ends.
//
// The report says what was found, also beside an error. An error means that some
// component must not run: its state exists and could not be used, or its policy
// asks for more than was found. Such a component cannot save, so that nothing is
// overwritten; the others can.
//
// Named components may be restored again later, for instance after ErrFenced or
// after a component was set up anew. Until that has succeeded its saves answer
// ErrNotRestored.
func (c *Checkpointer) Restore(ctx context.Context, componentIDs ...string) (Report, error) {
	members, err := c.beginRestore(ctx, componentIDs)
	if err != nil {
		return Report{}, err
	}
	defer func() { <-c.restoring }()
	for _, m := range members {
		m.noteSetUp()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.closing, cancel)() // Close ends a waiting Restore
	report, err := c.restoreOwned(ctx, members)
	c.waitFor(nil)
	return report, c.ended(err)
}

// ended tells a Restore that Close ended from one whose caller gave up.
func (c *Checkpointer) ended(err error) error {
	if err != nil && c.closing.Err() != nil {
		return &Error{Op: "restore", Err: ErrClosed}
	}
	return err
}

// beginRestore checks the call and waits for its turn.
func (c *Checkpointer) beginRestore(ctx context.Context, ids []string) ([]*member, error) {
	if c.invalid != nil {
		return nil, c.invalid
	}
	if c.closing.Err() != nil {
		return nil, &Error{Op: "restore", Err: ErrClosed}
	}
	members, err := c.choose(ids)
	if err != nil {
		return nil, err
	}
	if err := c.unknownOptions(); err != nil {
		return nil, err
	}
	select {
	case c.restoring <- struct{}{}:
		return members, nil
	case <-ctx.Done():
		return nil, &Error{Op: "restore", Err: ctx.Err()}
	case <-c.closing.Done():
		return nil, &Error{Op: "restore", Err: ErrClosed}
	}
}

// unknownOptions closes the list of components and compares the options with it.
func (c *Checkpointer) unknownOptions() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begun = true
	var errs []error
	for id := range c.opts.Components {
		if c.byID[id] == nil {
			errs = append(errs, &Error{Op: "configure", ComponentID: id, Err: fmt.Errorf("Options.Components has an entry for it: %w", ErrNotRegistered)})
		}
	}
	return errors.Join(errs...)
}

func (c *Checkpointer) waitFor(err error) {
	c.mu.Lock()
	c.waiting = err
	c.mu.Unlock()
}

// restoreOwned restores members under a lease. A claim that is refused means
// that somebody was there with a greater epoch, so a new lease is taken.
func (c *Checkpointer) restoreOwned(ctx context.Context, members []*member) (Report, error) {
	if c.keeper == nil {
		if err := quiesce(ctx, members); err != nil {
			return Report{}, err
		}
		results, err := c.restoreAll(ctx, members, 0)
		return Report{Results: results}, err
	}
	var report Report
	for round := 1; ; round++ {
		if err := quiesce(ctx, members); err != nil {
			return report, err
		}
		l, prev, err := c.keeper.take(ctx)
		if err != nil {
			return report, err
		}
		c.waitFor(nil)
		if prev != nil && round == 1 {
			report.Predecessor, report.CleanShutdown = prev.Holder, prev.Released
		}
		report.Results, err = c.restoreAll(ctx, members, l.Epoch)
		if !errors.Is(err, errOutclaimed) || round == claimRounds || ctx.Err() != nil {
			return report, err
		}
		c.keeper.drop()
	}
}

// restoreAll restores members in parallel. Its error joins those of the members.
func (c *Checkpointer) restoreAll(ctx context.Context, members []*member, epoch uint64) ([]RestoreResult, error) {
	results := make([]RestoreResult, len(members))
	errs := make([]error, len(members))
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(restoreParallel, len(members)) {
		wg.Go(func() {
			for i := range next {
				results[i], errs[i] = members[i].restore(ctx, epoch)
			}
		})
	}
	for i := range members {
		next <- i
	}
	close(next)
	wg.Wait()
	return results, errors.Join(errs...)
}

// errOutclaimed: the component's fence is above our epoch.
var errOutclaimed = errors.New("durable: a greater epoch was claimed meanwhile")

// quiesce closes members for saves and waits for those under way.
func quiesce(ctx context.Context, members []*member) error {
	for _, m := range members {
		if err := m.quiesce(ctx); err != nil {
			return err
		}
	}
	return nil
}

// noteSetUp remembers the changes that made the state to start from. Should the
// component never be restored, they are no loss.
func (m *member) noteSetUp() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.ever {
		m.atRestore, m.asked = m.changeCount(), true
	}
}

// quiesce closes the component for saves and waits for the one under way.
func (m *member) quiesce(ctx context.Context) error {
	if !m.everRestored() {
		return nil
	}
	m.mu.Lock()
	m.gate = m.fail("save", ErrNotRestored)
	m.mu.Unlock()
	f := m.enqueue() // flights land in order, and this one lands at the gate
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
		return m.fail("restore", fmt.Errorf("a save is still under way: %w", ctx.Err()))
	}
}

// restore claims, loads and applies the component's state and opens it for saves.
func (m *member) restore(ctx context.Context, epoch uint64) (RestoreResult, error) {
	start := time.Now()
	m.setUp = m.changeCount()
	m.keepStart()
	snap, err := m.fetch(ctx, epoch)
	if errors.Is(err, errOutclaimed) {
		return RestoreResult{ComponentID: m.id, Outcome: Unreachable, Err: err}, m.fail("restore", err)
	}
	res := m.judge(ctx, snap, err)
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
	if state, err := m.capture(); err == nil {
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
	for answer, o := range map[error]Outcome{
		ErrNotFound: FirstBoot, ErrExpired: Expired, ErrLost: Lost, ErrCorrupt: Corrupt, ErrTooNew: TooNew,
	} {
		if errors.Is(err, answer) {
			return o
		}
	}
	return Unreachable
}

// skipped names the versions above the one used that did not verify.
func (m *member) skipped(ctx context.Context, snap *Snapshot) []uint64 {
	var versions []uint64
	if h, ok := m.c.adapter.(Historian); ok {
		infos, _ := h.ListSnapshots(ctx, m.name) // what cannot be listed is named below
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
	case o == Lost:
		err = m.setOlderAside(ctx)
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
		level, msg = slog.LevelWarn, "durable: restored an older generation; newer ones do not verify"
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
