package durable

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/durablestate/durable/internal/engine"
	"github.com/durablestate/durable/internal/foreign"
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
// for each save that is under way. Components, adapters of others, OnEvent and the
// handler of Logger are called in goroutines of their own, because they may end them:
// whatever they do other than return is the error of that call. None is left when
// Close returns, except one that such a call keeps from returning.
type Checkpointer struct {
	inside   func() *engine.Engine // behind a func it is out of the reach of whatever prints or dumps a Checkpointer
	closed   func() error          // closes once
	shortTTL error                 // why Start refuses
}

var errNoCheckpointer = errors.New("this Checkpointer is nil or a zero value; make one with New or Config.Open")

// in returns the engine, of a nil or zero Checkpointer one that says so.
func (c *Checkpointer) in() *engine.Engine {
	if c == nil || c.inside == nil {
		return newEngine(nil, Options{}, errNoCheckpointer)
	}
	return c.inside()
}

// newEngine returns an engine on a; with invalid it answers that to every call.
func newEngine(a StateAdapter, o Options, invalid error) *engine.Engine {
	if invalid != nil {
		a, o, invalid = nil, Options{Logger: o.Logger}, &Error{Op: "configure", Err: invalid}
	}
	calls := &foreign.Helpers{}
	inside := o.engine(calls)
	inside.Where = location(a)
	return engine.New(backendOf(a, calls), inside, words, invalid)
}

// New returns a Checkpointer that keeps its components' state in a. Nil opts
// mean the defaults; wrong ones, and an adapter that is nil or was not opened, are
// reported, all at once, by Register, Restore, Start and whatever else is called. A TTL
// of the adapter below three times the longest interval is refused by Start, because
// states would expire between two checkpoints; below ten times, New warns. It does not touch the store and starts nothing. The caller closes
// a, after the Checkpointer.
func New(a StateAdapter, opts *Options) *Checkpointer {
	o := given(opts)
	invalid, ttl := o.invalid(a), ownOf(a).lifetime()
	if invalid == nil {
		o.warnOfTTL(ttl)
		o.warnOfSpillTTL()
	}
	e := newEngine(a, o, invalid)
	return &Checkpointer{
		inside:   func() *engine.Engine { return e },
		shortTTL: o.shortTTL(ttl),
		closed: once(func() error {
			unsaved, err := e.Close()
			if len(unsaved) == 0 {
				return err
			}
			return errors.Join(&CloseError{statuses(unsaved)}, err)
		}),
	}
}

// once is sync.OnceValue, but those who come meanwhile wait on a channel: a test with
// virtual time cannot wait on a lock.
func once(do func() error) func() error {
	var begun atomic.Bool
	var result error
	over := make(chan struct{})
	return func() error {
		if !begun.Swap(true) {
			defer close(over)
			result = do()
			return result
		}
		<-over
		return result
	}
}

// invalid says what is wrong with o for a Checkpointer on a, and with a.
func (o *Options) invalid(a StateAdapter) error {
	ours := ownOf(a)
	c := o.check()
	if isNil(a) {
		c.Refuse("New", "needs an adapter, not nil")
	} else if where := location(a); sameAdapter(a, o.Spill) || where != "" && where == location(o.Spill) {
		c.Refuse("Options.Spill", "must not be the adapter itself, nor another one of the same store: give it a directory, or a key prefix, of its own")
	}
	for _, of := range []inside{ours, ownOf(o.Spill)} {
		if of.found && of.Unusable() != nil {
			c.Refuse("New:", "%w", of.Unusable())
		}
	}
	return c.Err()
}

// location says where the store of a is, empty if that is not known. It holds no
// secret.
func location(a StateAdapter) string {
	if ours := ownOf(a); ours.Unusable() == nil {
		return ours.Location()
	}
	return ""
}

