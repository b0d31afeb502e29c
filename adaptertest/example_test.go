package adaptertest_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/durablestate/durable"
)

// A Shelf is what the author of an adapter writes: the four methods of
// durable.StateAdapter on a store of his own, here a map of envelopes. In a real
// store the lock is a transaction or a script: one that is in the adapter holds off
// no other process.
type Shelf struct {
	mu     sync.Mutex
	closed bool
	rows   map[string]*row
}

// A row is what the shelf keeps of one component. It is never removed: the fence
// outlives the state.
type row struct {
	epoch, version uint64            // the fence
	last           *durable.Snapshot // the last accepted save, without its data; nil: none, or deleted
	expired        bool
	envelopes      [][]byte // newest first
}

const generations = 3

func NewShelf() *Shelf { return &Shelf{rows: map[string]*row{}} }

func (sh *Shelf) SaveState(ctx context.Context, id string, s *durable.Snapshot) error {
	return sh.with(ctx, "save", id, func(r *row) error { return r.save(id, s) })
}

// save judges s by the fence and puts it in.
func (r *row) save(id string, s *durable.Snapshot) error {
	n, err := r.fillIn(s)
	if err != nil {
		return err
	}
	repeat := false
	switch {
	case n.Epoch < r.epoch:
		return durable.ErrFenced
	case n.Version > r.version:
	case r.last != nil && n.Epoch == r.last.Epoch && n.Version == r.last.Version && n.WriteID == r.last.WriteID:
		repeat = true
	default:
		return durable.ErrConflict
	}
	if repeat && r.stored() {
		return nil // a store with a TTL refreshes it here
	}
	if n.Data == nil {
		return durable.ErrLost
	}
	return r.put(id, n)
}

// fillIn returns a copy of s with everything set that s leaves open.
func (r *row) fillIn(s *durable.Snapshot) (*durable.Snapshot, error) {
	n := *s
	if n.Data == nil && (n.Version == 0 || n.WriteID == "") {
		return nil, errors.New("nil Data needs Version and WriteID")
	}
	if n.Epoch == 0 {
		n.Epoch = r.epoch
	}
	if n.Version == 0 {
		n.Version = r.version + 1 // wraps to 0, which is below every fence
	}
	if n.WriteID == "" {
		n.WriteID = rand.Text()
	}
	if n.SavedAt.IsZero() {
		n.SavedAt = time.Now()
	}
	return &n, nil
}

func (r *row) stored() bool { return !r.expired && len(r.envelopes) > 0 }

func (r *row) put(id string, s *durable.Snapshot) error {
	b, err := durable.EncodeSnapshot(id, s)
	if err != nil {
		return err
	}
	if r.expired {
		r.expired, r.envelopes = false, nil
	}
	r.envelopes = r.prune(id, append([][]byte{b}, r.envelopes...))
	r.epoch, r.version = s.Epoch, s.Version
	r.last = s
	r.last.Data = nil
	return nil
}

// prune keeps the newest generations that verify and what lies between them.
func (r *row) prune(id string, envelopes [][]byte) [][]byte {
	good := 0
	for i, b := range envelopes {
		if _, err := durable.DecodeSnapshot(id, b); err == nil {
			good++
		}
		if good == generations {
			return slices.Clip(envelopes[:i+1])
		}
	}
	return envelopes
}

func (sh *Shelf) LoadState(ctx context.Context, id string) (s *durable.Snapshot, err error) {
	err = sh.with(ctx, "load", id, func(r *row) (err error) { s, err = r.load(id); return err })
	return s, err
}

// load returns the newest generation that verifies.
func (r *row) load(id string) (*durable.Snapshot, error) {
	switch {
	case r.last == nil:
		return nil, durable.ErrNotFound
	case r.expired:
		return nil, durable.ErrExpired
	case len(r.envelopes) == 0:
		return nil, durable.ErrLost
	}
	for _, b := range r.envelopes {
		s, err := durable.DecodeSnapshot(id, b)
		if err == nil {
			s.LastVersion = r.version
			return s, nil
		}
		if errors.Is(err, durable.ErrTooNew) {
			return nil, err
		}
	}
	return nil, durable.ErrCorrupt
}

func (sh *Shelf) DeleteState(ctx context.Context, id string) error {
	return sh.with(ctx, "delete", id, func(r *row) error { return r.delete() })
}

// delete leaves the fence, for one epoch more.
func (r *row) delete() error {
	*r = row{epoch: r.epoch + 1, version: r.version}
	return nil
}

func (sh *Shelf) Close() error {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.closed = true
	return nil
}

// with calls do with the row of id, under the lock, and words its error.
func (sh *Shelf) with(ctx context.Context, op, id string, do func(*row) error) error {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	// Encoding anything checks the id.
	_, err := durable.EncodeSnapshot(id, &durable.Snapshot{WriteID: "check"})
	r := &row{}
	if err == nil && sh.closed {
		err = durable.ErrClosed
	}
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		if sh.rows[id] == nil {
			sh.rows[id] = r
		}
		r = sh.rows[id]
		err = do(r)
	}
	if err == nil {
		return nil
	}
	return &durable.Error{Op: op, ComponentID: id, Adapter: "shelf", Epoch: r.epoch, Version: r.version, Err: err}
}

// An adapter of one's own is four methods. The package comment shows how to
// check it.
func Example() {
	ctx := context.Background()
	var a durable.StateAdapter = NewShelf()
	defer a.Close()

	first := &durable.Snapshot{Version: 1, WriteID: "first", Codec: "json", Data: []byte(`{"n":1}`)}
	fmt.Println(a.SaveState(ctx, "counter", first))
	fmt.Println(a.SaveState(ctx, "counter", first)) // a retry is recognised
	fmt.Println(a.SaveState(ctx, "counter", &durable.Snapshot{Version: 1, WriteID: "other", Data: []byte(`{"n":9}`)}))
	s, err := a.LoadState(ctx, "counter")
	fmt.Println(string(s.Data), s.Version, err)
	// Output:
	// <nil>
	// <nil>
	// durable: shelf: save "counter": version conflict (fence: epoch 0, version 1)
	// {"n":1} 1 <nil>
}
