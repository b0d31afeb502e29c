package durable

import (
	"cmp"
	"time"

	"github.com/durablestate/durable/internal/adapter"
	"github.com/durablestate/durable/internal/limits"
	"github.com/durablestate/durable/internal/memstore"
)

// MemoryAdapter keeps snapshots in memory, for tests: nothing survives the
// process. It follows the same rules as the other adapters and stores the same
// bytes, so it shares no memory with its callers and a component that works
// with it works with them. It has no goroutines and takes the time from
// [time.Now], so it works in a testing/synctest bubble.
//
// It implements [StateAdapter], [Owner] and [Historian] and is safe for
// concurrent use.
type MemoryAdapter struct{ storeAdapter }

// MemoryOptions are the options of a [MemoryAdapter].
type MemoryOptions struct {
	Keep int           // generations kept of each component; 3
	TTL  time.Duration // how long a state lives after its last save or refresh; no expiry
}

// NewMemoryAdapter returns an empty adapter; nil opts mean the defaults. With wrong
// ones every call of the adapter, and Register of a Checkpointer on it, says what is
// wrong.
func NewMemoryAdapter(opts *MemoryOptions) *MemoryAdapter {
	o := given(opts)
	c := limits.Fields("MemoryOptions", "memory")
	c.Number("keep", int64(o.Keep))
	c.Number("ttl", int64(o.TTL))
	return newMemoryAdapter(&adapter.Adapter{Store: memstore.New(max(cmp.Or(o.Keep, 3), 1), max(o.TTL, 0)), TTL: max(o.TTL, 0), Invalid: c.Err()})
}

func newMemoryAdapter(in *adapter.Adapter) *MemoryAdapter {
	a := &MemoryAdapter{}
	a.over("memory", in, a)
	return a
}
