package redisstore

import (
	"context"
	"errors"

	"github.com/durablestate/durable/internal/store"
)

// History implements store.Store.
func (s *Store) History(ctx context.Context, id string) ([]store.SnapshotInfo, error) {
	ctx, cancel := bound(ctx, listTime, 0)
	defer cancel()
	k := s.keys(id)
	v, err := s.look(ctx, k)
	if err != nil {
		return nil, err
	}
	var infos []store.SnapshotInfo
	if v.exists {
		snap, err := s.current(id, v)
		if errors.Is(err, store.ErrCorrupt) {
			s.acked.distrust(id)
		}
		infos = append(infos, info(snap, v.rec.attempt.Epoch, v.rec.attempt.Version, v.size, err))
	}
	var bad []generation
	for _, g := range v.rec.generations {
		value, err := s.stored(ctx, k, g)
		if err != nil {
			return nil, err
		}
		if value == nil {
			continue
		}
		snap, err := verify(id, g, value)
		if errors.Is(err, store.ErrCorrupt) {
			bad = append(bad, g)
		}
		version, _ := number(g.version)
		infos = append(infos, info(snap, 0, version, len(value), err))
	}
	s.setAside(ctx, k, v.rec, bad)
	if len(infos) == 0 {
		return nil, absent(v)
	}
	return infos, nil
}

// info describes a snapshot, or stored bytes that are not one although they
// should be of this epoch and version.
func info(snap *store.Snapshot, epoch, version uint64, size int, err error) store.SnapshotInfo {
	if err != nil {
		return store.SnapshotInfo{Epoch: epoch, Version: version, Bytes: size, Err: err}
	}
	return store.SnapshotInfo{Epoch: snap.Epoch, Version: snap.Version, SavedAt: snap.SavedAt,
		Schema: snap.Schema, Codec: snap.Codec, Bytes: len(snap.Data)}
}

// LoadVersion implements store.Store.
func (s *Store) LoadVersion(ctx context.Context, id string, version uint64) (*store.Snapshot, error) {
	ctx, cancel := bound(ctx, loadTime, 0)
	defer cancel()
	k := s.keys(id)
	for range looks {
		v, err := s.look(ctx, k)
		if err != nil {
			return nil, err
		}
		snap, err := s.version(ctx, id, k, v, version)
		if err != errMoved {
			return snap, err
		}
	}
	return nil, errBusy
}

func (s *Store) version(ctx context.Context, id string, k keys, v *view, version uint64) (*store.Snapshot, error) {
	f := v.effective(id)
	if v.exists && (v.rec.saved() && v.rec.attempt.Version == version || !v.rec.saved() && f.Version == version) {
		snap, err := s.current(id, v)
		if err != nil {
			return nil, store.Answer(f, err, "")
		}
		snap.LastVersion = f.Version
		return snap, nil
	}
	for _, g := range v.rec.generations {
		if g.version != digits(version) {
			continue
		}
		value, err := s.stored(ctx, k, g)
		if err != nil {
			return nil, err
		}
		if value == nil {
			break
		}
		snap, err := verify(id, g, value)
		if err != nil {
			return nil, store.Answer(f, err, "")
		}
		snap.LastVersion = f.Version
		return snap, nil
	}
	again, err := s.look(ctx, k)
	if err != nil {
		return nil, err
	}
	if again.rec.list != v.rec.list || again.exists != v.exists {
		return nil, errMoved
	}
	return nil, store.Answer(f, store.ErrNotFound, "version %d is not stored", version)
}
