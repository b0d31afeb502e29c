package adaptertest_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
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
	{"fills versions in without compare-and-set", "processes/two processes that leave the version open lose no save", remote("open")},
	{"repeats without compare-and-set", "processes/a repeat in one process does not undo the save of another", remote("repeat")},
	{"saves over a claim", "processes/a claim by one process fences the save of another that is in flight", remote("save")},
	{"claims without compare-and-set", "processes/a claim by one process fences the save of another that is in flight", remote("claim")},
	{"claims over a claim", "processes/of two claims the higher one stays", remote("claim")},
	{"deletes without compare-and-set", "processes/a delete by one process and a save by another leave one or the other", remote("delete")},
	{"saves over a delete", "processes/a delete by one process and a save by another leave one or the other", remote("save")},
	{"acquires without compare-and-set", "processes/of two processes that acquire one lease exactly one wins", remote("acquire")},
	{"acquires again without compare-and-set", "processes/two processes of one holder never have the same epoch", remote("acquire")},
	{"renews without compare-and-set", "processes/a renewal by one process does not undo the takeover by another", remote("renew")},
	{"deletes what has the same version", "processes/a delete by one process does not lower the claim of another", remote("delete of this version")},
	{"fills epochs in, and compares the version only", "processes/a save that leaves the epoch open does not undo the claim of another process", remote("open of this version")},
	{"takes an expired lease without compare-and-set", "processes/of two processes that take an expired lease exactly one wins", remote("takeover")},
	{"publishes the fence before the state", "processes/a load beside the save of another process finds what was before or what is after", remote("halves")},
	{"deletes the state before the fence", "processes/a load beside the delete of another process finds the state or nothing", remote("halves")},
	{"remembers what it did not find", "reopen/a second adapter sees what the first one saved", remote("absence")},
	{"remembers that there was no lease", "reopen/a lease binds a second adapter", remote("absence")},
	{"releases without compare-and-set", "processes/a release by one process does not undo the takeover by another", remote("release")},
}

func TestAnAdapterWithCompareAndSetInTheStorePasses(t *testing.T) {
	adaptertest.Run(t, remote("nothing"))
}

// Within one process nothing is wrong with any of them: only a race of two
// processes finds them.
func TestTheDefectsOfRacesAreNotFoundInsideOneProcess(t *testing.T) {
	for _, blind := range []string{"save", "claim", "delete", "acquire", "renew", "release", "delete of this version", "open of this version", "takeover", "halves"} {
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
			(&client{t: a.(interface{ table() *table }).table()}).change("hook", id, func(c *cell) error { do(&c.row); return nil })
		}
	}
	return adaptertest.Store{
		Open: func(*testing.T) durable.StateAdapter {
			return planting(&client{t: &table{cells: map[string]cell{}}, blind: blind})
		},
		Reopen: func(_ *testing.T, a durable.StateAdapter) durable.StateAdapter {
			return planting(&client{t: a.(interface{ table() *table }).table(), blind: blind})
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

// write writes c, if the cell is as c was read, or as far as as looks.
func (t *table) write(key string, c cell, as func(cell) bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now := t.cells[key]; now.writes != c.writes && !as(now) {
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

// travel waits. A sleep would last until others are done.
func travel(d time.Duration) {
	for begin := time.Now(); time.Since(begin) < d; {
		runtime.Gosched()
	}
}

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
		was, before := is, is.row.last
		travel(trip)
		if err := do(&is); err != nil {
			return err
		}
		if op == "save" && before != nil && is.row.last == before {
			op = "repeat" // it writes the row back, as one that refreshes a TTL would
		}
		if l := was.lease; op == "acquire" && l.Epoch > 0 && !l.Released && l.Holder != is.lease.Holder {
			op = "takeover"
		}
		blind := op == c.blind
		same := strings.TrimSuffix(c.blind, " of this version") == op
		if c.t.write(key, is, func(now cell) bool { return blind || same && now.row.version == was.row.version }) {
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
	op := "save"
	if s.Epoch == 0 {
		op = "open"
	}
	return c.on(ctx, op, id, func(r *row) error { return r.save(id, s) })
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

func (c *client) table() *table { return c.t }

// planting returns c with what is not a matter of a single write.
func planting(c *client) durable.StateAdapter {
	switch c.blind {
	case "halves":
		return halves{c, &sync.Mutex{}}
	case "absence":
		return &absence{client: c, absent: map[string]error{}}
	}
	return c
}

// halves saves and deletes in two steps. Its lock holds off no other process.
type halves struct {
	*client
	inside *sync.Mutex
}

func (h halves) SaveState(ctx context.Context, id string, s *durable.Snapshot) error {
	h.inside.Lock()
	defer h.inside.Unlock()
	var newest []byte
	err := h.on(ctx, "save", id, func(r *row) error {
		n := len(r.envelopes)
		err := r.save(id, s)
		if newest = nil; err == nil && n == 1 && len(r.envelopes) == 2 {
			newest, r.envelopes = r.envelopes[0], r.envelopes[1:]
		}
		return err
	})
	if newest != nil {
		travel(10 * trip)
		err = h.on(context.WithoutCancel(ctx), "save", id, func(r *row) error { r.envelopes = append([][]byte{newest}, r.envelopes...); return nil })
	}
	return err
}

func (h halves) DeleteState(ctx context.Context, id string) error {
	h.inside.Lock()
	defer h.inside.Unlock()
	if err := h.on(ctx, "delete", id, func(r *row) error { r.envelopes = nil; return nil }); err != nil {
		return err
	}
	travel(10 * trip)
	return h.client.DeleteState(context.WithoutCancel(ctx), id)
}

func (h halves) LoadState(ctx context.Context, id string) (*durable.Snapshot, error) {
	h.inside.Lock()
	defer h.inside.Unlock()
	return h.client.LoadState(ctx, id)
}

// absence remembers what was not there, until it changes that itself.
type absence struct {
	*client
	mu     sync.Mutex
	absent map[string]error
}

func (a *absence) know(key string, load func() error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.absent[key]; err != nil {
		return err
	}
	err := load()
	if errors.Is(err, durable.ErrNotFound) {
		a.absent[key] = err
	}
	return err
}

func (a *absence) SaveState(ctx context.Context, id string, s *durable.Snapshot) error {
	a.mu.Lock()
	delete(a.absent, id)
	a.mu.Unlock()
	return a.client.SaveState(ctx, id, s)
}

func (a *absence) LoadState(ctx context.Context, id string) (s *durable.Snapshot, err error) {
	err = a.know(id, func() (err error) { s, err = a.client.LoadState(ctx, id); return err })
	return s, err
}

func (a *absence) LoadLease(ctx context.Context, name string) (l *durable.Lease, err error) {
	err = a.know("lease of "+name, func() (err error) { l, err = a.client.LoadLease(ctx, name); return err })
	return l, err
}
