package transfer

import (
	"context"
	"errors"
	"fmt"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/cmd/durable/internal/survey"
)

// ErrDeleted: the target holds state of a component that the source has deleted.
var ErrDeleted = errors.New("the source has deleted this component and the target holds state of it; --force deletes it there")

// buried is the codec of the empty state that is saved only to be deleted.
const buried = "deleted"

// planBurial compares a component that the source has deleted with what the target
// holds of it.
func (d *delivery) planBurial(ctx context.Context, f survey.Fence, force bool) error {
	there, err := d.to.LoadState(ctx, d.it.ID)
	v := survey.VerdictOf(err)
	unfinished := err == nil && there.Codec == buried && there.Version == d.it.Fence.Version
	switch {
	case v == survey.Unreadable:
		return err
	case v == survey.Missing && f.Version >= d.it.Fence.Version && f.Epoch >= d.it.Fence.Epoch:
		d.r.Outcome = There
	case v == survey.Missing || v == survey.Expired || unfinished || force:
		d.r.Outcome, d.bury = Fenced, true
	default:
		return &refusal{ErrDeleted, f}
	}
	return nil
}

// burial makes the target's fence that of a deleted component. A version is only
// remembered of what was saved, so an empty state is saved under it and deleted.
func (d *delivery) burial(ctx context.Context) error {
	id, fence := d.it.ID, d.it.Fence
	f, err := d.to.Fence(ctx, id)
	if err != nil {
		return err
	}
	if f.Version < fence.Version {
		s := &durable.Snapshot{Epoch: max(f.Epoch, fence.Epoch-1), Version: fence.Version, Codec: buried, Data: []byte{}}
		if err := d.to.SaveState(ctx, id, s); err != nil {
			return err
		}
	}
	if err := d.to.DeleteState(ctx, id); err != nil {
		return err
	}
	if f, err = d.to.Fence(ctx, id); err == nil && f.Version < fence.Version {
		err = fmt.Errorf("the fence is version %d after the deletion, not %d", f.Version, fence.Version)
	}
	return err
}
