package durable

import "github.com/durablestate/durable/internal/memstore"

// Memory returns the store behind a, through which a test does to it what
// happens to a server or a disk.
func (a *MemoryAdapter) Memory() *memstore.Store { return a.store.(*memstore.Store) }

// Reopen returns a second adapter on the store of a.
func (a *MemoryAdapter) Reopen() *MemoryAdapter {
	return &MemoryAdapter{base{name: a.name, store: a.store}}
}
