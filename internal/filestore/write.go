package filestore

import (
	"context"
	"errors"
	"io/fs"
	"math"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
)

// errAgain answers a request whose premise changed: ask for it again.
var errAgain = errors.New("filestore: look again")

// Save implements store.Store.
func (s *Store) Save(ctx context.Context, id string, snap *store.Snapshot) error {
	r := s.newRequest(envelope.Snapshot, id)
	r.snap, r.keep = *snap, uint32(min(store.Kept(ctx, s.opts.Keep), math.MaxUint32))
	for {
		if snap.Data != nil {
			if err := r.encodeHeader(); err != nil {
				return err
			}
			left, err := s.submit(ctx, r)
			if left {
				return err // r is still the committer's
			}
			if !errors.Is(err, errAgain) {
				s.recycle(r)
				return err
			}
		}
		done, gone, err := s.repeat(ctx, id, snap)
		if done || err != nil {
			return err
		}
		r.again = r.again || gone
		r.reset()
	}
}

// repeat answers a save that is the last accepted one again, without writing.
// It is gone when the stored copy has vanished or did not verify, and is to be
// written again.
func (s *Store) repeat(ctx context.Context, id string, snap *store.Snapshot) (done, gone bool, err error) {
	v, err := s.current(ctx, id)
	if err == nil && v.tooNew != nil {
		err = store.Answer(v.fence, v.tooNew, "")
	}
	if err != nil {
		return false, false, err
	}
	same, err := store.Judge(v.fence, lastAs(v.last, snap), snap)
	if !same || err != nil {
		return false, false, err
	}
	here, err := s.stored(&v, snap.Version)
	if err == nil && !here { // or it was moved just now
		if err = s.lookAgain(ctx); err == nil {
			v = s.known(id)
			here, err = s.stored(&v, snap.Version)
		}
	}
	switch {
	case err != nil:
		return false, false, err
	case here:
		return true, false, s.ensureSynced(v.newest())
	case snap.Data == nil:
		return false, true, store.Answer(v.fence, store.ErrLost, "version %d vanished from the directory", snap.Version)
	}
	return false, true, nil
}

// newest returns the last commit that holds what v tells of.
func (v *view) newest() uint64 {
	seq := v.latest
	if n := len(v.gens); n > 0 {
		seq = max(seq, v.gens[n-1].file.seq)
	}
	return seq
}

// stored reports whether the newest generation is version and in its place.
func (s *Store) stored(v *view, version uint64) (bool, error) {
	if len(v.gens) == 0 {
		return false, nil
	}
	g := v.gens[len(v.gens)-1]
	if g.verdict() == bad || g.version != version {
		return false, nil
	}
	p := g.place()
	size, err := s.dir.Size(commitName(p.file.seq))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && size >= p.off+p.size, s.told(err)
}

// Claim implements store.Store.
func (s *Store) Claim(ctx context.Context, id string, epoch uint64) error {
	for {
		v, err := s.current(ctx, id)
		switch {
		case err != nil:
			return err
		case v.tooNew != nil:
			return store.Answer(v.fence, v.tooNew, "")
		case epoch < v.fence.Epoch:
			return fenced(v.fence, epoch)
		case epoch == v.fence.Epoch:
			return s.ensureSynced(v.newest())
		}
		r := s.newRequest(envelope.Claim, id)
		r.snap.Epoch = epoch
		if _, err := s.submit(ctx, r); !errors.Is(err, errAgain) {
			return err
		}
	}
}

func fenced(f store.Fence, epoch uint64) error {
	return store.Answer(f, store.ErrFenced, "epoch %d is below %d", epoch, f.Epoch)
}

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, id string) error {
	for {
		f, err := s.Fence(ctx, id)
		if err != nil {
			return err
		}
		epoch, err := f.NextEpoch()
		if err != nil {
			return err
		}
		r := s.newRequest(envelope.Deletion, id)
		r.expect, r.snap.Epoch = f, epoch
		if _, err := s.submit(ctx, r); !errors.Is(err, errAgain) {
			return err
		}
	}
}

// submit hands r to the committer and waits for its outcome. When ctx ends
// first the outcome is unknown and r remains with the committer.
func (s *Store) submit(ctx context.Context, r *request) (left bool, err error) {
	s.mu.Lock()
	if err := s.refusal(); err != nil {
		s.mu.Unlock()
		return false, err
	}
	if r.kind != envelope.Lease {
		r.entry.comp = s.x.comps.get(r.id)
	}
	if c := r.entry.comp; c != nil && r.kind == envelope.Snapshot && !r.again && c.last == attemptMark(r.snap.Epoch, r.snap.Version, r.snap.WriteID) {
		s.mu.Unlock()
		return false, errAgain
	}
	s.committer.add(r)
	s.mu.Unlock()
	select {
	case err := <-r.done:
		return false, err
	case <-ctx.Done():
		return s.committer.leave(ctx, r)
	}
}

// refusal returns why no write is taken. mu is held.
func (s *Store) refusal() error {
	if s.closed {
		return store.ErrClosed
	}
	return s.poison
}
