package durable

import (
	"github.com/durablestate/durable/internal/barrier"
	"github.com/durablestate/durable/internal/store"
)

// NewAdapterOn returns an adapter named name on any store; states are limited
// to maxBytes, 0 is no limit.
func NewAdapterOn(name string, s store.Store, maxBytes int64) StateAdapter {
	return &MemoryAdapter{base{name: name, store: s, maxBytes: maxBytes}}
}

// OpenSet reads the payload of a set and returns how many states it holds.
func OpenSet(data []byte) (states int, err error) {
	entries, err := openSet(data)
	for _, e := range entries {
		if e.snap != nil {
			states++
		}
	}
	return states, err
}

// SetMutants break the capture of a set in the ways that its tests must find.
var SetMutants = map[string]func(c *Checkpointer){
	"drops one member":               func(c *Checkpointer) { c.set.parts = c.set.parts[:len(c.set.parts)-1] },
	"captures outside the barrier":   func(c *Checkpointer) { c.set.units = barrier.New() },
	"reuses a stale encoded form":    func(c *Checkpointer) { m := c.set.parts[1].m; m.comp = stopped{m.comp, m.tracked()} },
	"lets a member lie of its place": func(c *Checkpointer) { c.set.parts[0].m.name = c.namespace() + "right" },
}

// stopped is a count of changes that stands still.
type stopped struct {
	Component
	tracked
}

func (stopped) changeCount() uint64 { return 0 }
