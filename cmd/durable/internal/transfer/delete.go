package transfer

import (
	"context"
	"fmt"
	"slices"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/cmd/durable/internal/survey"
	"github.com/durablestate/durable/internal/store"
)

// A Deletion is what became of a deletion.
type Deletion struct {
	ID    string       `json:"id"`
	Fence survey.Fence `json:"fence"`                 // of what was stored by itself
	In    string       `json:"in,omitempty"`          // the set that the component was removed from
	As    uint64       `json:"set_version,omitempty"` // the version of that set without it
}

// Delete deletes all generations of a component and removes it from the set of its
// system. It is a take-over of both places.
//
// First the set is saved without the component, and with a deletion that is newer
// than what is stored of it by itself; then that is deleted. Where this ends in
// between nothing comes back, and the same call completes it.
func Delete(ctx context.Context, s *survey.Store, id string) (*Deletion, error) {
	d := &Deletion{ID: id}
	if err := insist(func() error { return d.takeFromSet(ctx, s) }); err != nil {
		return nil, err
	}
	if own, _ := s.Newest(ctx, id); own.Verdict == survey.Missing {
		return d, d.look(ctx, s)
	}
	return d, d.deleteOwn(ctx, s)
}

// DeleteOwn deletes all generations that are stored of a component by itself. A set
// keeps it.
func DeleteOwn(ctx context.Context, s *survey.Store, id string) (*Deletion, error) {
	d := &Deletion{ID: id}
	return d, d.deleteOwn(ctx, s)
}

func (d *Deletion) deleteOwn(ctx context.Context, s *survey.Store) error {
	if err := s.DeleteState(ctx, d.ID); err != nil {
		return err
	}
	return d.look(ctx, s)
}

func (d *Deletion) look(ctx context.Context, s *survey.Store) (err error) {
	d.Fence, err = s.Fence(ctx, d.ID)
	return err
}

// takeFromSet takes a component over, where its system may have a set, and saves
// the set without it.
func (d *Deletion) takeFromSet(ctx context.Context, s *survey.Store) error {
	if survey.IsSet(d.ID) || survey.Internal(d.ID) {
		return nil
	}
	set := survey.SetOf(d.ID)
	if f, err := s.Fence(ctx, set); err != nil || f == (survey.Fence{}) {
		return err
	}
	epoch, err := takeOver(ctx, s, d.ID, []string{set})
	if err != nil {
		return err
	}
	removal, err := PlanRemoval(ctx, s, d.ID) // nobody below can save any more
	if err != nil || removal == nil {
		return err
	}
	d.In, d.As = set, removal.Version
	return removal.save(ctx, s, epoch)
}

// A Removal is how a component is removed from the set of its system.
type Removal struct {
	ID      string
	Set     string
	Version uint64       // that the set will have
	own     survey.Fence // of the component by itself
}

// PlanRemoval returns how a component is to be removed from the set of its system,
// nil when nothing in the set would come back after its own state was deleted.
func PlanRemoval(ctx context.Context, s *survey.Store, id string) (*Removal, error) {
	if survey.IsSet(id) || survey.Internal(id) {
		return nil, nil
	}
	set := s.Set(ctx, id)
	own, err := s.Fence(ctx, id)
	if err != nil {
		return nil, err
	}
	switch {
	case !set.Outlives(id, own), without(set.Newest.Verdict):
		return nil, nil
	case !set.Stored():
		return nil, fmt.Errorf("whether %q has the component cannot be read: %w", set.ID, set.Newest.Err())
	case set.Damaged != nil:
		return nil, fmt.Errorf("%q cannot be saved without the component, because not all of it can be read; roll it back first: %w", set.ID, set.Damaged)
	}
	f, err := s.Fence(ctx, set.ID)
	if err != nil {
		return nil, err
	}
	version, err := store.Next("version", f.Version)
	if err != nil {
		return nil, err
	}
	r := &Removal{id, set.ID, version, own}
	return r, r.overtakes(ctx, s)
}

// overtakes returns ErrElsewhere when the new version of the set would not be below
// the newer state that another component has by itself. Should the set be damaged
// one day, the versions alone tell which is newer.
func (r *Removal) overtakes(ctx context.Context, s *survey.Store) error {
	ids, err := s.IDs(store.WithDeleted(ctx))
	if err != nil {
		return err
	}
	ids = slices.DeleteFunc(ids, func(id string) bool {
		return id == r.ID || id == r.Set || survey.Internal(id) || survey.SetOf(id) != r.Set
	})
	return survey.Each(ctx, ids, func(ctx context.Context, i int) (int64, error) {
		f, err := s.Fence(ctx, ids[i])
		if err == nil && f.Version == r.Version {
			err = fmt.Errorf("%w: %q has version %d by itself, newer than %q, which would get that version as well: start the program once, or roll %q back to that version with --force",
				ErrElsewhere, ids[i], f.Version, r.Set, ids[i])
		}
		return 0, err
	})
}

// save saves the set without the component. The other components stay byte for
// byte and are as old as before.
func (r *Removal) save(ctx context.Context, s *survey.Store, epoch uint64) error {
	whole, err := s.LoadState(ctx, r.Set)
	if err != nil {
		return err
	}
	gone := survey.Fence{Epoch: epoch, Version: max(r.Version, r.own.Version)}
	data, err := survey.Without(whole.Data, survey.MemberOf(r.ID), gone)
	if err != nil {
		return err
	}
	err = s.SaveState(ctx, r.Set, &durable.Snapshot{Epoch: epoch, Version: r.Version, Schema: whole.Schema, Codec: whole.Codec, SavedAt: whole.SavedAt, Data: data})
	if err != nil {
		return err
	}
	return confirm(ctx, s, r.Set, r.Version, data)
}
