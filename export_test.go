package durable

import (
	"io"

	"github.com/durablestate/durable/internal/adapter"
	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/memstore"
	"github.com/durablestate/durable/internal/store"
)

func (a *MemoryAdapter) Memory() *memstore.Store { return a.in.Store.(*memstore.Store) }

func (a *MemoryAdapter) Reopen() *MemoryAdapter {
	return newMemoryAdapter(&adapter.Adapter{Store: a.in.Store})
}

func NewAdapterOn(name string, s store.Store, maxBytes int64) StateAdapter {
	a := newMemoryAdapter(&adapter.Adapter{Store: s, MaxBytes: maxBytes})
	a.name = name
	return a
}

func OpenSet(data []byte) (states int, err error) {
	entries, err := envelope.ReadSet(data)
	for _, e := range entries {
		if e.Record != nil && !e.Deleted() {
			states++
		}
	}
	return states, err
}

var SetMutants = map[string]func(c *Checkpointer){}

func RedisURL(c *Config) string { return c.block.RedisURL.Reveal() }

func Closers(c *Checkpointer) []io.Closer { return nil }
