package durable

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// Close takes the final checkpoint of every restored component, releases the
// lease and stops. Call it when the workers are quiet and before components are
// cleaned up: it saves what it finds.
//
// nil means that every component's last change is durable. Otherwise errors.As
// finds a *CloseError that lists what is not, and how old its last good
// checkpoint is; what went to Options.Spill is listed too, and so are changes
// made after a Restore that failed, but not what was set up before it. Saves run
// in parallel, the largest changes first, and are tried again within
// Options.CloseTimeout, which Close keeps whatever the components and the store
// do. It works without Start, after a failed Restore, and again, with the same
// result.
func (c *Checkpointer) Close() error { return c.closed() }

func (c *Checkpointer) close() error {
	c.shut()
	ctx, cancel := context.WithTimeout(context.Background(), c.opts.CloseTimeout)
	defer cancel()
	saving, stop := context.WithTimeout(ctx, c.opts.CloseTimeout-c.reserve())
	defer stop()
	keeping := c.keepLease(saving)
	c.awaitRestore(saving)
	members := c.savers()
	counting := c.starts.end(saving)
	c.saveFinally(saving, members)
	await(saving, counting)
	stop()
	c.end() // saves that still hang are given up
	unsaved := c.unsaved(members)
	if c.opts.Spill != nil {
		c.spillAll(ctx, unsaved)
	}
	await(ctx, keeping)
	c.letGo(ctx)
	err := c.closeResult(unsaved)
	c.shutMembers(members)
	return errors.Join(err, c.finish(ctx))
}

// awaitRestore lets a Restore that Close interrupts come to its end. One whose
// component hangs costs the others a quarter of the budget.
func (c *Checkpointer) awaitRestore(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, c.opts.CloseTimeout/4)
	defer cancel()
	select {
	case c.restoring <- struct{}{}:
	case <-ctx.Done():
	}
}

// await waits for done for no more than half of what ctx has left.
func await(ctx context.Context, done <-chan struct{}) bool {
	end, _ := ctx.Deadline()
	ctx, cancel := context.WithTimeout(ctx, time.Until(end)/2)
	defer cancel()
	select {
	case <-done:
	case <-ctx.Done():
	}
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// reserve is the part of the budget kept for what follows the final saves.
func (c *Checkpointer) reserve() time.Duration {
	if c.opts.Spill != nil {
		return min(c.opts.CloseTimeout/3, 5*time.Second)
	}
	return min(c.opts.CloseTimeout/10, time.Second)
}

// keepLease goes on renewing the lease while final saves take their time.
func (c *Checkpointer) keepLease(ctx context.Context) <-chan struct{} {
	done := make(chan struct{})
	if c.keeper == nil || !c.spawn(func() {
		defer close(done)
		for sleep(ctx, c.keeper.period()) {
			c.keeper.renew(ctx)
		}
	}) {
		close(done)
	}
	return done
}

// finalRounds bounds how often a component that still changes is saved: the
// workers should have been quiet.
const finalRounds = 3

// saveFinally saves all members in parallel and tries again what failed, until
// ctx ends.
func (c *Checkpointer) saveFinally(ctx context.Context, members []*member) {
	wait := newBackoff(time.Second)
	for round := 1; ; round++ {
		var pending []*member
		for _, m := range members {
			if m.wantsFinal(round) {
				pending = append(pending, m)
			}
		}
		c.saveLargestFirst(ctx, pending)
		if ctx.Err() != nil {
			return
		}
		again := slices.ContainsFunc(pending, func(m *member) bool { return m.wantsFinal(round + 1) })
		if !again || !wait.sleep(ctx) {
			return
		}
	}
}

// saveLargestFirst saves members and returns when all have come to an end, or
// ctx ended. Should the budget not suffice, the largest changes are in the store:
// what did not change comes last. No more are asked for than can be saved at a
// time, so that none overtakes.
func (c *Checkpointer) saveLargestFirst(ctx context.Context, members []*member) {
	sizes := make(map[*member]int, len(members))
	for _, m := range members {
		sizes[m] = m.sizeOfChange()
	}
	slices.SortStableFunc(members, func(a, b *member) int { return sizes[b] - sizes[a] })
	room := make(chan struct{}, saveSlots)
	flights := make([]*flight, 0, len(members))
	for _, m := range members {
		select {
		case room <- struct{}{}:
		case <-ctx.Done(): // asked for all the same, so that CloseError says why it is not saved
		}
		f := m.enqueue()
		flights = append(flights, f)
		c.spawn(func() {
			_ = f.wait(ctx)
			select {
			case <-room:
			default:
			}
		})
	}
	for _, f := range flights {
		_ = f.wait(ctx) // the member remembers how it went
	}
}

// sizeOfChange is how much there is to save, judged by the last save: 0 for a
// state that did not change, at least 1 for one that did or may have.
func (m *member) sizeOfChange() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.counts() && !m.changed() {
		return 0
	}
	return 1 + m.stored.bytes
}

