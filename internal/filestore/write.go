package filestore

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"sync/atomic"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
)

// errAgain answers a request whose premise changed: ask for it again.
var errAgain = errors.New("filestore: look again")

// Save implements store.Store.
func (s *Store) Save(ctx context.Context, id string, snap *store.Snapshot) error {
	r := s.newRequest(envelope.Snapshot, id)
	r.snap = *snap
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
		if f.Epoch == math.MaxUint64 {
			return store.Answer(f, store.ErrConflict, "no epoch is left above %d", f.Epoch)
		}
		r := s.newRequest(envelope.Deletion, id)
		r.expect = f
		if _, err := s.submit(ctx, r); !errors.Is(err, errAgain) {
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
	left   atomic.Bool    // nobody waits for it any more

	batch *batch // once the committer took it

	// For the committer, while it judges and writes.
	write   bool
	early   bool  // its outcome depends on others in the batch
	outcome error // if it is not written
	entry   entry
	head    []byte // its envelope but for the state of a save
	encoded span   // where its record lies in the encoder's buffer, if all of it does
}

// newRequest returns a request, perhaps one that was used before: that of a save
// has a buffer and a channel.
func (s *Store) newRequest(kind envelope.Kind, id string) *request {
	r, ok := s.requests.Get().(*request)
	if !ok {
		r = &request{done: make(chan error, 1)}
	}
	r.kind, r.id = kind, id
	return r
}

// recycle takes r back. Nobody may know of it any more.
func (s *Store) recycle(r *request) {
	r.reset()
	r.snap, r.lease, r.again, r.expect, r.prev, r.outcome = store.Snapshot{}, nil, false, store.Fence{}, 0, nil
	s.requests.Put(r)
}

// reset makes r ready to be submitted again.
func (r *request) reset() {
	r.batch, r.entry, r.encoded = nil, entry{}, span{}
}

// encodeHeader encodes what stands before the state of a save, checksums
// included: the callers do that, side by side, not the committer.
func (r *request) encodeHeader() (err error) {
	r.head, err = envelope.AppendHeader(r.head[:0], &envelope.Record{ID: r.id, Kind: r.kind, Snapshot: r.snap})
	return err
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
	lead := s.enqueue(r, ctx.Done() == nil)
	idle := s.idle
	s.mu.Unlock()
	if lead {
		s.lead(idle)
	}
	if ctx.Done() == nil {
		return false, <-r.done
	}
	select {
	case err := <-r.done:
		return false, err
	case <-ctx.Done():
		return s.leave(ctx, r)
	}
}

// enqueue adds r to what waits and sees to it that there is a committer. If there
// is none and the caller is able to lead, it is him. mu is held.
func (s *Store) enqueue(r *request, able bool) (lead bool) {
	s.queue = append(s.queue, r)
	s.waiting++
	if lead = able && !s.running; lead {
		s.running, s.idle = true, make(chan struct{})
	}
	s.startCommitter()
	if s.waiting == s.awaited {
		s.awaited = 0
		close(s.arrived)
	}
	return lead
}

// startCommitter starts the committer if there is none. mu is held.
func (s *Store) startCommitter() {
	if !s.running {
		s.running, s.idle = true, make(chan struct{})
		go s.run(s.idle)
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
func (s *Store) leave(ctx context.Context, r *request) (left bool, err error) {
	s.mu.Lock()
	r.left.Store(true)
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
			if err != errLeft {
				return true, err
			}
		case <-b.encoded:
		}
	}
	return true, ctx.Err()
}

// failQueue answers everything that waits. mu is held.
func (s *Store) failQueue(err error) {
	for _, r := range s.queue {
		if r != nil {
			r.done <- err
		}
	}
	s.queue, s.waiting = nil, 0
	if s.move != nil {
		s.move.done <- err
		s.move = nil
	}
	if s.giveUp != nil {
		s.giveUp()
	}
}
