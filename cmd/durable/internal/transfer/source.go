// Package transfer moves components between stores, and between a store and an
// archive, with their history and their fence.
package transfer

import (
	"context"
	"errors"
	"slices"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/cmd/durable/internal/survey"
)

// An Item is one component on its way. Load may be called more than once.
type Item struct {
	ID       string
	Fence    survey.Fence
	Versions []uint64 // that verify, oldest first
	Skipped  int      // generations that do not verify
	Bytes    int64    // of all generations
	Largest  int64    // of them, where that is known
	Verdict  survey.Verdict
	Load     func(ctx context.Context, version uint64) (*durable.Snapshot, error)
}

// Whole reports whether everything that should be stored of the component comes
// along. A deleted component has nothing.
func (it *Item) Whole() bool {
	return it.Skipped == 0 && (it.Verdict.Sound() || it.Verdict == survey.Missing)
}

const holdUpTo = 1 << 20 // bytes of state of one component

// FromStore looks at a component of a store. Its generations are kept in memory
// unless they are large, so that it does not matter what its owner prunes
// meanwhile. The error means that it could not be read; a component without state
// is an item without versions.
func FromStore(ctx context.Context, s *survey.Store, id string) (*Item, error) {
	it, err := look(ctx, s, id)
	if err != nil || it.Bytes > holdUpTo || len(it.Versions) == 0 {
		return it, err
	}
	if err = it.hold(ctx, s); Gone(err) { // deleted just now
		return look(ctx, s, id)
	}
	return it, err
}

// Gone reports that a generation was superseded since it was listed.
func Gone(err error) bool {
	v := survey.VerdictOf(err)
	return v == survey.Missing || v == survey.Lost
}

// hold loads every generation, and the newest one by now. Older ones may be gone.
func (it *Item) hold(ctx context.Context, s *survey.Store) error {
	newest, err := s.LoadState(ctx, it.ID)
	if err != nil {
		return err
	}
	held := map[uint64]*durable.Snapshot{newest.Version: newest}
	var versions []uint64
	for _, v := range it.Versions {
		if v == newest.Version {
			continue
		}
		old, err := it.Load(ctx, v)
		if err != nil && pruned(ctx, s, it.ID, v) {
			continue
		} else if err != nil {
			return err
		}
		held[v], versions = old, append(versions, v)
	}
	it.Versions = append(versions, newest.Version)
	it.Fence.Epoch, it.Fence.Version = max(it.Fence.Epoch, newest.Epoch), max(it.Fence.Version, newest.Version)
	it.Load = func(_ context.Context, version uint64) (*durable.Snapshot, error) {
		snap, ok := held[version]
		if !ok {
			return nil, durable.ErrNotFound
		}
		c := *snap
		return &c, nil
	}
	return nil
}

// pruned reports that the store does not list the version any more.
func pruned(ctx context.Context, s *survey.Store, id string, version uint64) bool {
	infos, err := s.ListSnapshots(ctx, id)
	return err == nil && !slices.ContainsFunc(infos, func(i durable.SnapshotInfo) bool { return i.Version == version })
}

// look lists the generations of a component.
func look(ctx context.Context, s *survey.Store, id string) (*Item, error) {
	c, infos := s.Verify(ctx, id)
	if c.Verdict == survey.Unreadable {
		_, err := s.ListSnapshots(ctx, id)
		if err == nil {
			err = errors.New(c.Detail)
		}
		return nil, err
	}
	f, err := s.Fence(ctx, id)
	if err != nil {
		return nil, err
	}
	it := &Item{ID: id, Fence: f, Verdict: c.Verdict, Bytes: c.AllBytes}
	it.Load = func(ctx context.Context, version uint64) (*durable.Snapshot, error) {
		return s.LoadSnapshot(ctx, id, version)
	}
	for _, g := range infos {
		if g.Err == nil {
			it.Versions = append(it.Versions, g.Version)
		} else {
			it.Skipped++
		}
	}
	slices.Reverse(it.Versions)
	if len(it.Versions) > 1 && it.Versions[0] == 0 { // a plain value from before the first version has no number to go by
		it.Versions, it.Skipped = it.Versions[1:], it.Skipped+1
	}
	return it, nil
}
