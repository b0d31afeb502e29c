package durable

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/durablestate/durable/internal/barrier"
)

// Checkpointer restores registered components on start-up, saves the changed
// ones periodically and flushes all of them on shutdown. The order of calls is
// [New], Register for each component, Restore, Start, and Close when the workers
// are quiet and before the components are cleaned up. All methods are safe for
// concurrent use.
//
// It runs at most three goroutines of its own, one that renews the lease (from
// Restore to Close), one that schedules checkpoints (from Start to Close) and,
// with MaxCrashRestarts, one that waits for the process to prove healthy, and one
// for each save that is under way. None is left when Close returns, except one
// that a callback of a component, or an adapter that ignores its context, keeps
// from returning.
type Checkpointer struct {
	adapter   StateAdapter
	owner     Owner     // nil: no ownership
	custodian custodian // nil: the adapter cannot tell
	opts      Options
	invalid   error // what is wrong with the options
	log       *slog.Logger
	keeper    *keeper // nil: no ownership
	starts    *starts // counts those that ended badly
	set       *set    // all components, with Options.Consistent
	units     *barrier.Barrier
	due       *schedule // when which component is checkpointed
	outage    outage    // of the store
	faults    outage    // of components that cannot give their state
	workers   *workers  // of saves

	life    context.Context // ends when Close has waited long enough
	end     context.CancelFunc
	closing context.Context // ends when Close begins
	shut    context.CancelFunc
	closed  func() error // closes once

	restoring chan struct{} // held by the Restore that is under way

	registered atomic.Int64 // how many components

	made   time.Time
	prefix int // length of the namespace

	mu       sync.Mutex
	roster   *roster         // of the components
	arriving map[string]bool // ids that are being registered
	kins     map[kin]*kin
	waiting  error // what Restore waits for
	begun    bool  // a Restore began
	started  bool
	closers  []io.Closer
	running  int           // goroutines
	finished bool          // no goroutine may begin any more
	idle     chan struct{} // closed when finished and none is running
}

// New returns a Checkpointer that keeps its components' state in a. Nil opts
// mean the defaults; wrong ones are reported by Register, Restore and Start. It
// does not touch the store and starts nothing. The caller closes a, after the
// Checkpointer.
func New(a StateAdapter, opts *Options) *Checkpointer {
	o, err := opts.withDefaults()
	if a == nil {
		err = errors.Join(err, errors.New("New needs an adapter"))
	}
	if sameAdapter(a, o.Spill) {
		err = errors.Join(err, errors.New("Options.Spill must not be the adapter itself"))
	}
	if err != nil {
		err = &Error{Op: "configure", Err: err}
	}
	c := &Checkpointer{
		adapter: a, opts: o, invalid: err, log: o.Logger, due: newSchedule(),
		restoring: make(chan struct{}, 1), idle: make(chan struct{}), made: time.Now(),
		roster: newRoster(), arriving: map[string]bool{}, kins: map[kin]*kin{},
	}
	c.prefix = len(c.namespace())
	c.workers = &workers{c: c}
	c.outage = outage{log: o.Logger, down: "state cannot be saved or read", up: "all state can be saved and read again"}
	c.faults = outage{log: o.Logger, down: "a component cannot be saved, because it does not give its state", up: "every component can be saved again"}
	c.starts = newStarts(c)
	c.custodian = find[custodian](a)
	c.units = barrier.New()
	c.set = newSet(c)
	c.life, c.end = context.WithCancel(context.Background())
	c.closing, c.shut = context.WithCancel(c.life)
	c.workers.shifts.parent, c.workers.shifts.limit = c.life, o.SaveTimeout
	c.closed = sync.OnceValue(c.close)
	if o.LeaseTTL > 0 {
		c.owner = find[Owner](a)
	}
	if c.owner != nil {
		c.keeper = newKeeper(c)
	}
	return c
}

// find looks for a capability through wrappers; nil if it is not there.
func find[T any](a StateAdapter) (capability T) {
	for ; a != nil; a = unwrap(a) {
		if c, ok := a.(T); ok {
			return c
		}
	}
	return capability
}

// unwrap returns what a wraps, nil if it is no wrapper.
func unwrap(a StateAdapter) StateAdapter {
	if w, ok := a.(interface{ Unwrap() StateAdapter }); ok {
		return w.Unwrap()
	}
	return nil
}

// sameAdapter reports that a and b are one adapter, perhaps in wrappers.
func sameAdapter(a, b StateAdapter) bool {
	for ; a != nil && reflect.ValueOf(a).Comparable(); a = unwrap(a) {
		for s := b; s != nil && reflect.ValueOf(s).Comparable(); s = unwrap(s) {
			if a == s {
				return true
			}
		}
	}
	return false
}

