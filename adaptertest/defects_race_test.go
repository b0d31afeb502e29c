package adaptertest_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/adaptertest"
)

// These are adapters without a compare-and-set in the store for one of their
// calls. Within one process each follows every rule.
var raceDefects = []defect{
	{"saves without compare-and-set", "processes/of two processes that save one version exactly one wins", remote("save")},
	{"fills versions in without compare-and-set", "processes/two processes that leave the version open lose no save", remote("save")},
	{"repeats without compare-and-set", "processes/a repeat in one process does not undo the save of another", remote("repeat")},
	{"saves over a claim", "processes/a claim by one process fences the save of another that is in flight", remote("save")},
	{"claims without compare-and-set", "processes/a claim by one process fences the save of another that is in flight", remote("claim")},
	{"claims over a claim", "processes/of two claims the higher one stays", remote("claim")},
	{"deletes without compare-and-set", "processes/a delete by one process and a save by another leave one or the other", remote("delete")},
	{"saves over a delete", "processes/a delete by one process and a save by another leave one or the other", remote("save")},
	{"acquires without compare-and-set", "processes/of two processes that acquire one lease exactly one wins", remote("acquire")},
	{"acquires again without compare-and-set", "processes/two processes of one holder never have the same epoch", remote("acquire")},
	{"renews without compare-and-set", "processes/a renewal by one process does not undo the takeover by another", remote("renew")},
	{"releases without compare-and-set", "processes/a release by one process does not undo the takeover by another", remote("release")},
}

func TestAnAdapterWithCompareAndSetInTheStorePasses(t *testing.T) {
	adaptertest.Run(t, remote("nothing"))
}

// Within one process nothing is wrong with any of them: only a race of two
// processes finds them.
func TestTheDefectsOfRacesAreNotFoundInsideOneProcess(t *testing.T) {
	for _, blind := range []string{"save", "claim", "delete", "acquire", "renew", "release"} {
		t.Run(blind, func(t *testing.T) {
			store := remote(blind)
			store.Reopen = nil
			adaptertest.Run(t, store)
		})
	}
}

// remote opens clients of which the call blind writes whatever is there.
func remote(blind string) adaptertest.Store {
	edit := func(do func(r *row)) func(*testing.T, durable.StateAdapter, string) {
		return func(_ *testing.T, a durable.StateAdapter, id string) {
			a.(*client).change("hook", id, func(c *cell) error { do(&c.row); return nil })
		}
	}
	return adaptertest.Store{
		Open: func(*testing.T) durable.StateAdapter {
			return &client{t: &table{cells: map[string]cell{}}, blind: blind}
		},
		Reopen: func(_ *testing.T, a durable.StateAdapter) durable.StateAdapter {
			return &client{t: a.(*client).t, blind: blind}
		},
		Expire: edit(func(r *row) { r.expired = true }),
		Wipe:   edit(func(r *row) { r.envelopes = nil }),
		Corrupt: edit(func(r *row) {
			r.envelopes = slices.Clone(r.envelopes)
			r.envelopes[0] = slices.Clone(r.envelopes[0])
			r.envelopes[0][len(r.envelopes[0])-1] ^= 1
		}),
	}
}

// A table is a store that several processes reach: each read and each write of a
// cell is atomic, and a write may be made conditional. A cell is a component, or a
// lease under a name of its own.
type table struct {
	mu    sync.Mutex
	cells map[string]cell
}

type cell struct {
	writes int
	row    row
	lease  durable.Lease
}

func (t *table) read(key string) cell {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.cells[key]
}

func (t *table) write(key string, c cell, always bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !always && t.cells[key].writes != c.writes {
		return false
	}
	c.writes = t.cells[key].writes + 1
	t.cells[key] = c
	return true
}

// A client is the adapter of one process.
type client struct {
	t      *table
	blind  string
	mu     sync.Mutex
	closed bool
}

// trip is the way to the table and back.
const trip = 20 * time.Microsecond

