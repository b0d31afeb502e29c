package filestore

import (
	"sync/atomic"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
)

// A request waits for the committer.
type request struct {
	kind   envelope.Kind
	id     string
	snap   store.Snapshot // of a save; its Data is the caller's until encoded. Epoch of a claim, and after a deletion
	lease  []byte         // payload of a lease record
	keep   uint32         // of a save: generations that it leaves; 0: all
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
	r.snap, r.lease, r.keep, r.again, r.expect, r.prev, r.outcome = store.Snapshot{}, nil, 0, false, store.Fence{}, 0, nil
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
	cleaned  bool          // room was made for it on a full disk
}

func (b *batch) release() {
	if !b.released {
		b.released = true
		close(b.encoded)
	}
}