// Start begins the periodic checkpoints. Each component is saved once within
// its first interval, at a random moment, and then every interval if it changed;
// an unchanged one is kept alive in the store. It is ErrNotRestored unless every
// registered component was restored. Starting again does nothing.
func (c *Checkpointer) Start() error {
	var errs []error
	if c.invalid != nil {
		errs = append(errs, c.invalid)
	}
	if err := c.unrestored(); err != nil {
		errs = append(errs, err)
	}
	c.mu.Lock()
	if c.closing.Err() != nil {
		errs = append(errs, &Error{Op: "start", Err: ErrClosed})
	}
	again := c.started
	c.started = c.started || len(errs) == 0
	c.mu.Unlock()
	if len(errs) > 0 || again {
		return errors.Join(errs...)
	}
	c.due.plan(c.places())
	c.spawn(func() { c.due.run(c.closing) })
	if !c.starts.off() {
		c.spawn(func() { c.starts.proveHealthy(c.closing) })
	}
	return nil
}

// unrestored names the components that were never restored.
func (c *Checkpointer) unrestored() error {
	members, _ := c.choose(nil)
	if c.opts.Consistent {
		members = append(members, c.set.m)
	}
	var errs []error
	for _, m := range members {
		if !m.everRestored() {
			errs = append(errs, &Error{Op: "start", ComponentID: m.id(), Err: ErrNotRestored})
		}
	}
	return errors.Join(errs...)
}

// Checkpoint saves the named components now, all without names, and returns when
// every change made before the call is durable, or ctx ends. The error lists
// what failed; the others were saved. With Options.Consistent all components are
// saved, whichever are named. Calling it inside Update, View or Do is a programming
// error that ends with ctx.
func (c *Checkpointer) Checkpoint(ctx context.Context, componentIDs ...string) error {
	members, err := c.choose(componentIDs)
	if err != nil {
		return err
	}
	var flights []*flight
	for _, m := range changed(members) {
		flights = append(flights, m.request()) // in one go, so that they share commits
	}
	var errs []error
	for _, f := range flights {
		if err := f.wait(ctx); err != nil {
			errs = append(errs, err)
			if ctx.Err() != nil {
				break
			}
		}
	}
	return errors.Join(errs...)
}

// changed returns the members that save for those given, without any for which
// there is nothing to do. It reuses members.
func changed(members []*member) []*member {
	list, now := members[:0], time.Now()
	for i, m := range members {
		if i > 0 && m.part != nil {
			break // one cut covers all
		}
		if s := m.saver(); !s.look(now, false) {
			list = append(list, s)
		}
	}
	return list
}

// Status returns what is known of each component, in the order of registration,
// and with Options.Consistent of the set of them all as "~set", last. It never
// waits for the store or a component.
func (c *Checkpointer) Status() []ComponentStatus {
	members, _ := c.choose(nil)
	if c.opts.Consistent {
		members = append(members, c.set.m)
	}
	all := make([]ComponentStatus, len(members))
	for i, m := range members {
		all[i] = m.snapshotStatus()
	}
	return all
}

// Health is nil when every component is restored, this process owns them, and
// none has gone three intervals without a successful save or check. It is meant
// for readiness, never for liveness: an outage of the store must not get
// processes killed that hold the newest state. While Restore waits for a held
// lease it is ErrLeaseHeld: a healthy standby, which may count as ready.
func (c *Checkpointer) Health() error {
	if c.invalid != nil {
		return c.invalid
	}
	c.mu.Lock()
	waiting := c.waiting
	c.mu.Unlock()
	switch {
	case c.closing.Err() != nil:
		return &Error{Op: "health", Err: ErrClosed}
	case waiting != nil:
		return waiting
	case c.keeper != nil && c.keeper.lost() != nil:
		return c.keeper.lost()
	}
	var first error
	unwell := 0
	now := time.Now()
	for _, m := range c.savers() {
		if err := m.health(now); err != nil {
			unwell++
			first = cmpOr(first, err)
		}
	}
	if unwell > 1 {
		return fmt.Errorf("%w (and %d more components)", first, unwell-1)
	}
	return first
}

func cmpOr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// closeWith makes Close close the closers after everything else, in order.
func (c *Checkpointer) closeWith(closers ...io.Closer) {
	c.mu.Lock()
	c.closers = append(c.closers, closers...)
	c.mu.Unlock()
}

func (c *Checkpointer) event(op string, m *member, version uint64, bytes int, start time.Time, err error) {
	if c.opts.OnEvent == nil {
		return
	}
	e := Event{Op: op, Version: version, Bytes: bytes, Duration: time.Since(start), Err: err}
	if m != nil {
		e.ComponentID = m.id()
	}
	c.emit(e)
}

func (c *Checkpointer) emit(e Event) {
	if c.opts.OnEvent == nil {
		return
	}
	defer func() {
		if r := recover(); r != nil {
			c.log.Error("durable: OnEvent panicked", "op", e.Op, "stack", string(debug.Stack()))
		}
	}()
	c.opts.OnEvent(e)
}