// change reads a cell and writes what do makes of it, again when it was changed
// meanwhile. Its lock is for this process only.
func (c *client) change(op, key string, do func(*cell) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return durable.ErrClosed
	}
	for {
		is := c.t.read(key)
		before := is.row.last
		for begin := time.Now(); time.Since(begin) < trip; { // a sleep would last until others are done
			runtime.Gosched()
		}
		if err := do(&is); err != nil {
			return err
		}
		if op == "save" && before != nil && is.row.last == before {
			op = "repeat" // it writes the row back, as one that refreshes a TTL would
		}
		if c.t.write(key, is, op == c.blind) {
			return nil
		}
	}
}

// on changes the row of a component and words the error.
func (c *client) on(ctx context.Context, op, id string, do func(*row) error) error {
	var fence row
	_, err := durable.EncodeSnapshot(id, &durable.Snapshot{WriteID: "check"})
	if err == nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	if err == nil {
		err = c.change(op, id, func(x *cell) error {
			err := do(&x.row)
			fence = x.row
			return err
		})
	}
	if err == nil {
		return nil
	}
	return &durable.Error{Op: op, ComponentID: id, Adapter: "remote", Epoch: fence.epoch, Version: fence.version, Err: err}
}

func (c *client) SaveState(ctx context.Context, id string, s *durable.Snapshot) error {
	return c.on(ctx, "save", id, func(r *row) error { return r.save(id, s) })
}

func (c *client) LoadState(ctx context.Context, id string) (s *durable.Snapshot, err error) {
	err = c.on(ctx, "load", id, func(r *row) (err error) { s, err = r.load(id); return err })
	return s, err
}

func (c *client) DeleteState(ctx context.Context, id string) error {
	return c.on(ctx, "delete", id, (*row).delete)
}

func (c *client) ClaimState(ctx context.Context, id string, epoch uint64) error {
	return c.on(ctx, "claim", id, func(r *row) error {
		if epoch < r.epoch {
			return durable.ErrFenced
		}
		r.epoch = epoch
		return nil
	})
}

func (c *client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	return nil
}

// leased changes the record of a lease and words the error.
func (c *client) leased(ctx context.Context, op, name string, do func(*durable.Lease) error) error {
	err := ctx.Err()
	if err == nil {
		err = c.change(op, "lease of "+name, func(x *cell) error { return do(&x.lease) })
	}
	if err == nil {
		return nil
	}
	return &durable.Error{Op: op, ComponentID: name, Adapter: "remote", Err: err}
}

func (c *client) AcquireLease(ctx context.Context, name, holder string, ttl time.Duration) (*durable.Lease, error) {
	var l durable.Lease
	err := c.leased(ctx, "acquire", name, func(is *durable.Lease) error {
		now := time.Now()
		if is.Epoch > 0 && !is.Released && is.Holder != holder && now.Before(is.Expires) {
			return fmt.Errorf("%w by %s", durable.ErrLeaseHeld, is.Holder)
		}
		*is = durable.Lease{Name: name, Holder: holder, Epoch: is.Epoch + 1, TTL: ttl, Expires: now.Add(ttl)}
		l = *is
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &l, nil
}

func (c *client) RenewLease(ctx context.Context, l *durable.Lease) error {
	return c.leased(ctx, "renew", l.Name, func(is *durable.Lease) error {
		if is.Epoch > l.Epoch || is.Released {
			return durable.ErrFenced
		}
		l.Expires = time.Now().Add(l.TTL)
		*is = *l
		return nil
	})
}

func (c *client) ReleaseLease(ctx context.Context, l *durable.Lease) error {
	return c.leased(ctx, "release", l.Name, func(is *durable.Lease) error {
		if is.Epoch > l.Epoch {
			return durable.ErrFenced
		}
		l.Released = true
		*is = *l
		return nil
	})
}

func (c *client) LoadLease(ctx context.Context, name string) (*durable.Lease, error) {
	var l durable.Lease
	err := c.leased(ctx, "show", name, func(is *durable.Lease) error {
		if l = *is; l.Epoch == 0 {
			return durable.ErrNotFound
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &l, nil
}
