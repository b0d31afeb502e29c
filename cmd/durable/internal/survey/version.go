package survey

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/durablestate/durable"
)

// Version loads a version of a component, one stored by itself or one in a version
// of the set of its system, and says which set that was.
func (s *Store) Version(ctx context.Context, id string, version uint64) (snap *durable.Snapshot, in string, err error) {
	snap, err = s.LoadSnapshot(ctx, id, version)
	if !errors.Is(err, durable.ErrNotFound) || IsSet(id) || Internal(id) {
		return snap, "", err
	}
	set := SetOf(id)
	whole, inSet := s.LoadSnapshot(ctx, set, version)
	if inSet == nil {
		snap, inSet = MemberIn(whole, id)
	}
	if errors.Is(inSet, durable.ErrNotFound) {
		return nil, "", err
	}
	return snap, set, inSet
}

// MemberIn returns the state of a component in a set. Its version and age are
// those of the cut, as in the report of a restart.
func MemberIn(whole *durable.Snapshot, id string) (*durable.Snapshot, error) {
	members, err := Members(whole.Data)
	for _, m := range members {
		if m.ID != MemberOf(id) {
			continue
		}
		if m.Err != nil {
			return nil, m.Err
		}
		if m.Deleted {
			break
		}
		s := *whole
		s.Schema, s.Codec, s.Data, s.WriteID = m.Schema, m.Codec, m.Data, m.WriteID
		return &s, nil
	}
	return nil, cmp.Or(err, fmt.Errorf("%w: version %d of the set does not have it", durable.ErrNotFound, whole.Version))
}
