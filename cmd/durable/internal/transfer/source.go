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
	Verdict  survey.Verdict
	Load     func(ctx context.Context, version uint64) (*durable.Snapshot, error)
}

// Whole reports whether everything that should be stored of the component comes
// along. A deleted component has nothing.
func (it *Item) Whole() bool {
	return it.Skipped == 0 && (it.Verdict.Sound() || it.Verdict == survey.Missing)
}

// FromStore looks at a component of a store. The error means that it could not
// be read; a component without state is an item without versions.
func FromStore(ctx context.Context, s *survey.Store, id string) (*Item, error) {
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
	it := &Item{ID: id, Fence: f, Verdict: c.Verdict}
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