// wantsFinal reports whether the component needs another save in this round.
func (m *member) wantsFinal(round int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.phase != phaseOpen:
		return false
	case round == 1, m.err() != nil:
		return true
	default:
		return m.changed() && round <= finalRounds
	}
}

// unsaved returns the members whose last change is not durable.
func (c *Checkpointer) unsaved(members []*member) (list []*member) {
	for _, m := range members {
		m.mu.Lock()
		asked := m.phase == phaseOpen || m.counts() // a closed gate lets nobody ask
		saved := m.quiet() && !m.changed() && asked
		idle := !m.ever && m.untouched() // only set up, nothing processed
		m.mu.Unlock()
		if !saved && !idle {
			list = append(list, m)
		}
	}
	return list
}

// quiet reports that no save is under way. The caller holds m.mu.
func (m *member) quiet() bool { return m.flight == nil || m.flight.landed() }

// untouched reports that a component that was never restored has not changed since
// a Restore was first asked for. The caller holds m.mu.
func (m *member) untouched() bool {
	return m.more == nil || !m.more.asked || m.changeCount() == m.more.atRestore
}

// spillAll gives what could not be saved to the spill adapter. A component whose
// callback hangs is given up alone.
func (c *Checkpointer) spillAll(ctx context.Context, unsaved []*member) {
	results := make(chan error, len(unsaved))
	sent := 0
	given, cancel := context.WithTimeout(ctx, c.reserve()/4)
	defer cancel()
	for _, m := range unsaved {
		if m.spillable(given) && c.spawn(func() { results <- m.spill(ctx) }) {
			sent++
		}
	}
	failed := 0
	for range sent {
		select {
		case err := <-results:
			if err != nil {
				failed++
			}
		case <-ctx.Done():
			c.log.Error("durable: spilling took too long", "components", len(unsaved))
			return
		}
	}
	if sent > 0 {
		c.log.Warn("durable: final state was spilled; the next restore takes it from there", "components", sent-failed, "failed", failed)
	}
}

// spillable reports that the component was restored and that its last save has
// returned by now.
func (m *member) spillable(ctx context.Context) bool {
	m.mu.Lock()
	f, open := m.flight, m.phase == phaseOpen
	m.mu.Unlock()
	if f != nil {
		_ = f.wait(ctx)
	}
	return open && (f == nil || f.landed())
}

// letGo releases the lease. If that fails the next owner waits for its expiry.
func (c *Checkpointer) letGo(ctx context.Context) {
	if c.keeper == nil {
		return
	}
	start, released := time.Now(), make(chan error, 1)
	c.spawn(func() { released <- c.keeper.release(ctx) })
	var err error
	select {
	case err = <-released:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil && !errors.Is(err, ErrFenced) {
		c.log.Warn("durable: the lease could not be released; a successor waits for its expiry", "error", err)
	}
	c.event("lease", nil, 0, 0, start, err)
}

func (c *Checkpointer) closeResult(unsaved []*member) error {
	if len(unsaved) == 0 {
		return nil
	}
	e := &CloseError{}
	for _, m := range unsaved {
		list := []ComponentStatus{m.snapshotStatus()}
		if m.isSet() {
			list = m.c.set.unsaved()
		}
		for _, s := range list {
			s.Err = m.whyUnsaved(s.Err)
			s.Changed = true
			e.Unsaved = append(e.Unsaved, s)
		}
	}
	return e
}

// whyUnsaved says why Close could not save the component, whose last error was err.
func (m *member) whyUnsaved(err error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.phase != phaseOpen:
		return m.gate()
	case !m.quiet():
		return m.fail("save", fmt.Errorf("not finished within the budget of %s", m.c.opts.CloseTimeout))
	case err == nil:
		return m.fail("save", errors.New("it changed during Close"))
	}
	return err
}

func (c *Checkpointer) shutMembers(members []*member) {
	for _, m := range members {
		m.mu.Lock()
		m.enter(phaseClosed, nil)
		m.mu.Unlock()
	}
}

// finish waits for the goroutines and closes what Close owns.
func (c *Checkpointer) finish(ctx context.Context) error {
	c.mu.Lock()
	c.finished = true
	if c.running == 0 {
		close(c.idle)
	}
	closers := c.closers
	c.mu.Unlock()
	if !await(ctx, c.idle) {
		c.log.Error("durable: a component's callback or the adapter does not return; its goroutine is left behind")
	}
	return closeAll(ctx, closers)
}

// closeAll closes closers in order and waits for them until ctx ends.
func closeAll(ctx context.Context, closers []io.Closer) error {
	if len(closers) == 0 {
		return nil
	}
	closed := make(chan error, 1)
	go func() {
		var errs []error
		for _, cl := range closers {
			errs = append(errs, cl.Close())
		}
		closed <- errors.Join(errs...)
	}()
	select {
	case err := <-closed:
		return err
	case <-ctx.Done():
		return &Error{Op: "close", Err: errors.New("the adapter does not return from Close; it is left behind")}
	}
}
