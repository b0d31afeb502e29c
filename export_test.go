package durable

import (
	"github.com/durablestate/durable/internal/memstore"
	"github.com/durablestate/durable/internal/store"
)

// Memory returns the store behind a, through which a test does to it what
// happens to a server or a disk.
func (a *MemoryAdapter) Memory() *memstore.Store { return a.store.(*memstore.Store) }

// Reopen returns a second adapter on the store of a.
func (a *MemoryAdapter) Reopen() *MemoryAdapter {
	return &MemoryAdapter{base{name: a.name, store: a.store}}
}

// NewAdapterOn returns an adapter named name on any store; states are limited
// to maxBytes, 0 is no limit.
func NewAdapterOn(name string, s store.Store, maxBytes int64) StateAdapter {
	return &MemoryAdapter{base{name: name, store: s, maxBytes: maxBytes}}
}
