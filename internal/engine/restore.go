package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/durablestate/durable/internal/engine/recovery"
	"github.com/durablestate/durable/internal/engine/report"
	"github.com/durablestate/durable/internal/store"
)

// claimRounds is how often a Restore takes a lease while others claim above it.
const claimRounds = 5

// Restore takes ownership and brings the state of every component back, or of the
// named ones: it owns, counts the start, and leaves the rest to a Recovery.
func (e *Engine) Restore(ctx context.Context, ids ...string) (report.Report, error) {
	members, err := e.beginRestore(ctx, ids)
	if err != nil {
		return report.Report{Results: unreachable(members, err)}, err
	}
	defer func() { <-e.restoring }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(e.closing, cancel)() // Close ends a waiting Restore
	r, err := e.restoreOwned(ctx, members)
	e.waiting.on(nil)
	if e.isClosing() { // nothing that it brought back is saved any more
		err = e.fault("restore", "", store.ErrClosed)
		for i := range r.Results {
			r.Results[i].Err = cmp.Or(r.Results[i].Err, err)
		}
	}
	if err != nil && r.Results == nil {
		r.Results = unreachable(members, err)
	}
	return r, err
}

// unreachable are the results of a restore that did not come to its members.
func unreachable(members []*member, err error) (list []report.Result) {
	for _, m := range members {
		list = append(list, report.Result{ComponentID: m.ID(), Outcome: store.Unreachable, Err: err})
	}
	return list
}

// beginRestore checks the call, waits for its turn, and notes what was set up. It
// returns those that are to be restored also beside an error, as far as they are known.
func (e *Engine) beginRestore(ctx context.Context, ids []string) ([]*member, error) {
	if e.invalid != nil {
		return nil, e.invalid
	}
	if e.isClosing() {
		members, _ := e.registry.choose(ids)
		return members, e.fault("restore", "", store.ErrClosed)
	}
	members, first, err := e.begin(ids)
	if err != nil {
		return members, err
	}
	if err := e.unknown(); err != nil {
		return members, err
	}
	select {
	case e.restoring <- struct{}{}:
	case <-ctx.Done():
		return members, e.fault("restore", "", ctx.Err())
	case <-e.closing.Done():
		return members, e.fault("restore", "", store.ErrClosed)
	}
	if first { // also those that this Restore leaves out
		for s := range e.savers() {
			s.NoteSetUp()
		}
	}
	for s := range e.saversOf(slices.Values(members)) {
		s.NoteSetUp()
	}
	return members, nil
}

// begin returns the members to restore, and whether that is the first Restore. No
// more may be registered from then on.
func (e *Engine) begin(ids []string) (members []*member, first bool, err error) {
	e.joining.Lock()
	defer e.joining.Unlock()
	members, err = e.registry.choose(ids)
	if err == nil && e.opts.Consistent {
		if len(members) < int(e.registry.members.Load()) {
			err = e.fault("restore", "", errors.New("with Options.Consistent all components are restored as one set; name none or all"))
		}
		members, _ = e.registry.choose(nil) // in the order of the set's parts, whatever that of ids
	}
	return members, err == nil && !e.begun.Swap(true), err
}

// unknownOptions compares the options with the components.
func (e *Engine) unknownOptions() error {
	var errs []error
	for id := range e.opts.Components {
		if e.registry.find(id) == nil {
			errs = append(errs, e.fault("configure", id, fmt.Errorf("Options.Components has an entry for it: %w", store.ErrNotRegistered)))
		}
	}
	return errors.Join(errs...)
}

// restoreOwned restores members under a lease. A claim that is refused means that
// somebody was there with a greater epoch, so a new lease is taken.
func (e *Engine) restoreOwned(ctx context.Context, members []*member) (r report.Report, err error) {
	for round := 1; ; round++ {
		for s := range e.saversOf(slices.Values(members)) {
			if err := s.Quiesce(ctx); err != nil {
				return r, err
			}
		}
		epoch, prev, err := e.system.Ownership.Take(ctx)
		if err != nil {
			return r, err
		}
		e.waiting.on(nil)
		if prev != nil {
			r.Predecessor, r.CleanShutdown = prev.Holder, prev.Released
		}
		err = e.restoreUnder(ctx, epoch, members, &r)
		if !errors.Is(err, store.ErrOutclaimed) || round == claimRounds || ctx.Err() != nil {
			return r, err
		}
		e.system.Ownership.Drop()
	}
}

// names returns the names of all states that this program knows.
func (e *Engine) names() []string {
	names := []string{e.set.Name()}
	for m := range e.registry.all() {
		names = append(names, m.own.Name())
	}
	return names
}

// restoreUnder restores members under an epoch, after counting this start.
func (e *Engine) restoreUnder(ctx context.Context, epoch uint64, members []*member, r *report.Report) (err error) {
	if r.CrashRestarts, err = e.starts.Count(ctx, epoch); err != nil {
		return err
	}
	targets := make([]recovery.Target, len(members))
	for i, m := range members {
		targets[i] = recovery.Target{Component: &m.Registered, Saver: &m.own}
	}
	rec := recovery.Recovery{System: e.system, Set: e.set, Epoch: epoch, OnWait: e.waiting.on, Names: e.names}
	r.Results, err = rec.Restore(ctx, targets, e.opts.Consistent)
	r.Unregistered = e.set.Unregistered()
	return err
}
