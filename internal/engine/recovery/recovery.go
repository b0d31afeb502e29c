// Package recovery brings states back: what was spilled is written to the store,
// every component is claimed and loaded, the newest of what was found is chosen,
// applied, and the component opened for saves.
package recovery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/durablestate/durable/internal/engine/component"
	"github.com/durablestate/durable/internal/engine/cut"
	"github.com/durablestate/durable/internal/engine/report"
	"github.com/durablestate/durable/internal/engine/saver"
	"github.com/durablestate/durable/internal/engine/wait"
	"github.com/durablestate/durable/internal/store"
)

const (
	parallel = 256 // components at a time
	group    = 64  // of them that are claimed and loaded in one step
)

// Target is a component to restore, and the saver of its state by itself.
type Target struct {
	Component *component.Registered
	Saver     *saver.Saver
}

// Recovery is one restore of some components, under the epoch of a lease. Its
// error is store.ErrOutclaimed when that is not the greatest any more.
type Recovery struct {
	System *saver.System
	Set    *cut.Set
	Epoch  uint64
	OnWait func(err error) // what it waits for
	Names  func() []string // of all states that the program knows

	began   time.Time
	calls   *wait.Deadlines
	spilled map[*saver.Saver]error // why what was spilled is not in the store
	unread  sync.Map               // why what was spilled, and is newer, cannot be read: *spill.Unread by its *saver.Saver
	whole   *whole                 // what was found of the set
	aside   sync.Map               // what several components have in common and is set aside once: func() error by its name
}

// Restore restores targets. Its error joins theirs. Together they are the parts of
// the set: either all can be saved after it, or none.
func (r *Recovery) Restore(ctx context.Context, targets []Target, together bool) (results []report.Result, err error) {
	ctx, cancel := context.WithCancel(ctx) // so that no deadline outlives the call
	defer cancel()
	r.began, r.calls = time.Now(), wait.NewDeadlines(ctx, r.System.Timeout)
	if err = r.writeSpillsBack(targets); err == nil {
		err = r.loadSet()
	}
	switch {
	case err != nil:
	case together:
		results, err = r.together(ctx, targets)
	default:
		results, err = r.each(ctx, targets)
	}
	if err == nil {
		if err := r.clear(ctx, &r.Set.Saver); err != nil {
			r.notCleared(&r.Set.Saver, err)
		}
	}
	if results == nil {
		for _, t := range targets {
			results = append(results, unreachable(t, err))
		}
	}
	return results, err
}

func unreachable(t Target, err error) report.Result {
	return report.Result{ComponentID: t.Component.ID(), Outcome: store.Unreachable, Err: err}
}

// each restores targets one by one, in parallel.
func (r *Recovery) each(ctx context.Context, targets []Target) ([]report.Result, error) {
	results, errs := make([]report.Result, len(targets)), make([]error, len(targets))
	r.load(targets, func(i int, own loaded) {
		if errs[i] = own.outclaimed; errs[i] != nil {
			results[i] = unreachable(targets[i], errs[i])
			return
		}
		x := r.choose(targets[i], own)
		results[i], errs[i] = x.restore(ctx)
	})
	return results, errors.Join(errs...)
}

// together restores targets as one. Units of work see none of it half done. There
// are no results when it has not come to that.
func (r *Recovery) together(ctx context.Context, targets []Target) ([]report.Result, error) {
	own, errs := make([]loaded, len(targets)), make([]error, len(targets))
	r.load(targets, func(i int, l loaded) { own[i], errs[i] = l, l.outclaimed })
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	all := make([]chosen, len(targets))
	for i, t := range targets {
		all[i] = r.choose(t, own[i])
	}
	if err := r.Set.Hold(ctx); err != nil {
		return nil, r.Set.Saver.Fail("restore", err)
	}
	defer r.Set.Units.Open()
	results, taken := make([]report.Result, len(targets)), make([]cut.Taken, len(targets))
	wait.Each(len(targets), parallel, func(i int) {
		results[i], errs[i] = all[i].restore(ctx)
		taken[i] = cut.Taken{Stored: !all[i].fresh, Changes: all[i].applied}
	})
	if r.whole.Damaged != nil { // it cannot be read to its end
		if err := r.Set.Saver.SetAside(ctx, r.System, r.whole.snap); err != nil {
			errs = append(errs, r.Set.Saver.Fail("restore", fmt.Errorf("the damaged set could not be set aside: %w", err)))
		}
	}
	r.Set.Carry(r.whole.Entries)
	if err := errors.Join(errs...); err != nil {
		r.Set.Saver.Shut(err)
		for i := range results {
			results[i].Err = cmp.Or(results[i].Err, err) // either all can be saved, or none
		}
		return results, err
	}
	r.Set.Open(r.Epoch, r.whole.found.Fence, r.whole.snap, taken)
	return results, nil
}

// silent says what a call is waiting for that has no answer yet.
func (r *Recovery) silent(s *saver.Saver) func(error) {
	return func(err error) { r.OnWait(s.Fail("restore", err)) }
}
