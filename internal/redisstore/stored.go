package redisstore

import (
	"context"
	"errors"
	"strconv"

	"github.com/durablestate/durable/internal/store"
)

// maxStoredAside is how many of the bytes that were moved out of the list of
// generations Stored shows.
const maxStoredAside = 3

// Stored implements store.Store. What was last moved out of the list of generations
// because it does not verify is shown too: it may be the newest state there is.
func (s *Store) Stored(ctx context.Context, id string) ([]store.Stored, error) {
	ctx, cancel := bound(ctx, loadTime, 0)
	defer cancel()
	k := s.keys(id)
	for range looks {
		v, err := s.look(ctx, k)
		if err != nil {
			return nil, err
		}
		all, err := s.storedIn(ctx, id, k, v)
		if err != nil {
			return nil, err
		}
		again, err := s.look(ctx, k)
		if err != nil {
			return nil, err
		}
		if again.rec.list == v.rec.list && again.rec.attempt == v.rec.attempt && again.rec.quarantined == v.rec.quarantined && again.exists == v.exists {
			return all, nil
		}
	}
	return nil, errBusy
}

// storedIn returns what belongs to the view v.
func (s *Store) storedIn(ctx context.Context, id string, k keys, v *view) (all []store.Stored, err error) {
	if !v.exists && errors.Is(absent(v), store.ErrExpired) {
		return nil, nil
	}
	if v.exists {
		snap, err := s.current(id, v)
		if err == nil {
			snap.LastVersion = v.effective(id).Version
			return []store.Stored{{Version: snap.Version, Snapshot: snap}}, nil
		}
		if v.size > len(v.value) {
			return nil, err // above the limit
		}
		all = append(all, store.Stored{Version: v.effective(id).Version, Raw: v.value})
	}
	for n := v.rec.quarantined; n > 0 && n > v.rec.quarantined-maxStoredAside; n-- {
		raw, err := s.readSide(ctx, k, k.side+"x:"+strconv.Itoa(n))
		if err != nil {
			return nil, err
		}
		if raw != nil {
			all = append(all, store.Stored{Version: v.effective(id).Version, Raw: raw})
		}
	}
	for _, g := range v.rec.generations {
		raw, err := s.stored(ctx, k, g)
		if err != nil {
			return nil, err
		}
		if raw == nil {
			continue
		}
		version, _ := number(g.version)
		snap, err := verify(id, g, raw)
		if err == nil {
			snap.LastVersion = v.rec.fence.Version
			return append(all, store.Stored{Version: version, Snapshot: snap}), nil
		}
		all = append(all, store.Stored{Version: version, Raw: raw})
	}
	return all, nil
}
