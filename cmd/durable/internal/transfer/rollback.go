package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/cmd/durable/internal/survey"
	"github.com/durablestate/durable/internal/store"
)

// A Rollback is what became of a rollback.
type Rollback struct {
	ID      string `json:"id"`
	From    uint64 `json:"from"` // highest version before
	To      uint64 `json:"to"`   // the version whose content is back
	Version uint64 `json:"version"`
	Epoch   uint64 `json:"epoch"`
}

// takeOvers is how often a take-over begins again because an owner restored the
// component at the same moment.
const takeOvers = 5

// ErrElsewhere: a restart takes the state of the component from another place.
var ErrElsewhere = errors.New("a restart would not take it")

// RollBack makes the content of an older version the newest state. It takes the
// component over: a running owner is refused from then on and finds the older
// content when it restores. Whatever was saved before stays in the history. The
// version of a component may be one that a set has.
//
// A set is taken over with its components, and a component with the set of its
// system, because the owner may save in the other place from now on. The error is
// ErrElsewhere when the newest state is there already.
func RollBack(ctx context.Context, s *survey.Store, id string, version uint64) (*Rollback, error) {
	old, _, err := s.Version(ctx, id, version)
	if err != nil {
		return nil, err
	}
	return RollBackTo(ctx, s, id, old)
}

// RollBackTo is RollBack to a state that was kept elsewhere.
func RollBackTo(ctx context.Context, s *survey.Store, id string, old *durable.Snapshot) (r *Rollback, err error) {
	err = insist(func() error {
		r, err = rollBackOnce(ctx, s, id, old)
		return err
	})
	return r, err
}

// Kept returns the state that the id from keeps a copy of, set aside or spilled. Bytes
// that were set aside as they were found are decoded as a state of id.
func Kept(ctx context.Context, s *survey.Store, from, id string) (*durable.Snapshot, error) {
	snap, err := s.LoadState(ctx, from)
	if err != nil || snap.Codec != store.RawCodec {
		return snap, err
	}
	old, err := durable.DecodeSnapshot(id, snap.Data)
	if err != nil {
		return nil, fmt.Errorf("the bytes that were set aside are no state that this program reads: %w", err)
	}
	return old, nil
}

// insist repeats a take-over while owners come in between.
func insist(do func() error) (err error) {
	for range takeOvers {
		if err = do(); !errors.Is(err, durable.ErrFenced) && !errors.Is(err, durable.ErrConflict) {
			return err
		}
	}
	return err
}

func rollBackOnce(ctx context.Context, s *survey.Store, id string, old *durable.Snapshot) (*Rollback, error) {
	others, err := otherPlaces(ctx, s, id, old)
	if err != nil {
		return nil, err
	}
	epoch, err := takeOver(ctx, s, id, others)
	if err != nil {
		return nil, err
	}
	if err := Elsewhere(ctx, s, id); err != nil { // nobody below can save any more
		return nil, err
	}
	f, err := s.Fence(ctx, id)
	if err != nil {
		return nil, err
	}
	r := &Rollback{ID: id, From: f.Version, To: old.Version, Version: f.Version, Epoch: epoch}
	data := old.Data
	switch {
	case survey.IsSet(id):
		data, err = survey.Reseal(data, epoch, f.Version+1)
	case len(others) > 0: // above what is left of a set that has no state any more
		var set survey.Fence
		set, err = s.Fence(ctx, others[0])
		r.Version = max(f.Version, set.Version)
	}
	if err != nil {
		return nil, err
	}
	if r.Version, err = store.Next("version", r.Version); err != nil {
		return nil, err
	}
	err = s.SaveState(ctx, id, &durable.Snapshot{Epoch: r.Epoch, Version: r.Version, Schema: old.Schema, Codec: old.Codec, Data: data})
	if err != nil {
		return nil, err
	}
	return r, confirm(ctx, s, id, r.Version, data)
}

// otherPlaces returns where else the owner of a component may save it.
func otherPlaces(ctx context.Context, s *survey.Store, id string, old *durable.Snapshot) ([]string, error) {
	switch {
	case survey.Internal(id):
		return nil, nil
	case !survey.IsSet(id):
		return []string{survey.SetOf(id)}, nil
	}
	set := s.Set(ctx, id)
	members, err := survey.Members(old.Data)
	if err != nil {
		return nil, fmt.Errorf("version %d of the set cannot be read: %w", old.Version, err)
	}
	var ids []string
	for _, m := range append(members, set.Members...) {
		ids = append(ids, set.Full(&m))
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

// takeOver claims a component and the other places where its owner may save it, and
// returns the epoch. The owner is refused from then on.
func takeOver(ctx context.Context, s *survey.Store, id string, others []string) (uint64, error) {
	epoch, err := above(ctx, s, id, others)
	if err != nil {
		return 0, err
	}
	for _, place := range append(others, id) {
		if err := s.ClaimState(ctx, place, epoch); err != nil {
			return 0, err
		}
	}
	return epoch, nil
}

// above returns an epoch above that of the owner and of every place.
func above(ctx context.Context, s *survey.Store, id string, others []string) (uint64, error) {
	var epoch uint64
	for _, place := range append([]string{id}, others...) {
		f, err := s.Fence(ctx, place)
		if err != nil {
			return 0, err
		}
		epoch = max(epoch, f.Epoch)
	}
	if w := s.Ownership(ctx, survey.LeaseOf(id)); w.Err != nil {
		return 0, w.Err
	} else if w.Lease != nil {
		epoch = max(epoch, w.Lease.Epoch)
	}
	return store.Next("epoch", epoch)
}

// Elsewhere returns ErrElsewhere when a restart takes the component, or components
// of the set, from another place.
func Elsewhere(ctx context.Context, s *survey.Store, id string) error {
	if survey.Internal(id) {
		return nil
	}
	set := s.Set(ctx, id)
	if !survey.IsSet(id) {
		own, _ := s.Newest(ctx, id)
		if c := set.Restored(own); c.In != "" && !without(c.Verdict) {
			return fmt.Errorf("%w: %q is saved as a part of %q, all of whose components go back together: roll that back", ErrElsewhere, id, set.ID)
		}
		return nil
	}
	var newer []string
	for i := range set.Members {
		own, _ := s.Newest(ctx, set.Full(&set.Members[i]))
		if set.Restored(own).In == "" {
			newer = append(newer, fmt.Sprintf("%q", own.ID))
		}
	}
	if len(newer) > 0 {
		return fmt.Errorf("%w: the components have newer states of their own: roll these back, one by one: %s", ErrElsewhere, strings.Join(newer, ", "))
	}
	return nil
}

// without reports that what had the newest state has none any more.
func without(v survey.Verdict) bool {
	return v == survey.Missing || v == survey.Removed || v == survey.Expired || v == survey.Lost || v == survey.Corrupt
}

// confirm reads the new version of a component or set back.
func confirm(ctx context.Context, s *survey.Store, id string, version uint64, data []byte) error {
	got, err := s.LoadSnapshot(ctx, id, version)
	switch {
	case err != nil:
		return err
	case !bytes.Equal(got.Data, data):
		return fmt.Errorf("version %d is not what was saved", version)
	case survey.IsSet(id) || survey.Internal(id):
		return nil
	}
	own, _ := s.Newest(ctx, id)
	if c := s.Set(ctx, id).Restored(own); c.In != "" {
		return fmt.Errorf("%w: version %d was saved, and %s", ErrElsewhere, version, c.Detail)
	}
	return nil
}
