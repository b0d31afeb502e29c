// Package memstore keeps snapshots, fences and leases in memory, in the same
// envelopes and under the same rules as the stores that outlive the process.
// It has no goroutines: expiry is judged by [time.Now] when it is asked for, so
// that it works in a testing/synctest bubble.
package memstore

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
)

// Store implements [store.Store]. Create one with New.
type Store struct{ *memory }

// memory is what a store keeps. Several stores may share one, see Share.
type memory struct {
	keep int
	ttl  time.Duration // 0: no expiry

	mu         sync.RWMutex
	components map[string]*component
	leases     map[string]store.Lease
}

// New returns an empty store that keeps that many verified generations of a
// component until ttl has passed since its last save or refresh; 0 is for ever.
func New(keep int, ttl time.Duration) *Store {
	return &Store{&memory{keep: keep, ttl: ttl, components: map[string]*component{}, leases: map[string]store.Lease{}}}
}

// Fence implements [store.Store].
func (m *Store) Fence(_ context.Context, id string) (store.Fence, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.look(id).fence, nil
}

// Save implements [store.Store].
func (m *Store) Save(ctx context.Context, id string, s *store.Snapshot) error {
	b, err := encode(id, s)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.open(id)
	repeat, err := store.Judge(c.fence, c.last, s)
	if err != nil {
		return err
	}
	if !repeat || !c.intact(id) {
		if b == nil {
			return store.Answer(c.fence, store.ErrLost, "version %d is gone; save it with its data", s.Version)
		}
		c.put(id, s.Attempt(), b, store.Kept(ctx, m.keep))
	}
	c.expires = time.Time{}
	if m.ttl > 0 && !store.Lasting(id) {
		c.expires = time.Now().Add(m.ttl)
	}
	return nil
}

// encode returns the envelope of s, nil for a save that only refreshes.
func encode(id string, s *store.Snapshot) ([]byte, error) {
	if s.Data == nil {
		return nil, nil
	}
	return envelope.Append(nil, &envelope.Record{ID: id, Kind: envelope.Snapshot, Snapshot: *s})
}

// Load implements [store.Store].
func (m *Store) Load(ctx context.Context, id string) (*store.Snapshot, error) {
	m.answer(ctx)
	m.mu.RLock()
	defer m.mu.RUnlock()
	c := m.look(id)
	if err := c.missing(); err != nil {
		return nil, err
	}
	return c.newest(id)
}

// Delete implements [store.Store]. The lock makes it a compare-and-set.
func (m *Store) Delete(_ context.Context, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.open(id)
	epoch, err := c.fence.NextEpoch()
	if err != nil {
		return err
	}
	*c = component{fence: store.Fence{Epoch: epoch, Version: c.fence.Version}}
	return nil
}

// Claim implements [store.Store].
func (m *Store) Claim(_ context.Context, id string, epoch uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.open(id)
	if epoch < c.fence.Epoch {
		return store.Answer(c.fence, store.ErrFenced, "epoch %d is below %d", epoch, c.fence.Epoch)
	}
	c.fence.Epoch = epoch
	return nil
}

// List implements [store.Store].
func (m *Store) List(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for _, id := range m.known(store.ListsDeleted(ctx)) {
			if err := ctx.Err(); err != nil {
				yield("", err)
				return
			}
			if !yield(id, nil) {
				return
			}
		}
	}
}

// known returns the ids of what was saved, and of what was deleted if that is
// wanted.
func (m *Store) known(deleted bool) []string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	ids := slices.Collect(maps.Keys(m.components))
	return slices.DeleteFunc(ids, func(id string) bool {
		c := m.components[id]
		return !c.saved() && (!deleted || c.fence.Version == 0)
	})
}

// History implements [store.Store].
func (m *Store) History(_ context.Context, id string) ([]store.SnapshotInfo, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	c := m.look(id)
	if err := c.missing(); err != nil && (len(c.generations) == 0 || !errors.Is(err, store.ErrLost)) {
		return nil, err
	}
	infos := make([]store.SnapshotInfo, len(c.generations))
	for i, g := range c.generations {
		infos[i] = g.info(id)
	}
	return infos, nil
}

// Stored implements [store.Store].
func (m *Store) Stored(_ context.Context, id string) ([]store.Stored, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	c := m.look(id)
	if !c.saved() || c.expired() {
		return nil, nil
	}
	var all []store.Stored
	for _, g := range c.generations {
		s, err := c.load(id, g)
		if err == nil {
			return append(all, store.Stored{Version: g.version, Snapshot: s}), nil
		}
		all = append(all, store.Stored{Version: g.version, Raw: bytes.Clone(g.envelope)})
	}
	return all, nil
}

// LoadVersion implements [store.Store].
func (m *Store) LoadVersion(_ context.Context, id string, version uint64) (*store.Snapshot, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	c := m.look(id)
	return c.version(id, version)
}

// Close implements [store.Store]. The memory goes with the last reference.
func (m *Store) Close() error { return nil }

// open returns the component id to change, creating it.
func (m *Store) open(id string) *component {
	c := m.components[id]
	if c == nil {
		c = &component{}
		m.components[id] = c
	}
	return c
}

// look returns the component id to read, an empty one if there is none.
func (m *Store) look(id string) *component {
	if c := m.components[id]; c != nil {
		return c
	}
	return &component{}
}
