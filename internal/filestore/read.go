package filestore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
	"github.com/durablestate/durable/internal/vfs"
)

// Fence implements store.Store.
func (s *Store) Fence(ctx context.Context, id string) (store.Fence, error) {
	v, err := s.current(ctx, id)
	if err == nil {
		err = v.tooNew
	}
	return v.fence, err
}

// current returns what is known of id after a look for new commits.
func (s *Store) current(ctx context.Context, id string) (view, error) {
	if err := s.refresh(ctx); err != nil {
		return view{}, err
	}
	return s.known(id), nil
}

// known returns what is known of id. The caller owns the result.
func (s *Store) known(id string) view {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.x.view(s.x.comps.get(id))
	v.gens = slices.Clone(v.gens)
	return v
}

// Load implements store.Store.
func (s *Store) Load(ctx context.Context, id string) (*store.Snapshot, error) {
	for try := 1; ; try++ {
		v, err := s.current(ctx, id)
		if err != nil {
			return nil, err
		}
		snap, err := s.loadNewest(ctx, &v)
		if !errors.Is(err, fs.ErrNotExist) {
			return snap, s.told(err)
		}
		// Superseded and deleted while we looked, or gone for good.
		if err := s.lookAgain(ctx); err != nil {
			return nil, err
		}
		if try == 3 {
			return nil, store.Answer(v.fence, store.ErrLost, "%s is gone", commitName(v.gens[len(v.gens)-1].file.seq))
		}
	}
}

// lookAgain reads the whole directory, also for a writer.
func (s *Store) lookAgain(ctx context.Context) error {
	if err := s.acquireIO(ctx); err != nil {
		return err
	}
	defer func() { <-s.io }()
	return s.told(s.rescan(ctx))
}

// loadNewest returns the newest generation that verifies. The error is
// fs.ErrNotExist when the newest one is not where it should be.
func (s *Store) loadNewest(ctx context.Context, v *view) (*store.Snapshot, error) {
	if err := s.absent(v); err != nil {
		return nil, err
	}
	var damaged error
	for i := len(v.gens) - 1; i >= 0; i-- {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		snap, err := s.read(ctx, v.comp, &v.gens[i])
		switch {
		case err == nil:
			snap.LastVersion = max(v.fence.Version, snap.Version)
			return snap, nil
		case errors.Is(err, fs.ErrNotExist) && damaged != nil:
			continue // what should have replaced it is damaged
		case store.OutcomeOf(err) == store.Unreachable && store.IsAnswer(err): // as too large
			return nil, store.Answer(v.fence, err, "")
		case !errors.Is(err, store.ErrCorrupt):
			return nil, err
		}
		damaged = cmp.Or(damaged, err)
	}
	return nil, store.Answer(v.fence, damaged, "")
}

// absent returns why there is no generation to read, nil if there is one.
func (s *Store) absent(v *view) error {
	there := slices.ContainsFunc(v.gens, func(g gen) bool { return g.version >= v.fence.Version })
	switch {
	case v.tooNew != nil:
		return store.Answer(v.fence, v.tooNew, "")
	case there || v.doubt != nil && len(v.gens) > 0:
		return nil
	case v.doubt != nil:
		return store.Answer(v.fence, v.doubt, "")
	case v.deleted || v.fence.Version == 0:
		return store.Answer(v.fence, store.ErrNotFound, "")
	}
	return store.Answer(v.fence, store.ErrLost, "version %d is not in the directory", v.fence.Version)
}

// read returns the generation g of c if it verifies.
func (s *Store) read(ctx context.Context, c *component, g *gen) (*store.Snapshot, error) {
	if g.verdict() == bad {
		return nil, fmt.Errorf("%w: %s is damaged or out of place", store.ErrCorrupt, commitName(g.file.seq))
	}
	b, err := s.readRecord(g.place())
	for try := 0; try < maxFollowed && errors.Is(err, fs.ErrNotExist); try++ {
		to, ok := s.movedTo(ctx, c, g)
		if !ok {
			break
		}
		g = &to
		b, err = s.readRecord(g.place())
	}
	var snap *store.Snapshot
	if err == nil {
		snap, err = decode(c.id, g, b)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil:
		c.judge(g, good)
	case errors.Is(err, store.ErrCorrupt):
		c.judge(g, bad)
		err = fmt.Errorf("%s: %w", commitName(g.file.seq), err)
	}
	return snap, err
}

// maxFollowed bounds how often a generation is followed that is being moved.
const maxFollowed = 3

// movedTo returns the same generation in the file that it was moved to.
func (s *Store) movedTo(ctx context.Context, c *component, g *gen) (gen, bool) {
	if to, ok := s.elsewhere(c, g); ok {
		return to, ok
	}
	if s.lookAgain(ctx) != nil {
		return gen{}, false
	}
	return s.elsewhere(c, g)
}

func (s *Store) elsewhere(c *component, g *gen) (gen, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range c.gens {
		if o.version == g.version && o.epoch == g.epoch && !o.same(g) {
			return o, true
		}
	}
	return gen{}, false
}

// decode reads b, which must be exactly the generation g of id.
func decode(id string, g *gen, b []byte) (*store.Snapshot, error) {
	snap, err := envelope.Decode(id, b)
	if err == nil && (snap.Version != g.version || snap.Epoch != g.epoch) {
		err = fmt.Errorf("%w: it is version %d of epoch %d", store.ErrCorrupt, snap.Version, snap.Epoch)
	}
	return snap, err
}

