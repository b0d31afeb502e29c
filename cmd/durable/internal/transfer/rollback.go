package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/cmd/durable/internal/survey"
)

// A Rollback is what became of a rollback.
type Rollback struct {
	ID      string `json:"id"`
	From    uint64 `json:"from"` // highest version before
	To      uint64 `json:"to"`   // the version whose content is back
	Version uint64 `json:"version"`
	Epoch   uint64 `json:"epoch"`
}

// takeOvers is how often a rollback begins again because an owner restored the
// component at the same moment.
const takeOvers = 5

// RollBack makes the content of an older version the newest state. It takes the
// component over: a running owner is refused from then on and finds the older
// content when it restores. Whatever was saved before stays in the history.
func RollBack(ctx context.Context, s *survey.Store, id string, version uint64) (*Rollback, error) {
	old, err := s.LoadSnapshot(ctx, id, version)
	if err != nil {
		return nil, err
	}
	for range takeOvers {
		var r *Rollback
		if r, err = rollBackOnce(ctx, s, id, old); err == nil {
			return r, confirm(ctx, s, r, old)
		}
		if !errors.Is(err, durable.ErrFenced) && !errors.Is(err, durable.ErrConflict) {
			break
		}
	}
	return nil, err
}

func rollBackOnce(ctx context.Context, s *survey.Store, id string, old *durable.Snapshot) (*Rollback, error) {
	f, err := s.Fence(ctx, id)
	if err != nil {
		return nil, err
	}
	epoch := f.Epoch
	if w := s.Ownership(ctx, survey.LeaseOf(id)); w.Err != nil {
		return nil, w.Err
	} else if w.Lease != nil {
		epoch = max(epoch, w.Lease.Epoch)
	}
	if epoch == math.MaxUint64 {
		return nil, errors.New("no epoch is left")
	}
	if err := s.ClaimState(ctx, id, epoch+1); err != nil {
		return nil, err
	}
	if f, err = s.Fence(ctx, id); err != nil { // nobody below can save any more
		return nil, err
	}
	if f.Version == math.MaxUint64 {
		return nil, errors.New("no version is left")
	}
	err = s.SaveState(ctx, id, &durable.Snapshot{Epoch: epoch + 1, Version: f.Version + 1, Schema: old.Schema, Codec: old.Codec, Data: old.Data})
	return &Rollback{ID: id, From: f.Version, To: old.Version, Version: f.Version + 1, Epoch: epoch + 1}, err
}

// confirm reads the new version back.
func confirm(ctx context.Context, s *survey.Store, r *Rollback, old *durable.Snapshot) error {
	got, err := s.LoadSnapshot(ctx, r.ID, r.Version)
	if err == nil && !bytes.Equal(got.Data, old.Data) {
		err = fmt.Errorf("version %d is not what was saved", r.Version)
	}
	return err
}
