package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
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
	b := newBudget(time.Now(), e.opts.CloseTimeout, e.opts.Spill != nil, int(e.registry.members.Load()))
	saving, stop := until(b.saves)
	defer stop()
	keeping := e.beside(func() { e.system.Ownership.Keep(saving) })
	e.awaitRestore(b)
	counting := e.beside(func() { e.starts.Settle(saving, e.allRestored()) })
	savers := slices.AppendSeq(make([]*saver.Saver, 0, e.registry.members.Load()), e.savers())
	e.saveFinally(saving, b, savers)
	awaitUntil(b.count, counting)
	stop()
	e.end() // saves that still hang are given up
	e.spill(b, savers)
	awaitUntil(b.spill, keeping)
	unsaved := closeSaved(savers)
	e.releaseLease(b, len(unsaved) == 0)
	list := e.finish(b, unsaved)
	if !awaitUntil(b.idle, e.routines.End()) {
		e.say(b.idle, slog.LevelError, "durable: close: a callback of a component or the adapter does not return; its goroutine is left behind: look for what it waits for")
	}
	e.opts.Calls.End()
	return list, e.closeAll(b)
}

// say logs within the time that is left: a handler may hang like anything else.
func (e *Engine) say(t time.Time, level slog.Level, msg string, args ...any) {
	said := make(chan struct{})
	go func() {
		defer close(said)
		e.opts.Logger.Log(context.Background(), level, msg, args...)
	}()
	awaitUntil(t, said)
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

// saveFinally saves what changed, and tries again what failed, until ctx ends or what
// is left would not be spilled in time.
func (e *Engine) saveFinally(ctx context.Context, b budget, savers []*saver.Saver) {
	q := newFinal(savers, e.system.Crew, (*saver.Saver).Pending, b.patience)
	q.run(ctx, func() bool {
		now := time.Now()
		if q.must == 0 { // the rest is well stored
			return now.After(b.refresh)
		}
		return e.opts.Spill != nil && now.After(b.try) && q.spillNow(b, now, e.system.Crew.Usual())
	})
}

// How long a spill is taken to last: so long for each state, and for each byte.
const (
	spillEach = 30 * time.Microsecond
	spillByte = 10 * time.Nanosecond
)

// spillNow reports that what is left needs all of the time that is left to be spilled,
// and that the store is slower than that. usual is the size of a state.
func (q *final) spillNow(b budget, now time.Time, usual int) bool {
	bytes := max(q.bytes, q.must*usual)
	need := time.Duration(q.must)*spillEach + time.Duration(bytes)*spillByte
	slow := time.Duration(q.done)*need < time.Duration(q.must)*now.Sub(b.begin)
	return slow && now.Add(need).After(b.spill)
}

// spill gives what could not be saved to the spill adapter. A component whose
// callback hangs is given up alone.
func (e *Engine) spill(b budget, savers []*saver.Saver) {
	if e.opts.Spill == nil {
		return
	}
	ctx, cancel := until(b.spill)
	defer cancel()
	e.system.SpillUntil(ctx)
	q := newFinal(savers, e.system.Crew, (*saver.Saver).Spillable, b.patience)
	all := q.must
	if all == 0 {
		return
	}
	hurry := time.AfterFunc(min(b.patience, time.Until(b.hung)/2), e.hurry)
	defer hurry.Stop()
	q.width = flight.SmallSlots // no order matters, and they share commits
	q.run(ctx, func() bool { return q.stuck() && time.Now().After(b.hung) })
	if q.done == 0 {
		e.say(b.spill, slog.LevelError, "durable: final state could not be spilled", "failed", all)
		return
	}
	e.say(b.spill, slog.LevelWarn, "durable: final state was spilled; the next restore takes it from there", "components", q.done, "failed", all-q.done)
}

// releaseLease gives up the lease, as after a clean end when all is saved. If that fails
// the next owner waits for its expiry.
func (e *Engine) releaseLease(b budget, clean bool) {
	if _, alone := e.system.Ownership.(lease.Alone); alone {
		return
	}
	ctx, cancel := until(b.release)
	defer cancel()
	released := e.beside(func() {
		start := time.Now()
		err := e.system.Ownership.Release(ctx, clean)
		if err != nil && !errors.Is(err, store.ErrFenced) {
			e.opts.Logger.Warn("durable: the lease could not be released; a successor waits for its expiry", "error", err)
		}
		e.system.Emit("lease", "", 0, 0, start, err)
	})
	if !wait.Until(ctx, released) {
		e.say(b.list, slog.LevelWarn, "durable: close: the release of the lease has not returned; a successor waits for its expiry")
	}
}

// closeSaved ends the savers of what is durable, and returns the others.
func closeSaved(savers []*saver.Saver) []*saver.Saver {
	left := make([]bool, len(savers))
	sweep(len(savers), func(i int) { left[i] = !savers[i].CloseIfSaved() })
	n := 0
	for i, s := range savers {
		if left[i] {
			savers[n] = s
			n++
		}
	}
	return savers[:n]
}

// finish ends the savers of what could not be saved, and lists why. For a million that
// share a reason there is one error.
func (e *Engine) finish(b budget, unsaved []*saver.Saver) []report.Status {
	if len(unsaved) == 0 {
		return nil
	}
	within := b.saves.Sub(b.begin).Round(time.Millisecond)
	why := &saver.Reasons{
		Began: b.begin, Now: time.Now(),
		NotBegun: e.fault("save", "", fmt.Errorf("its turn did not come within the %s that Close has for saves; raise CloseTimeout (shutdown_timeout)", within)),
		NotEnded: fmt.Errorf("not finished within the %s that Close has for saves; raise CloseTimeout (shutdown_timeout)", within),
		Changed:  errors.New("it changed during Close; stop the workers before"),
	}
	if e.opts.Consistent {
		return e.set.Finish(why)
	}
	list := make([]report.Status, len(unsaved))
	sweep(len(unsaved), func(i int) { list[i] = unsaved[i].Finish(why) })
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
	closed := make([]chan error, len(closers))
	for i, c := range closers {
		closed[i] = make(chan error, 1)
		go func() { closed[i] <- foreign.Call("Close", c.Close) }()
	}
	limit := max(time.Until(b.end), b.adapters) // whatever the others have used up
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	errs := make([]error, len(closers))
	for i := range closers {
		select {
		case errs[i] = <-closed[i]:
		case <-ctx.Done():
			errs[i] = e.fault("close", "", fmt.Errorf("the adapter %T has not returned from its Close within %s; it is left behind; look for what it waits for", closers[i], limit.Round(time.Millisecond)))
		}
	}
	return errors.Join(errs...)
}

// budget is until when each part of a Close may last. It is made once, so that no
// part takes what another one needs.
//
//	begin                                                          end
//	|-- restore --|                |<---------- reserve ----------->|
//	|--- count ---|                |
//	|-- refresh --|                |
//	|- try -|                      |
//	|----------- saves ----------->|
//	                               |-- hung --|
//	                               |---- spill --->|
//	                               |---- release ----->|
//	                               |------ list ---------->|
//	                               |------- idle ------------>|
type budget struct {
	begin   time.Time
	restore time.Time // a Restore that Close interrupts comes to its end
	try     time.Time // the store has had its chance, and the spill may take over
	refresh time.Time // copies of what did not change are kept alive
	count   time.Time // the start is noted as one that ended well
	saves   time.Time // final saves
	hung    time.Time // saves that were given up return
	spill   time.Time // what could not be saved is spilled, renewals end
	release time.Time // the lease is released
	list    time.Time // what is not saved is listed
	idle    time.Time // goroutines end
	end     time.Time // the adapters are closed

	patience time.Duration // how long one that hangs keeps its slot
	adapters time.Duration // what they have to close in any case
}

// listEach is how long it takes to list one of very many components.
const listEach = 700 * time.Nanosecond

// newBudget divides total among the parts of a Close of n components.
func newBudget(begin time.Time, total time.Duration, spills bool, n int) budget {
	b := budget{begin: begin, end: begin.Add(total), adapters: min(total/20, 500*time.Millisecond)}
	b.idle = b.end.Add(-b.adapters)
	b.list = b.idle.Add(-min(total/40, 250*time.Millisecond))
	b.release = b.list.Add(-min(total/3, time.Duration(n)*listEach))
	b.spill = b.release.Add(-min(total/20, 500*time.Millisecond))
	b.saves, b.hung = b.spill, b.spill
	if spills {
		reserve := min(total/5, 4*time.Second)
		b.saves = b.spill.Add(-reserve)
		b.hung = b.saves.Add(reserve / 2)
	}
	b.try, b.restore, b.refresh, b.count = begin.Add(total/8), begin.Add(total/4), begin.Add(total/4), begin.Add(total/4)
	b.patience = max(total/40, 10*time.Millisecond)
	return b
}

// until returns a context that ends at t.
func until(t time.Time) (context.Context, context.CancelFunc) {
	return context.WithDeadline(context.Background(), t)
}