// readRecord returns the bytes of the record at p.
func (s *Store) readRecord(p place) ([]byte, error) {
	f, err := s.openCommit(p.file.seq)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return s.readFrom(f, p, nil)
}

func (s *Store) openCommit(seq uint64) (vfs.File, error) {
	f, err := s.dir.Open(commitName(seq))
	if errors.Is(err, vfs.ErrNotRegular) {
		err = fmt.Errorf("%w: %w", store.ErrCorrupt, err)
	}
	return f, err
}

// readFrom reads the record at p into buf or, if that is too small, into memory
// of its own. It checks the length before it allocates.
func (s *Store) readFrom(f vfs.File, p place, buf []byte) ([]byte, error) {
	size, err := f.Size()
	switch {
	case err != nil:
		return nil, err
	case p.off+p.size > size || p.off == 0 && p.size != size:
		return nil, fmt.Errorf("%w: the file has %d bytes", store.ErrCorrupt, size)
	case s.opts.MaxBytes > 0 && p.size > s.opts.MaxBytes+envelope.MaxOverhead:
		return nil, fmt.Errorf("%w: %d bytes are stored, the limit is %d; raise MaxStateBytes", store.ErrTooLarge, p.size, s.opts.MaxBytes)
	}
	return readInto(f, p.off, p.size, buf)
}

// List implements store.Store.
func (s *Store) List(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if err := s.refresh(ctx); err != nil {
			yield("", err)
			return
		}
		ids, damaged := s.listed(store.ListsDeleted(ctx))
		for _, id := range ids {
			if !yield(id, nil) {
				return
			}
		}
		if damaged != nil {
			yield("", fmt.Errorf("components may be missing from the list, because a file does not read; restore a backup of the directory beside it and compare: %w", damaged))
		}
	}
}

// listed returns the ids of components with state, those of deleted ones if that
// is wanted, and the damage that may hide others.
func (s *Store) listed(deleted bool) (ids []string, damaged error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.x.comps.slots {
		if c != nil && (deleted || !c.deleted) && c.fence.Version > 0 {
			ids = append(ids, c.id)
		}
	}
	for _, d := range s.x.damage {
		damaged = d.err
	}
	return ids, damaged
}

// History implements store.Store. It shows all there is, but for what this store
// knows to be superseded because it saved the component itself.
func (s *Store) History(ctx context.Context, id string) ([]store.SnapshotInfo, error) {
	for try := 1; ; try++ {
		infos, err := s.history(ctx, id)
		here := func(i store.SnapshotInfo) bool { return !errors.Is(i.Err, store.ErrLost) }
		if err != nil || slices.ContainsFunc(infos, here) {
			return infos, err
		}
		if _, err := s.Load(ctx, id); err != nil || try == 3 {
			return nil, err
		}
	}
}

func (s *Store) history(ctx context.Context, id string) ([]store.SnapshotInfo, error) {
	v, err := s.current(ctx, id)
	if err != nil {
		return nil, err
	}
	var infos []store.SnapshotInfo
	for g, r := range s.retained(ctx, &v) {
		switch {
		case r.err == nil:
			infos = append(infos, describe(r.snap))
		case errors.Is(r.err, fs.ErrNotExist):
			if g.version == v.fence.Version {
				infos = append(infos, undescribed(g, store.Answer(v.fence, store.ErrLost, "%s is gone", commitName(g.file.seq))))
			}
		case errors.Is(r.err, store.ErrCorrupt), errors.Is(r.err, store.ErrTooNew), errors.Is(r.err, store.ErrTooLarge):
			infos = append(infos, undescribed(g, r.err))
		default:
			return nil, s.told(r.err)
		}
	}
	return infos, nil
}

type reading struct {
	snap *store.Snapshot
	err  error
}

// retained reads the generations of v, newest first, until as many verified as
// are known to be kept.
func (s *Store) retained(ctx context.Context, v *view) iter.Seq2[*gen, reading] {
	return func(yield func(*gen, reading) bool) {
		for i, n := len(v.gens)-1, 0; i >= 0 && (v.keep == 0 || n < v.keep); i-- {
			g, r := &v.gens[i], reading{err: ctx.Err()}
			if r.err == nil {
				r.snap, r.err = s.read(ctx, v.comp, g)
			}
			if r.err == nil {
				n++
			}
			if !yield(g, r) {
				return
			}
		}
	}
}

func describe(snap *store.Snapshot) store.SnapshotInfo {
	return store.SnapshotInfo{
		Epoch: snap.Epoch, Version: snap.Version, SavedAt: snap.SavedAt,
		Schema: snap.Schema, Codec: snap.Codec, Bytes: len(snap.Data),
	}
}

func undescribed(g *gen, err error) store.SnapshotInfo {
	return store.SnapshotInfo{Epoch: g.epoch, Version: g.version, Bytes: int(g.place().size), Err: err}
}

// LoadVersion implements store.Store.
func (s *Store) LoadVersion(ctx context.Context, id string, version uint64) (*store.Snapshot, error) {
	v, err := s.current(ctx, id)
	if err != nil {
		return nil, err
	}
	for g, r := range s.retained(ctx, &v) {
		switch {
		case g.version != version:
			continue
		case errors.Is(r.err, fs.ErrNotExist):
			return nil, store.Answer(v.fence, store.ErrLost, "%s is gone", commitName(g.file.seq))
		case r.err != nil:
			return nil, store.Answer(v.fence, s.told(r.err), "")
		}
		r.snap.LastVersion = max(v.fence.Version, r.snap.Version)
		return r.snap, nil
	}
	return nil, store.Answer(v.fence, store.ErrNotFound, "version %d is not stored", version)
}
