package engine

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/durablestate/durable/internal/engine/flight"
	"github.com/durablestate/durable/internal/engine/lease"
	"github.com/durablestate/durable/internal/engine/report"
	"github.com/durablestate/durable/internal/engine/saver"
	"github.com/durablestate/durable/internal/engine/wait"
	"github.com/durablestate/durable/internal/foreign"
	"github.com/durablestate/durable/internal/store"
)

// Close takes the final checkpoint and stops. It returns what is not saved, and what
// else went wrong. It is called once.
func (e *Engine) Close() ([]report.Status, error) {
	e.shut()
	b := newBudget(time.Now(), e.opts.CloseTimeout, e.opts.Spill != nil)
	saving, stop := until(b.saves)
	defer stop()
	keeping := e.beside(func() { e.system.Ownership.Keep(saving) })
	e.awaitRestore(b)
	counting := e.beside(func() { e.starts.Settle(saving, e.unrestored() == nil) })
	savers := slices.Collect(e.savers())
	e.saveFinally(saving, savers)
	awaitUntil(b.count, counting)
	stop()
	e.end() // saves that still hang are given up
	unsaved := filter(savers, (*saver.Saver).Unsaved)
	e.spill(b, unsaved)
	awaitUntil(b.spill, keeping)
	e.releaseLease(b, len(unsaved) == 0)
	list := e.describe(b, unsaved)
	for _, s := range savers {
		s.Close()
	}
	if !awaitUntil(b.idle, e.routines.End()) {
		e.opts.Logger.Error("durable: a component's callback or the adapter does not return; its goroutine is left behind")
	}
	return list, e.closeAll(b)
}

// beside runs fn in a goroutine and returns what is closed when it has returned.
func (e *Engine) beside(fn func()) <-chan struct{} {
	done := make(chan struct{})
	if !e.routines.Go(func() { defer close(done); fn() }) {
		close(done)
	}
	return done
}

func awaitUntil(t time.Time, done <-chan struct{}) bool {
	ctx, cancel := until(t)
	defer cancel()
	return wait.Until(ctx, done)
}

func filter(savers []*saver.Saver, keep func(*saver.Saver) bool) []*saver.Saver {
	return slices.DeleteFunc(slices.Clone(savers), func(s *saver.Saver) bool { return !keep(s) })
}

// awaitRestore lets a Restore that Close interrupts come to its end, and none begin
// any more. One that hangs costs the others no more than its part of the budget.
func (e *Engine) awaitRestore(b budget) {
	ctx, cancel := until(b.restore)
	defer cancel()
	select {
	case e.restoring <- struct{}{}:
	case <-ctx.Done():
	}
}

const (
	firstFinalPause = 50 * time.Millisecond
	lastFinalPause  = time.Second
)

// saveFinally saves all in parallel and tries again what failed, until ctx ends.
func (e *Engine) saveFinally(ctx context.Context, savers []*saver.Saver) {
	pause := firstFinalPause
	for round := 1; ; round++ {
		pending := filter(savers, func(s *saver.Saver) bool { return s.WantsFinal(round) })
		saveLargestFirst(ctx, pending)
		if ctx.Err() != nil {
			return
		}
		again := slices.ContainsFunc(pending, func(s *saver.Saver) bool { return s.WantsFinal(round + 1) })
		pause = min(lastFinalPause, wait.Jitter(firstFinalPause, 3*pause))
		if !again || !wait.Sleep(ctx, pause) {
			return
		}
	}
}

// saveLargestFirst saves all and returns when all have come to an end, or ctx ended.
// Should the budget not suffice, the largest changes are in the store: what did not
// change comes last. So that none overtakes, only so many are asked for at a time.
func saveLargestFirst(ctx context.Context, savers []*saver.Saver) {
	sizes := make(map[*saver.Saver]int, len(savers))
	for _, s := range savers {
		sizes[s] = s.SizeOfChange()
	}
	slices.SortStableFunc(savers, func(a, b *saver.Saver) int { return sizes[b] - sizes[a] })
	wait.Each(len(savers), flight.Slots, func(i int) {
		if ctx.Err() == nil {
			_ = savers[i].FinalRequest().Wait(ctx) // the saver remembers how it went
		}
	})
}

