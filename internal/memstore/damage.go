package memstore

import (
	"bytes"
	"context"
	"slices"
	"time"
)

type reach struct{}

// Reach returns a context under which a load says in *s which store answered, so
// that a test can damage it. It must not be used concurrently.
func Reach(ctx context.Context) (_ context.Context, s **Store) {
	s = new(*Store)
	return context.WithValue(ctx, reach{}, s), s
}

func (m *Store) answer(ctx context.Context) {
	if s, ok := ctx.Value(reach{}).(**Store); ok {
		*s = m
	}
}

// Share gives m the memory of other in place of its own, as two processes share a
// server. It must be called before anything else uses m.
func (m *Store) Share(other *Store) { m.memory = other.memory }

// What follows does to a component what a test cannot do to memory from
// outside. It goes behind the store's back: fences stay as they are.

// Expire ends the TTL of id now.
func (m *Store) Expire(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open(id).expires = time.Now()
}

// Wipe removes every generation of id, as an eviction would.
func (m *Store) Wipe(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open(id).generations = nil
}

// Corrupt flips a bit in the newest generation of id.
func (m *Store) Corrupt(id string) {
	m.Edit(id, func(b []byte) []byte {
		b[len(b)-1] ^= 1
		return b
	})
}

// Edit replaces the envelope of the newest generation of id by what edit makes
// of a copy of it; nil removes the generation. It panics if there is none.
func (m *Store) Edit(id string, edit func([]byte) []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.open(id)
	gs := slices.Clone(c.generations)
	if b := edit(bytes.Clone(gs[0].envelope)); b != nil {
		gs[0].envelope = b
	} else {
		gs = gs[1:]
	}
	c.generations = gs
}
