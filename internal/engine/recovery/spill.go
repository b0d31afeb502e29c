package recovery

import (
	"context"
	"errors"
	"time"

	"github.com/durablestate/durable/internal/engine/saver"
	"github.com/durablestate/durable/internal/engine/wait"
	"github.com/durablestate/durable/internal/store"
)

// writeSpillsBack offers what was spilled to the store, before anything is claimed:
// as the delayed save of the predecessor that it is, the save rule decides whether
// it is newer than what the store has. If it is not, it is set aside. A crash at
// any point leaves the snapshot in at least one of the two. What could not be
// written back is not restored from the store, where it may be older.
func (r *Recovery) writeSpillsBack(targets []Target) {
	if r.System.Spill == nil {
		return
	}
	savers := []*saver.Saver{&r.Set.Saver}
	for _, t := range targets {
		savers = append(savers, t.Saver)
	}
	errs := make([]error, len(savers))
	wait.Each(len(savers), parallel, func(i int) {
		errs[i] = wait.ForAnswer(r.calls.Parent(), r.silent(savers[i]), func() error {
			return r.writeBack(r.calls.Begin(time.Now()), savers[i])
		})
	})
	r.spilled = map[*saver.Saver]error{}
	for i, err := range errs {
		if err != nil {
			r.spilled[savers[i]] = err
		}
	}
}

func (r *Recovery) writeBack(ctx context.Context, s *saver.Saver) error {
	spill := r.System.Spill
	for { // twice at the most: nothing is left but the fence, which the deletion has raised
		snap, err := spill.Load(ctx, s.Name())
		if err != nil && store.OutcomeOf(err) == store.Unreachable {
			return err
		}
		if err != nil {
			if !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrExpired) {
				r.System.Log.Error("durable: spilled state cannot be read; it stays where it is", "component", s.ID(), "error", err)
			}
			f, _ := r.System.Words.Fence(err)
			s.Raise(f.Epoch)
			return nil
		}
		snap.LastVersion = 0
		err = r.System.Save(ctx, s.Name(), snap)
		switch {
		case err == nil:
			r.System.Log.Info("durable: spilled state was written back", "component", s.ID(), "version", snap.Version)
		case store.IsStored(err):
			return r.System.GoOn(s.ID(), err) // it is in both, and stays in both until it is as durable as configured
		case errors.Is(err, store.ErrFenced), errors.Is(err, store.ErrConflict):
			if err := s.SetAside(ctx, spill, snap); err != nil {
				return err
			}
		default:
			return err
		}
		if err := r.System.GoOn(s.ID(), spill.Delete(ctx, s.Name())); err != nil {
			return err
		}
	}
}
