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
	for again := false; ; {
		done, gone, err := s.repeat(ctx, id, snap)
		if done || err != nil {
			return err
		}
		again = again || gone
		r := newRequest(envelope.Snapshot, id)
		r.snap, r.again = *snap, again
		if err := s.submit(ctx, r); !errors.Is(err, errAgain) {
			return err
		}
	}
}

// repeat answers a save that is the last accepted one again, without writing.
// It is gone when the stored copy has vanished or did not verify, and is to be
// written again.
func (s *Store) repeat(ctx context.Context, id string, snap *store.Snapshot) (done, gone bool, err error) {
	if snap.Data != nil && snap.Attempt() != s.lastAttempt(id) {
		return false, false, nil // the committer judges it
	}
	v, err := s.current(ctx, id)
	if err == nil && v.tooNew != nil {
		err = store.Answer(v.fence, v.tooNew, "")
	}
	if err != nil {
		return false, false, err
	}
	same, err := store.Judge(v.fence, v.last, snap)
	if !same || err != nil {
		return false, false, err
	}
	here, err := s.stored(&v)
	switch {
	case err != nil:
		return false, false, err
	case here:
		return true, false, s.ensureSynced(v.latest)
	case snap.Data == nil:
		return false, true, store.Answer(v.fence, store.ErrLost, "version %d vanished from the directory", snap.Version)
	}
	return false, true, nil
}

func (s *Store) lastAttempt(id string) store.Attempt {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.x.view(id).last
}

// stored reports whether the newest generation is in its place.
func (s *Store) stored(v *view) (bool, error) {
	if len(v.gens) == 0 {
		return false, nil
	}
	g := v.gens[len(v.gens)-1]
	if g.verdict == bad || g.version != v.last.Version {
		return false, nil
	}
	size, err := s.dir.Size(commitName(g.seq))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && size >= g.off+g.size, s.told(err)
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
			return s.ensureSynced(v.latest)
		}
		r := newRequest(envelope.Claim, id)
		r.snap.Epoch = epoch
		if err := s.submit(ctx, r); !errors.Is(err, errAgain) {
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
		if f.Epoch == math.MaxUint64 {
			return store.Answer(f, store.ErrConflict, "no epoch is left above %d", f.Epoch)
		}
		r := newRequest(envelope.Deletion, id)
		r.expect = f
		if err := s.submit(ctx, r); !errors.Is(err, errAgain) {
			return err
		}
	}
}

// A request waits for the committer.
type request struct {
	kind   envelope.Kind
	id     string
	snap   store.Snapshot // of a save; its Data is the caller's until encoded. Epoch of a claim
	lease  []byte         // payload of a lease record
	again  bool           // of a save: write it although it was accepted before
	expect store.Fence    // of a deletion: the fence it applies to
	prev   uint64         // of a lease: commit of the record that it replaces, 0 for none
	done   chan error     // buffered

	batch *batch // once the committer took it

	// For the committer, while it judges and writes.
	write   bool
	early   bool  // its outcome depends on others in the batch
	outcome error // if it is not written
	entry   entry
	encoded span // of a save: where its record lies in the encoder's buffer
}

func newRequest(kind envelope.Kind, id string) *request {
	return &request{kind: kind, id: id, done: make(chan error, 1)}
}

// A batch is what the committer took from the queue together.
type batch struct {
	reqs     []*request
	encoded  chan struct{} // closed when the callers' data is no longer needed
	released bool          // it is closed
}

func (b *batch) release() {
	if !b.released {
		b.released = true
		close(b.encoded)
	}
}

// submit hands r to the committer and waits for its outcome. When ctx ends
// first the outcome is unknown.
func (s *Store) submit(ctx context.Context, r *request) error {
	s.mu.Lock()
	if err := s.refusal(); err != nil {
		s.mu.Unlock()
		return err
	}
	s.queue = append(s.queue, r)
	s.waiting++
	if !s.running {
		s.running, s.idle = true, make(chan struct{})
		go s.run(s.idle)
	}
	s.mu.Unlock()
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		return s.leave(ctx, r)
	}
}

// refusal returns why no write is taken. mu is held.
func (s *Store) refusal() error {
	if s.closed {
		return store.ErrClosed
	}
	return s.poison
}

// leave ends the wait for r. A request that still waits is withdrawn. One that
// is being committed goes on, but no longer needs the caller's data.
func (s *Store) leave(ctx context.Context, r *request) error {
	s.mu.Lock()
	b := r.batch
	if b == nil {
		for i := range s.queue {
			if s.queue[i] == r {
				s.queue[i] = nil
				s.waiting--
			}
		}
		if s.waiting == 0 && s.giveUp != nil {
			s.giveUp()
		}
	}
	s.mu.Unlock()
	if b != nil {
		select {
		case err := <-r.done:
			return err
		case <-b.encoded:
		}
	}
	return ctx.Err()
}

// failQueue answers everything that waits. mu is held.
func (s *Store) failQueue(err error) {
	for _, r := range s.queue {
		if r != nil {
			r.done <- err
		}
	}
	s.queue, s.waiting = nil, 0
	if s.giveUp != nil {
		s.giveUp()
	}
}