// spill gives what could not be saved to the spill adapter. A component whose
// callback hangs is given up alone.
func (e *Engine) spill(b budget, unsaved []*saver.Saver) {
	if e.opts.Spill == nil || len(unsaved) == 0 {
		return
	}
	hung, stop := until(b.hung)
	defer stop()
	ctx, cancel := until(b.spill)
	defer cancel()
	var spilled, failed atomic.Int64
	done := e.beside(func() {
		wait.Each(len(unsaved), flight.Slots, func(i int) {
			if ctx.Err() != nil || !unsaved[i].Spillable(hung) {
				return
			}
			if unsaved[i].SpillState(ctx) != nil {
				failed.Add(1)
			} else {
				spilled.Add(1)
			}
		})
	})
	if !wait.Until(ctx, done) {
		e.opts.Logger.Error("durable: spilling took too long", "components", len(unsaved))
		return
	}
	if spilled.Load()+failed.Load() > 0 {
		e.opts.Logger.Warn("durable: final state was spilled; the next restore takes it from there", "components", spilled.Load(), "failed", failed.Load())
	}
}

// releaseLease gives up the lease, as after a clean end when all is saved. If that fails
// the next owner waits for its expiry.
func (e *Engine) releaseLease(b budget, clean bool) {
	if _, alone := e.system.Ownership.(lease.Alone); alone {
		return
	}
	ctx, cancel := until(b.release)
	defer cancel()
	start, released := time.Now(), make(chan error, 1)
	e.routines.Go(func() { released <- e.system.Ownership.Release(ctx, clean) })
	var err error
	select {
	case err = <-released:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil && !errors.Is(err, store.ErrFenced) {
		e.opts.Logger.Warn("durable: the lease could not be released; a successor waits for its expiry", "error", err)
	}
	e.system.Emit("lease", "", 0, 0, start, err)
}

// describe lists what could not be saved, and why.
func (e *Engine) describe(b budget, unsaved []*saver.Saver) (list []report.Status) {
	for _, s := range unsaved {
		of := []report.Status{s.Status()}
		if s == &e.set.Saver {
			of = e.set.Unsaved()
		}
		for _, st := range of {
			st.Err = s.WhyUnsaved(b.begin, e.opts.CloseTimeout, st.Err)
			st.Changed = true
			list = append(list, st)
		}
	}
	return list
}

// closeAll closes what Close owns, in order, within what is left of the budget.
func (e *Engine) closeAll(b budget) error {
	e.mu.Lock()
	closers := e.closers
	e.mu.Unlock()
	if len(closers) == 0 {
		return nil
	}
	ctx, cancel := until(b.end)
	defer cancel()
	closed := make(chan error, 1)
	go func() {
		var errs []error
		for _, c := range closers {
			errs = append(errs, foreign.Call("Close", c.Close))
		}
		closed <- errors.Join(errs...)
	}()
	select {
	case err := <-closed:
		return err
	case <-ctx.Done():
		return e.fault("close", "", errors.New("the adapter does not return from Close; it is left behind"))
	}
}

// budget is until when each part of a Close may last. It is made once, so that no
// part takes what another one needs.
//
//	begin                                                    end
//	|-- restore --|                      |<------ reserve ----->|
//	|----------- count ------|
//	|---------------- saves ------------>|
//	                                     |-- hung --|
//	                                     |----- spill ---->|
//	                                     |------ release --->|
//	                                     |------- idle ------->|
type budget struct {
	begin   time.Time
	restore time.Time // a Restore that Close interrupts comes to its end
	count   time.Time // the start is noted as one that ended well
	saves   time.Time // final saves
	hung    time.Time // saves that were given up return
	spill   time.Time // what could not be saved is spilled, renewals end
	release time.Time // the lease is released
	idle    time.Time // goroutines end
	end     time.Time // the adapters are closed
}

func newBudget(begin time.Time, total time.Duration, spills bool) budget {
	reserve := min(total/10, time.Second)
	if spills {
		reserve = min(total/3, 5*time.Second)
	}
	end := begin.Add(total)
	saves := end.Add(-reserve)
	return budget{
		begin: begin, restore: begin.Add(total / 4), count: begin.Add((total - reserve) / 2), saves: saves,
		hung: saves.Add(reserve / 4), spill: end.Add(-reserve * 3 / 8), release: end.Add(-reserve / 4), idle: end.Add(-reserve / 8), end: end,
	}
}

// until returns a context that ends at t.
func until(t time.Time) (context.Context, context.CancelFunc) {
	return context.WithDeadline(context.Background(), t)
}
