package filestore

import (
	"context"
	"errors"
	"io/fs"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
	"github.com/durablestate/durable/internal/vfs"
)

// Stored implements store.Store. A damaged file, of which nobody knows what it
// holds, is shown whole for every component that it may be about, unless it is
// above the limit: such a file stays where it is.
func (s *Store) Stored(ctx context.Context, id string) ([]store.Stored, error) {
	v, err := s.current(ctx, id)
	if err == nil {
		err = v.tooNew
	}
	if err != nil {
		return nil, s.told(err)
	}
	all, err := s.damagedSince(v.latest, v.fence.Version)
	for i := len(v.gens) - 1; i >= 0 && err == nil; i-- {
		g := &v.gens[i]
		var snap *store.Snapshot
		if snap, err = s.read(ctx, v.comp, g); err == nil {
			snap.LastVersion = max(v.fence.Version, snap.Version)
			return append(all, store.Stored{Version: g.version, Snapshot: snap}), nil
		}
		if !errors.Is(err, store.ErrCorrupt) && !errors.Is(err, store.ErrTooNew) && !errors.Is(err, fs.ErrNotExist) {
			break
		}
		var raw []byte
		if raw, err = s.raw(g.place()); raw != nil {
			all = append(all, store.Stored{Version: g.version, Raw: raw})
		}
	}
	return all, s.told(err)
}

// damagedSince returns the damaged files after the commit latest.
func (s *Store) damagedSince(latest, version uint64) (all []store.Stored, err error) {
	s.mu.Lock()
	var files []*file
	for i := len(s.x.damage) - 1; i >= 0 && s.x.damage[i].seq > latest; i-- {
		files = append(files, s.x.files[s.x.damage[i].seq])
	}
	s.mu.Unlock()
	for _, f := range files {
		if f == nil || s.opts.MaxBytes > 0 && f.size > s.opts.MaxBytes {
			continue
		}
		raw, err := s.raw(placeAt(f, 0, 0))
		if err != nil {
			return nil, err
		}
		if raw != nil {
			all = append(all, store.Stored{Version: version, Raw: raw, Shared: commitName(f.seq)})
		}
	}
	return all, nil
}

// raw returns the bytes at p, or as many as there are; nil when there is no file.
func (s *Store) raw(p place) ([]byte, error) {
	f, err := s.dir.Open(commitName(p.file.seq))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, vfs.ErrNotRegular) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	n := max(0, min(p.size, size-p.off))
	if s.opts.MaxBytes > 0 && n > s.opts.MaxBytes+envelope.MaxHeaderLen {
		return nil, store.ErrTooLarge
	}
	return readAt(f, p.off, n)
}
