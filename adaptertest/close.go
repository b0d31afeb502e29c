package adaptertest

import (
	"slices"

	"github.com/durablestate/durable"
)

var closeRules = []rule{
	{"closing again does nothing",
		"make Close idempotent: the second call returns nil",
		func(e *env) {
			e.saves(snap(1, 1, "one"))
			for range 3 {
				if err := e.a.Close(); err != nil {
					e.broken("Close: %v", err)
				}
			}
		}},
	{"after Close every method answers ErrClosed",
		"remember that the adapter was closed and answer durable.ErrClosed, in a *durable.Error, from then on",
		func(e *env) {
			e.saves(snap(1, 1, "one"))
			calls := append(stateCalls(e.a, e.id), leaseCalls(e.a, e.id)...)
			if err := e.a.Close(); err != nil {
				e.broken("Close: %v", err)
			}
			for _, c := range calls {
				e.answers(c.name+" after Close", c.do(e.ctx), durable.ErrClosed)
			}
		}},
	{"Close may come while saves are under way",
		"let a save that is under way end, or answer ErrClosed; a save that returned nil is stored",
		func(e *env) {
			const writers = 8
			errs := make(chan error, writers)
			for i := range writers {
				o := e.of(e.other(string(rune('a' + i))))
				go func() {
					for v := uint64(1); v <= 1000; v++ {
						if err := o.save(snap(1, v, "data")); err != nil {
							errs <- err
							return
						}
					}
					errs <- nil
				}()
			}
			closed := e.a.Close()
			for range writers {
				if err := <-errs; err != nil {
					e.answers("SaveState during Close", err, durable.ErrClosed)
				}
			}
			if closed != nil {
				e.broken("Close: %v", closed)
			}
		}},
}

var reopenRules = []rule{
	{"a second adapter sees what the first one saved",
		"keep everything in the store, nothing in the adapter",
		func(e *env) {
			b := e.reopen()
			b.missing(durable.ErrNotFound, 0, 0) // which b must not remember
			s := e.saves(snap(5, 3, "three"))
			b.holds(s)
			e.holds(b.saves(snap(5, 4, "four")))
		}},
	{"a second adapter lists what the first one saved",
		"list what is in the store, not what this adapter saved",
		func(e *env) {
			e.historian()
			b := e.reopen()
			b.lists()
			e.saves(snap(5, 3, "three"))
			b.lists(e.id)
			b.saves(snap(5, 4, "four"))
			if mine, yours := e.snapshots(e.historian()), b.snapshots(b.historian()); !slices.EqualFunc(mine, yours, sameInfo) {
				e.broken("ListSnapshots returned %+v here and %+v there", mine, yours)
			}
			b.deletes()
			e.lists()
		}},
	{"state, fence and last save outlive the adapter",
		"keep the fence and the name of the last accepted save in the store",
		func(e *env) {
			s := e.saves(snap(5, 3, "three"))
			b := e.reopen()
			if err := e.a.Close(); err != nil {
				e.broken("Close: %v", err)
			}
			b.refuses(snap(5, 3, "late"), durable.ErrConflict, 5, 3)
			b.refuses(snap(4, 4, "late"), durable.ErrFenced, 5, 3)
			b.saves(s)
			b.saves(refresh(s))
			b.holds(s)
		}},
	{"a second adapter refuses what the first one deleted",
		"keep the fence of deleted components in the store",
		func(e *env) {
			s := e.saves(snap(5, 3, "three"))
			b := e.reopen()
			b.holds(s)
			e.deletes()
			b.refuses(s, durable.ErrFenced, 6, 3)
			b.missing(durable.ErrNotFound, 6, 3)
		}},
	{"a second adapter is bound by a claim",
		"keep claims in the store",
		func(e *env) {
			o := e.owner()
			b := e.reopen()
			e.claims(o, 9)
			b.refuses(snap(8, 1, "predecessor"), durable.ErrFenced, 9, 0)
			b.holds(b.saves(snap(9, 1, "successor")))
		}},
	{"a lease binds a second adapter",
		"keep leases in the store",
		func(e *env) {
			o := e.owner()
			b := e.reopen()
			_, err := b.owner().LoadLease(e.ctx, e.id)
			b.answers("LoadLease", err, durable.ErrNotFound) // which b must not remember
			l := e.acquires(o, "first", long)
			b.stored(b.owner(), l)
			b.held(b.owner(), "second", "first")
			e.releases(o, l)
			if n := b.acquires(b.owner(), "second", long); n.Epoch <= l.Epoch {
				e.broken("the second owner got epoch %d after %d", n.Epoch, l.Epoch)
			}
		}},
	{"epochs grow across adapters",
		"take the epoch from the stored lease, never from a counter of the process",
		func(e *env) {
			o := e.owner()
			b := e.reopen()
			var last uint64
			for i := range 10 {
				at, owner := e, o
				if i%2 == 1 {
					at, owner = b, b.owner()
				}
				l := at.acquires(owner, "holder", long)
				if l.Epoch <= last {
					e.broken("epoch %d after %d", l.Epoch, last)
				}
				last = l.Epoch
			}
		}},
}
