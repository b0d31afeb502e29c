package adaptertest_test

import (
	"bytes"
	"testing"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/adaptertest"
)

func TestAFourMethodAdapterPasses(t *testing.T) {
	adaptertest.Run(t, onShelf(func(sh *Shelf) durable.StateAdapter { return sh }))
}

func TestTheMemoryAdapterPasses(t *testing.T) {
	adaptertest.Run(t, inMemory(func(a *durable.MemoryAdapter) durable.StateAdapter { return a }))
}

func TestATransparentWrapperPasses(t *testing.T) {
	adaptertest.Run(t, inMemory(func(a *durable.MemoryAdapter) durable.StateAdapter { return wrapper{wrapper{a}} }))
}

// A wrapper passes the four methods on and leaves the rest to Unwrap.
type wrapper struct{ durable.StateAdapter }

func (w wrapper) Unwrap() durable.StateAdapter { return w.StateAdapter }

// inMemory opens memory adapters as wrap makes them. What the store forgets or
// damages is for the shelf and for the root package, which can look inside.
func inMemory(wrap func(*durable.MemoryAdapter) durable.StateAdapter) adaptertest.Store {
	return adaptertest.Store{
		Open: func(*testing.T) durable.StateAdapter { return wrap(durable.NewMemoryAdapter(nil)) },
	}
}

// onShelf opens shelves as wrap makes them, with every hook.
func onShelf(wrap func(*Shelf) durable.StateAdapter) adaptertest.Store {
	shelf := func(a durable.StateAdapter) *Shelf { return a.(interface{ self() *Shelf }).self() }
	return adaptertest.Store{
		Open: func(*testing.T) durable.StateAdapter { return wrap(NewShelf()) },
		Expire: func(_ *testing.T, a durable.StateAdapter, id string) {
			if i, ok := a.(*immortalAfterExpiry); !ok || !i.immortal {
				shelf(a).row(id, func(r *row) { r.expired = true })
			}
		},
		Wipe: func(_ *testing.T, a durable.StateAdapter, id string) {
			shelf(a).row(id, func(r *row) { r.envelopes = nil })
		},
		Corrupt: func(_ *testing.T, a durable.StateAdapter, id string) {
			shelf(a).row(id, func(r *row) {
				b := bytes.Clone(r.envelopes[0])
				b[len(b)-1] ^= 1
				r.envelopes[0] = b
			})
		},
	}
}

func (sh *Shelf) self() *Shelf { return sh }

// row gives do the row of id, under the lock.
func (sh *Shelf) row(id string, do func(r *row)) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.rows[id] == nil {
		sh.rows[id] = &row{}
	}
	do(sh.rows[id])
}
