package durable

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
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
	for _, m := range append(c.savers(), members...) {
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
	if all, _ := c.choose(nil); c.opts.Consistent && len(members) < len(all) {
		return nil, &Error{Op: "restore", Err: errors.New("with Options.Consistent all components are restored as one set; name none or all")}
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
		if c.roster.find(id) == nil {
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
		if err := c.quiesce(ctx, members); err != nil {
			return Report{}, err
		}
		var report Report
		err := c.restoreCounted(ctx, members, 0, &report)
		return report, err
	}
	var report Report
	for round := 1; ; round++ {
		if err := c.quiesce(ctx, members); err != nil {
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
		err = c.restoreCounted(ctx, members, l.Epoch, &report)
		if !errors.Is(err, errOutclaimed) || round == claimRounds || ctx.Err() != nil {
			return report, err
		}
		c.keeper.drop()
	}
}

// restoreCounted restores members after counting this start.
func (c *Checkpointer) restoreCounted(ctx context.Context, members []*member, epoch uint64, report *Report) (err error) {
	if report.CrashRestarts, err = c.starts.note(ctx, epoch); err != nil {
		return err
	}
	report.Results, err = c.restoreAll(ctx, members, epoch)
	report.Unregistered = c.set.unregistered()
	return err
}

// restoreAll restores members in parallel. Its error joins those of the members.
func (c *Checkpointer) restoreAll(ctx context.Context, members []*member, epoch uint64) ([]RestoreResult, error) {
	ctx, cancel := context.WithCancel(ctx) // so that no shift outlives the call
	defer cancel()
	start := time.Now()
	results := make([]RestoreResult, len(members))
	errs := make([]error, len(members))
	stored, err := c.set.load(ctx, epoch)
	if err != nil {
		for i, m := range members {
			results[i] = RestoreResult{ComponentID: m.id(), Outcome: Unreachable, Err: err}
		}
		return results, err
	}
	if c.opts.Consistent {
		return c.set.restore(ctx, stored, epoch)
	}
	calls := &shifts{parent: ctx, limit: c.opts.SaveTimeout}
	c.inGroups(calls, members, epoch, func(i int, taken *Snapshot) {
		r := &recovery{member: members[i]}
		if errs[i] = r.find(calls, epoch, stored, taken); errs[i] != nil {
			results[i] = RestoreResult{ComponentID: r.id(), Outcome: Unreachable, Err: errs[i]}
			return
		}
		results[i], errs[i] = r.restore(ctx, epoch, start)
	})
	return results, errors.Join(errs...)
}

// errOutclaimed: the component's fence is above our epoch.
var errOutclaimed = errors.New("durable: a greater epoch was claimed meanwhile")

// quiesce closes what saves members and waits for the saves under way.
func (c *Checkpointer) quiesce(ctx context.Context, members []*member) error {
	if c.opts.Consistent {
		members = c.savers()
	}
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
		r := m.rest()
		r.atRestore, r.asked = m.changeCount(), true
	}
}

// quiesce closes the component for saves and waits for the one under way.
func (m *member) quiesce(ctx context.Context) error {
	if !m.everRestored() {
		return nil
	}
	m.mu.Lock()
	m.enter(phaseUnrestored, nil)
	idle := m.flight == nil
	m.mu.Unlock()
	if idle {
		return nil // whoever asks from here on meets the gate
	}
	f := m.enqueue() // flights land in order, and this one lands at the gate
	if _ = f.wait(ctx); !f.landed() {
		return m.fail("restore", fmt.Errorf("a save is still under way: %w", ctx.Err()))
	}
	return nil
}