// Register adds a component. It must come before Restore. The adapter knows the
// component as [system/][replica/]componentID; componentID must not contain "/"
// or begin with "~". It is an error to register an id or a component
// twice (a component belongs to one Checkpointer), or a state type that could not be read back; see StatefulComponent.
// Register calls the component's InitState, if it has one.
func (c *Checkpointer) Register(componentID string, comp Component) error {
	inner, err := cellOf(comp)
	if err == nil {
		err = c.in().Register(componentID, comp, inner)
	}
	if err != nil {
		return &Error{Op: "register", ComponentID: componentID, Err: err}
	}
	return nil
}

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
	r, err := c.in().Restore(ctx, componentIDs...)
	return newReport(r), err
}

// Start begins the periodic checkpoints. Each component is saved once within
// its first interval, at a random moment, and then every interval if it changed;
// an unchanged one is kept alive in the store. It is ErrNotRestored unless every
// registered component was restored, and an error about a TTL that is too short for
// the intervals. Starting again does nothing.
func (c *Checkpointer) Start() error {
	if c != nil && c.shortTTL != nil {
		return fmt.Errorf("durable: start: %w", c.shortTTL)
	}
	return c.in().Start()
}

// Do runs one unit of work: fn may take a message, change several components and
// advance the offset. With Options.Consistent no checkpoint has a part of what fn
// did: all or nothing. Any number of units run at the same time; while a
// checkpoint copies the changed components, which takes milliseconds, new ones
// wait. Without Consistent Do just calls fn.
//
// Do inside Do, or inside Update or View of a component, is forbidden: a
// checkpoint that comes in between waits for both. Commit, CheckpointState and
// Checkpoint inside Do are a programming error that ends with ctx. Before Restore and after
// Close fn runs all the same, and its changes are those of any Update then.
func (c *Checkpointer) Do(fn func()) { c.in().Do(fn) }

// Checkpoint saves the named components now, all without names, and returns when
// every change made before the call is durable, or ctx ends. The error lists
// what failed, and what had not finished when ctx ended; the others were saved. It is
// ErrReplaced for a component that a Restore brought back meanwhile: its changes are
// not what was saved. With Options.Consistent all components are
// saved, whichever are named. Calling it inside Update, View or Do is a programming
// error that ends with ctx.
func (c *Checkpointer) Checkpoint(ctx context.Context, componentIDs ...string) error {
	return c.in().Checkpoint(ctx, componentIDs...)
}

// Status returns what is known of each component, in the order of registration,
// and with Options.Consistent of the set of them all as "~set", last. It never
// waits for the store or a component.
func (c *Checkpointer) Status() []ComponentStatus { return statuses(c.in().Status()) }

// Health is nil when every component is restored, this process owns them, and
// none has gone three intervals without a successful save or check. It is meant
// for readiness, never for liveness: an outage of the store must not get
// processes killed that hold the newest state. While Restore waits for a held
// lease it is ErrLeaseHeld: a healthy standby, which may count as ready.
func (c *Checkpointer) Health() error { return c.in().Health() }

// Close takes the final checkpoint of every restored component, releases the
// lease and stops. Call it when the workers are quiet and before components are
// cleaned up: it saves what it finds.
//
// nil means that every component's last change is durable. Otherwise errors.As
// finds a *CloseError that lists what is not, and how old its last good
// checkpoint is; what went to Options.Spill is listed too, as Spilled, and so are
// changes made after a Restore that failed, but not what was set up before it. What
// did not change is not listed, whatever the store says. Saves run in parallel, the
// largest changes first. Each that failed is tried again, unless its error is
// permanent, and one that hangs keeps no other from that. Options.CloseTimeout is
// for all of it, and Close keeps it whatever the components and the store do: when
// the store is so slow that the rest could not be spilled in time, the spill begins
// early. It works without Start, after a failed Restore, and again, with the same
// result.
func (c *Checkpointer) Close() error {
	if c == nil || c.closed == nil {
		return &Error{Op: "close", Err: errNoCheckpointer}
	}
	return c.closed()
}

// Format writes that it is a Checkpointer, whatever the verb: the states in it are
// nobody's to print.
func (c *Checkpointer) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "durable.Checkpointer") }
