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
	savers, mayBeTooNew := []*saver.Saver{&r.Set.Saver}, []bool{true}
	for _, t := range targets {
		accepts := t.Component.Policy.Accepts(store.TooNew)
		savers, mayBeTooNew = append(savers, t.Saver), append(mayBeTooNew, accepts)
		mayBeTooNew[0] = mayBeTooNew[0] && accepts // the set, which has a part of each
	}
	errs, others := make([]error, len(savers)), others{}
	wait.Each(len(savers), parallel, func(i int) {
		errs[i] = wait.ForAnswer(r.calls.Parent(), r.silent(savers[i]), func() error {
			return r.writeBack(r.calls.Begin(time.Now()), savers[i], mayBeTooNew[i], &others)
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

func (r *Recovery) writeBack(ctx context.Context, s *saver.Saver, mayBeTooNew bool, others *others) error {
	for { // twice at the most: nothing is left but the fence, which the deletion has raised
		found, err := r.System.Spill.Find(ctx, s.Name())
		if err != nil {
			return err
		}
		s.Raise(found.Fence)
		again := false
		for _, e := range found.Ours {
			gone, err := r.offer(ctx, s, e)
			if err != nil {
				return err
			}
			again = again || gone
		}
		switch {
		case again:
			continue
		case found.Unread != nil:
			return r.weigh(s, mayBeTooNew, found.Unread)
		case found.Others != "":
			others.add(found.Others)
		}
		return nil
	}
}

// weigh takes a spilled state that cannot be read for the newest generation there is,
// since nobody can tell. It stays where it is until a component has been restored
// without it. One of a newer release, which that could still bring back, fails here:
// nothing may be claimed before.
func (r *Recovery) weigh(s *saver.Saver, mayBeTooNew bool, unread *spill.Unread) error {
	f, _ := r.System.Words.Fence(unread.Err)
	unread.Err = r.System.Words.Fault("restore", s.ID(), store.Answer(f, unread.Err, ""))
	r.System.Log.Error("durable: a spilled state cannot be read; it is kept", "component", s.ID(), "error", unread.Err)
	if store.OutcomeOf(unread.Err) == store.TooNew && (!mayBeTooNew || r.System.Spill.Bytes == nil) {
		return unread.Err
	}
	r.unread.Store(s, unread)
	return nil
}

// clear sets aside, in the spill, what of s could not be read there, since it was
// restored without that.
func (r *Recovery) clear(ctx context.Context, s *saver.Saver) error {
	v, ok := r.unread.Load(s)
	if !ok || r.System.Spill.Bytes == nil {
		return nil
	}
	depot := r.System.Spill
	for _, id := range v.(*spill.Unread).IDs {
		all, err := depot.Bytes.Stored(ctx, id)
		if err != nil {
			return err
		}
		for _, g := range all {
			shared := g.Shared
			if shared != "" {
				shared = "spill " + shared // the store may have a file of that name too
			}
			if err := r.once(shared, func() error { return s.SetAside(ctx, depot.States, saver.Bytes(g)) }); err != nil {
				return err
			}
		}
		if err := r.System.GoOn(s.ID(), depot.Delete(ctx, id)); err != nil {
			return err
		}
	}
	return nil
}

func (r *Recovery) notCleared(s *saver.Saver, err error) {
	r.System.Log.Warn("durable: what cannot be read in the spill could not be set aside; it stays there", "component", s.ID(), "error", err)
}

// beneath makes l the older generation that it is where the spill has a newer one
// that cannot be read.
func (r *Recovery) beneath(l *loaded) {
	v, ok := r.unread.Load(l.saver)
	if !ok || l.found.Err != nil && store.OutcomeOf(l.found.Err) == store.Unreachable {
		return
	}
	unread := v.(*spill.Unread).Err
	newest := l.found.Fence.Version + 1
	if f, _ := r.System.Words.Fence(unread); f.Epoch > 0 { // else it is a guess
		newest = max(newest, f.Version)
	}
	if l.found.Err == nil && store.OutcomeOf(unread) != store.TooNew {
		snap := *l.snap
		snap.LastVersion = newest
		l.snap, l.found = &snap, store.FoundBy(&snap, store.Fence{}, nil)
		return
	}
	if l.snap != nil {
		l.shown, l.snap = l.snap, nil
	}
	l.found = store.FoundBy(nil, store.Fence{Epoch: l.found.Fence.Epoch, Version: newest}, unread)
}

// offer saves a spilled snapshot in the store, and reports that it has left the spill.
func (r *Recovery) offer(ctx context.Context, s *saver.Saver, e spill.Entry) (gone bool, err error) {
	depot, copied := r.System.Spill, *e.Snapshot
	snap := &copied
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
	err = nil
	if kept {
		err = s.SetAside(ctx, depot.States, snap)
	}
	if err == nil && e.LastVersion > e.Version { // what is newer there is to be set aside first
		return false, nil
	}
	if err == nil {
		err = r.System.GoOn(s.ID(), depot.Delete(ctx, e.ID))
	}
	if err != nil {
		depot.Leave(e.ID)
		r.System.Log.Warn("durable: the spill takes no change; what the store does not need any more stays there until a later start", "id", e.ID, "error", err)
	}
	return err == nil, nil
}
