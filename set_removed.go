package durable

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"time"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
)

// carry takes the envelopes of components over that are not registered. In the
// place of one that was removed it puts a deletion, so that an older snapshot of
// its own does not come back when it is registered again.
func (s *set) carry(ctx context.Context, stored *storedSet, epoch uint64) error {
	s.carried = nil
	for _, e := range stored.entries {
		registered := slices.ContainsFunc(s.parts, func(p *part) bool { return p.m.id == e.id })
		if registered {
			continue
		}
		e.raw, e.snap = bytes.Clone(e.raw), nil
		if s.c.opts.Components[e.id].Removed && e.deleted == nil {
			var err error
			if e, err = s.bury(ctx, e.id, stored.snap, epoch); err != nil {
				return s.m.fail("restore", fmt.Errorf("component %q is to be removed: %w", e.id, err))
			}
		}
		s.carried = append(s.carried, e)
	}
	slices.SortFunc(s.carried, byID)
	if ids := s.unregistered(); len(ids) > 0 {
		s.c.log.Warn("durable: the set has components that are not registered; their state is kept as it is", "components", ids)
	}
	return nil
}

// bury returns the deletion of a component, above all that was ever accepted of
// it in the set or by itself.
func (s *set) bury(ctx context.Context, id string, in *Snapshot, epoch uint64) (sealed, error) {
	ctx, cancel := context.WithTimeout(ctx, s.c.opts.SaveTimeout)
	defer cancel()
	own, err := s.c.adapter.LoadState(ctx, s.c.namespace()+id)
	if err != nil && !definite(err) {
		return sealed{id: id}, err
	}
	_, version := fenceOf(own, err)
	d := &store.Fence{Epoch: epoch, Version: max(version, in.Version, in.LastVersion)}
	raw, err := envelope.Append(nil, &envelope.Record{ID: id, Kind: envelope.Deletion, Snapshot: store.Snapshot{
		Epoch: d.Epoch, Version: d.Version, WriteID: rand.Text(), SavedAt: time.Now(),
	}})
	return sealed{id: id, raw: raw, deleted: d}, err
}

// unregistered names the components whose state the set keeps for others.
func (s *set) unregistered() (ids []string) {
	for _, e := range s.carried {
		if e.deleted == nil {
			ids = append(ids, e.id)
		}
	}
	return ids
}
