// Package engine is the inside of durable.Checkpointer: the life of registered
// components from Register to Close. The contract of every method stands at the
// method of durable.Checkpointer that has its name.
//
// It is built of packages of one concept each, on floors that internal/lint holds, and
// works with the plain types of internal/store; package durable converts.
package engine

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/durablestate/durable/internal/barrier"
	"github.com/durablestate/durable/internal/engine/backend"
	"github.com/durablestate/durable/internal/engine/component"
	"github.com/durablestate/durable/internal/engine/crashloop"
	"github.com/durablestate/durable/internal/engine/cut"
	"github.com/durablestate/durable/internal/engine/flight"
	"github.com/durablestate/durable/internal/engine/lease"
	"github.com/durablestate/durable/internal/engine/report"
	"github.com/durablestate/durable/internal/engine/saver"
	"github.com/durablestate/durable/internal/engine/schedule"
	"github.com/durablestate/durable/internal/engine/spill"
	"github.com/durablestate/durable/internal/engine/wait"
	"github.com/durablestate/durable/internal/foreign"
	"github.com/durablestate/durable/internal/store"
)

// Engine restores components, saves the changed ones periodically, and all of them
// on shutdown. It is safe for concurrent use.
type Engine struct {
	*lifecycle
	opts    Options
	invalid error // what is wrong with the options
	waiting waiting

	system   *saver.System
	set      *cut.Set // all components as one state, with Options.Consistent
	units    *barrier.Barrier
	starts   *crashloop.Counter
	due      *schedule.Schedule[*saver.Saver]
	routines *wait.Routines
	registry *registry
	arrivals sync.Map                                 // what restores have announced; see component.Profile
	profiles map[component.Profile]*component.Profile // of all members that are alike; guarded by joining

	unknown func() error // what Options.Components has and nobody registered
}

// New returns an Engine on b. invalid is what is wrong with the options: then
// nothing begins. It does not touch the store and starts nothing.
func New(b backend.Backend, o Options, w backend.Words, invalid error) *Engine {
	e := &Engine{
		lifecycle: newLifecycle(), opts: o, invalid: invalid, units: barrier.New(), due: schedule.New[*saver.Saver](),
		routines: wait.NewRoutines(), registry: newRegistry(w), profiles: map[component.Profile]*component.Profile{},
	}
	e.waiting.log = o.Logger
	e.system = &saver.System{
		Backend: b, Words: w, Log: o.Logger, Events: &report.Events{On: o.OnEvent, Log: o.Logger, Told: foreign.Listener{Calls: o.Calls}},
		Crew: flight.NewCrew(e.routines), Deadlines: wait.NewDeadlines(e.life, o.SaveTimeout), Timeout: o.SaveTimeout, Closing: e.closing, Hurrying: e.hurrying,
		Outages: saver.NewOutages(o.Logger),
		Retry:   e.due.Sooner, Count: func() int { return int(e.registry.members.Load()) }, Made: time.Now(),
	}
	if o.Spill != nil {
		e.system.Spill = spill.New(spill.Config{
			Adapter: *o.Spill, Store: b, Namespace: o.namespace(), Words: w, Log: o.Logger,
			Self: store.SpillRecord{Where: o.Where, System: o.System, Replica: o.Replica, Holder: o.Holder},
		})
	}
	e.system.Ownership = e.ownership(b.Owner)
	e.set = cut.New(cut.Config{
		System: e.system, Units: e.units, Routines: e.routines,
		Namespace: o.namespace(), Interval: o.Interval, PauseLimit: o.PauseLimit,
	})
	e.starts = crashloop.New(crashloop.Config{
		States: b, Ownership: e.system.Ownership, Name: o.namespace() + store.StartsID, Limit: o.MaxCrashRestarts,
		Interval: o.Interval, Timeout: o.SaveTimeout, Words: w, Log: o.Logger, OnWait: e.waiting.on, GoOn: e.system.GoOn,
	})
	e.unknown = sync.OnceValue(e.unknownOptions)
	return e
}

func (e *Engine) ownership(owner backend.Owner) lease.Ownership {
	if owner == nil || e.opts.LeaseTTL <= 0 {
		return lease.Alone{}
	}
	return lease.NewKeeper(lease.Config{
		Owner: owner, Name: e.opts.leaseName(), Holder: e.opts.Holder, TTL: e.opts.LeaseTTL, Timeout: e.opts.SaveTimeout,
		Words: e.system.Words, Log: e.opts.Logger, Events: e.system.Events, Routines: e.routines, Closing: e.closing,
		OnWait: e.waiting.on, GoOn: e.system.GoOn, OnLost: e.superseded,
	})
}

