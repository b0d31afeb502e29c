package recovery

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/durablestate/durable/internal/engine/saver"
	"github.com/durablestate/durable/internal/engine/spill"
	"github.com/durablestate/durable/internal/engine/wait"
	"github.com/durablestate/durable/internal/store"
)

// writeSpillsBack offers what was spilled to the store, before anything is claimed:
// as the delayed save of the predecessor that it is, the save rule decides whether
// it is newer than what the store has. If it is not, it is set aside. A crash at
// any point leaves the snapshot in at least one of the two. What could not be
// written back is not restored from the store, where it may be older. What was
// spilled for another store stays, and is told. The error is that it cannot be told
// what belongs to which store.
func (r *Recovery) writeSpillsBack(targets []Target) error {
	if r.System.Spill == nil {
		return nil
	}
	ask := func(do func(ctx context.Context) error) error {
		return wait.ForAnswer(r.calls.Parent(), r.silent(&r.Set.Saver), func() error { return do(r.calls.Begin(time.Now())) })
	}
	once := func(do func(ctx context.Context) error) error { return do(r.calls.Begin(time.Now())) }
	if err := r.System.Spill.Identify(ask, once, r.Names); err != nil {
		return r.System.Words.Fail("restore", "", err)
	}
	savers := []*saver.Saver{&r.Set.Saver}
	for _, t := range targets {
		savers = append(savers, t.Saver)
	}
	errs, others := make([]error, len(savers)), others{}
	wait.Each(len(savers), parallel, func(i int) {
		errs[i] = wait.ForAnswer(r.calls.Parent(), r.silent(savers[i]), func() error {
			return r.writeBack(r.calls.Begin(time.Now()), savers[i], &others)
		})
	})
	r.spilled = map[*saver.Saver]error{}
	for i, err := range errs {
		if err != nil {
			r.spilled[savers[i]] = err
		}
	}
	if len(others.ids) > 0 {
		r.System.Log.Warn("durable: the spill holds states of another store, which stay there; give each program a spill of its own", "ids", spill.Named(others.ids))
	}
	if len(r.spilled) == 0 {
		if err := r.System.Spill.Sweep(ask, r.Names); err != nil {
			r.System.Log.Warn("durable: what is left in the spill could not be looked at", "error", err)
		}
	}
	return nil
}

// others are what the spill holds of other stores.
type others struct {
	mu  sync.Mutex
	ids []string
}

func (o *others) add(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ids = append(o.ids, id)
}

func (r *Recovery) writeBack(ctx context.Context, s *saver.Saver, others *others) error {
	for { // twice at the most: nothing is left but the fence, which the deletion has raised
		ours, other, fence, err := r.System.Spill.Find(ctx, s.Name())
		if err != nil {
			return err
		}
		s.Raise(fence)
		again := false
		for _, e := range ours {
			gone, err := r.offer(ctx, s, e)
			if err != nil {
				return err
			}
			again = again || gone
		}
		if !again {
			if other != "" {
				others.add(other)
			}
			return nil
		}
	}
}

// offer saves a spilled snapshot in the store, and reports that it has left the spill.
func (r *Recovery) offer(ctx context.Context, s *saver.Saver, e spill.Entry) (gone bool, err error) {
	depot, snap := r.System.Spill, e.Snapshot
	snap.LastVersion = 0
	err = r.System.Save(ctx, s.Name(), snap)
	kept := depot.Moved()
	switch {
	case err == nil:
		r.System.Log.Info("durable: spilled state was written back", "component", s.ID(), "version", snap.Version)
	case store.IsStored(err):
		return false, r.System.GoOn(s.ID(), err) // it is in both, and stays in both until it is as durable as configured
	case errors.Is(err, store.ErrFenced), errors.Is(err, store.ErrConflict):
		kept = true
	default:
		return false, err
	}
	if kept {
		if err := s.SetAside(ctx, depot.States, snap); err != nil {
			return false, err
		}
	}
	return true, r.System.GoOn(s.ID(), depot.Delete(ctx, e.ID))
}
