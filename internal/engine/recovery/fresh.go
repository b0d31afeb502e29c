package recovery

import (
	"context"
	"fmt"
	"sync"

	"github.com/durablestate/durable/internal/engine/saver"
	"github.com/durablestate/durable/internal/store"
)

// beginFresh makes the state a fresh one. Every fresh start passes here, and what
// is stored is set aside before anything else is written: if that fails, the
// component does not start. Of the two places a state may be in, the saves to come
// go to one; both are looked after.
func (x *chosen) beginFresh(ctx context.Context) error {
	for _, c := range []candidate{x.candidate, x.other} {
		if err := x.setAside(ctx, c); err != nil {
			return fmt.Errorf("the old state could not be set aside, so nothing is overwritten: %w", err)
		}
	}
	if !x.Saver.Restored() && x.Component.Mark().Changes == x.setUp {
		return nil // it is as it was set up
	}
	return x.Component.Reset(x.Saver.Start())
}

// setAside sets aside what c has, and what is newer there and does not verify.
func (x *chosen) setAside(ctx context.Context, c candidate) error {
	snap := c.snap
	if snap == nil {
		snap = c.unread
	}
	if snap != nil {
		if err := x.Saver.SetAside(ctx, x.r.System, snap); err != nil {
			return err
		}
		if snap.LastVersion <= snap.Version {
			return nil
		}
	}
	switch store.OutcomeOf(c.stored) {
	case store.FirstBoot, store.Expired: // nothing is there
		return nil
	}
	return x.r.once(c.place.Name(), func() error {
		return c.place.SetStoredAside(ctx, saver.Answer{Epoch: x.r.Epoch, Err: c.stored, Shown: c.shown}, x.r.once)
	})
}

// once does what components have in common: nothing but the result when that was
// done under the name before. What has no name is done each time.
func (r *Recovery) once(name string, do func() error) error {
	if name == "" {
		return do()
	}
	did, _ := r.aside.LoadOrStore(name, sync.OnceValue(do))
	return did.(func() error)()
}