// superseded stops all saves up to epoch: another owner has the lease. What a
// Restore has opened under a newer lease meanwhile goes on.
func (e *Engine) superseded(epoch uint64, err error) {
	e.opts.Logger.Error("durable: another owner has taken over; nothing is saved any more until restored", "error", err)
	for s := range e.savers() {
		s.Supersede(epoch, err)
	}
	e.system.Emit("fence", "", 0, 0, time.Now(), err)
}

// savers yields what is saved by itself: every component, or the set of all.
func (e *Engine) savers() iter.Seq[*saver.Saver] { return e.saversOf(e.registry.all()) }

// saversOf yields what members are saved with, each once.
func (e *Engine) saversOf(members iter.Seq[*member]) iter.Seq[*saver.Saver] {
	return func(yield func(*saver.Saver) bool) {
		if e.opts.Consistent {
			yield(&e.set.Saver)
			return
		}
		for m := range members {
			if !yield(&m.own) {
				return
			}
		}
	}
}

func (e *Engine) Do(fn func()) {
	if e.opts.Consistent {
		defer e.units.Enter().Leave()
	}
	fn()
}

func (e *Engine) Start() error {
	errs := []error{e.invalid, e.unrestored()}
	if e.isClosing() {
		errs = append(errs, e.fault("start", "", store.ErrClosed))
	}
	if err := errors.Join(errs...); err != nil || e.started.Swap(true) {
		return err
	}
	for s := range e.savers() {
		e.due.Add(s)
	}
	e.routines.Go(func() { e.due.Run(e.closing) })
	if !e.starts.Off() {
		e.routines.Go(func() { e.starts.ProveHealthy(e.closing) })
	}
	return nil
}

// allRestored reports that every component was restored once.
func (e *Engine) allRestored() bool {
	for m := range e.registry.all() {
		if !m.own.Restored() {
			return false
		}
	}
	return !e.opts.Consistent || e.set.Saver.Restored()
}

// unrestored names the components that were never restored.
func (e *Engine) unrestored() error {
	var errs []error
	check := func(s *saver.Saver) {
		if !s.Restored() {
			errs = append(errs, e.fault("start", s.ID(), store.ErrNotRestored))
		}
	}
	for m := range e.registry.all() {
		check(&m.own)
	}
	if e.opts.Consistent {
		check(&e.set.Saver)
	}
	return errors.Join(errs...)
}

func (e *Engine) Status() []report.Status {
	if e.opts.Consistent {
		return e.set.Status()
	}
	all := make([]report.Status, 0, e.registry.members.Load())
	for m := range e.registry.all() {
		all = append(all, m.own.Status())
	}
	return all
}

func (e *Engine) Health() error {
	if e.invalid != nil {
		return e.invalid
	}
	if e.isClosing() {
		return e.fault("health", "", store.ErrClosed)
	}
	if err := e.waiting.why(); err != nil {
		return err
	}
	if err := e.system.Ownership.Lost(); err != nil {
		return err
	}
	var first error
	unwell, now := 0, time.Now()
	for s := range e.savers() {
		if err := s.Health(now); err != nil {
			first = cmp.Or(first, err)
			unwell++
		}
	}
	if unwell > 1 {
		return fmt.Errorf("%w (and %d more components)", first, unwell-1)
	}
	return first
}

func (e *Engine) fault(op, id string, err error) error { return e.system.Words.Fault(op, id, err) }

// Options are those of durable.Options, checked, and with every default filled in.
type Options struct {
	System, Replica, Holder string
	Interval                time.Duration
	Restore                 store.Policy
	Components              map[string]ComponentOptions
	SaveTimeout             time.Duration
	CloseTimeout            time.Duration
	LeaseTTL                time.Duration // negative: no ownership
	Logger                  *slog.Logger
	Consistent              bool
	PauseLimit              time.Duration
	Spill                   *spill.Adapter // nil: none
	Where                   string         // the store is; empty: that is not known
	OnEvent                 func(report.Event)
	Calls                   *foreign.Helpers // in which code of the program is called; ended by Close
	MaxCrashRestarts        int
}

// ComponentOptions has the fields of durable.ComponentOptions.
type ComponentOptions struct {
	Interval time.Duration
	Restore  store.Policy
}

// namespace is what precedes a component id in the adapter.
func (o *Options) namespace() string { return store.Namespace(o.System, o.Replica) }

// leaseName is that of the system.
func (o *Options) leaseName() string { return strings.TrimSuffix(o.namespace(), "/") }
