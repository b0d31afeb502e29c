package adaptertest

import (
	"errors"
	"strings"
	"time"

	"github.com/durablestate/durable"
)

// Leases that are to stay and leases that are to expire. Expiry passes in real
// time, the only clock a third-party store has.
const (
	long  = time.Hour
	short = 60 * time.Millisecond
)

var leaseRules = []rule{
	{"a free lease is taken",
		"AcquireLease returns name, holder, TTL, an epoch above 0 and the time of expiry",
		func(e *env) {
			o := e.owner()
			l := e.acquires(o, "one", long)
			if l.Name != e.id || l.Holder != "one" || l.TTL != long || l.Epoch == 0 || l.Released || l.Expires.IsZero() {
				e.broken("AcquireLease returned %+v", *l)
			}
			e.stored(o, l)
		}},
	{"a lease that nobody had is ErrNotFound",
		"answer durable.ErrNotFound, not (nil, nil)",
		func(e *env) {
			_, err := e.owner().LoadLease(e.ctx, e.id)
			e.answers("LoadLease", err, durable.ErrNotFound)
		}},
	{"a lease has one holder at a time",
		"answer ErrLeaseHeld at once, without waiting, and name the holder in the text",
		func(e *env) {
			o := e.owner()
			l := e.acquires(o, "one", long)
			e.held(o, "two", "one")
			e.held(o, "one2", "one")
			e.stored(o, l)
		}},
	{"the same holder takes its own lease back at once with a greater epoch",
		"compare the holder before the time of expiry: a restarted process has the same name",
		func(e *env) {
			o := e.owner()
			first := e.acquires(o, "one", long)
			second := e.acquires(o, "one", long)
			e.above(second, first)
			e.stored(o, second)
		}},
	{"a released lease is free at once, and the next owner is told",
		"keep the record after a release and mark it Released",
		func(e *env) {
			o := e.owner()
			first := e.acquires(o, "one", long)
			e.releases(o, first)
			if l := e.lease(o); !l.Released || l.Holder != "one" || l.Epoch != first.Epoch {
				e.broken("LoadLease returned %+v after a release", *l)
			}
			second := e.acquires(o, "two", long)
			e.above(second, first)
			e.stored(o, second)
		}},
	{"the epoch grows with every acquisition",
		"the epoch is above that of the stored record, which outlives release and expiry",
		func(e *env) {
			o := e.owner()
			last := &durable.Lease{}
			for i := range 20 {
				l := e.acquires(o, []string{"one", "two"}[i%2], long)
				e.above(l, last)
				e.releases(o, l)
				last = l
			}
		}},
	{"a renewal extends the lease",
		"RenewLease moves Expires to now plus TTL, in the store and in the lease it was given, and keeps the epoch",
		func(e *env) {
			o := e.owner()
			l := e.acquires(o, "one", long)
			before := *l
			l.TTL = 2 * long
			if err := o.RenewLease(e.ctx, l); err != nil {
				e.broken("RenewLease: %v", err)
			}
			if by := l.Expires.Sub(before.Expires); by < long/2 {
				e.broken("Expires moved by %s when a lease of %s was renewed with a TTL of %s", by, long, l.TTL)
			}
			if l.Epoch != before.Epoch || l.Holder != "one" || l.TTL != 2*long || l.Released {
				e.broken("RenewLease made %+v of %+v", *l, before)
			}
			e.stored(o, l)
			e.held(o, "two", "one")
		}},
	{"a superseded lease is not renewed and not released",
		"answer ErrFenced once a greater epoch is stored, and leave the record alone",
		func(e *env) {
			o := e.owner()
			first := e.acquires(o, "one", long)
			second := e.acquires(o, "one", long)
			e.answers("RenewLease of a superseded lease", o.RenewLease(e.ctx, first), durable.ErrFenced)
			e.answers("ReleaseLease of a superseded lease", o.ReleaseLease(e.ctx, first), durable.ErrFenced)
			e.stored(o, second)
			e.held(o, "two", "one")
		}},
	{"a late renewal does not revive a released lease",
		"answer ErrFenced to a renewal of a lease that was released",
		func(e *env) {
			o := e.owner()
			l := e.acquires(o, "one", long)
			late := *l
			e.releases(o, l)
			e.answers("RenewLease after ReleaseLease", o.RenewLease(e.ctx, &late), durable.ErrFenced)
			if !e.lease(o).Released {
				e.broken("the lease is held again")
			}
			e.acquires(o, "two", long)
		}},
	{"releasing twice does no harm",
		"a second release of the same lease succeeds and leaves the record released",
		func(e *env) {
			o := e.owner()
			l := e.acquires(o, "one", long)
			e.releases(o, l)
			e.releases(o, l)
			if !e.lease(o).Released {
				e.broken("the lease is held again")
			}
		}},
	{"an expired lease lets another in",
		"judge expiry by the store's clock; a holder that fell silent keeps its lease for the TTL and no longer",
		func(e *env) {
			o := e.owner()
			first := e.acquires(o, "one", short)
			var second *durable.Lease
			e.until("another holder was let in", func() (ok bool) {
				l, err := o.AcquireLease(e.ctx, e.id, "two", long)
				if err != nil {
					e.answers("AcquireLease", err, durable.ErrLeaseHeld)
				}
				second = l
				return err == nil
			})
			e.above(second, first)
			e.stored(o, second)
			e.answers("RenewLease after a takeover", o.RenewLease(e.ctx, first), durable.ErrFenced)
			e.stored(o, second)
		}},
	{"an expired lease that nobody took can be renewed",
		"renew by epoch, not by time: while no greater epoch is stored the holder is still the owner",
		func(e *env) {
			o := e.owner()
			l := e.acquires(o, "one", short)
			time.Sleep(2 * short)
			if got := e.lease(o); got.Holder != "one" || got.Released {
				e.broken("LoadLease returned %+v after expiry: it tells who owned the lease last", *got)
			}
			l.TTL = long
			if err := o.RenewLease(e.ctx, l); err != nil {
				e.broken("RenewLease: %v", err)
			}
			e.held(o, "two", "one")
		}},
	{"leases of different names are independent",
		"keep one record per name, the empty name included: it is the lease of a whole store",
		func(e *env) {
			o := e.owner()
			l := e.acquires(o, "one", long)
			for _, name := range []string{e.id + "/a", e.id + "_", strings.ToUpper(e.id)} {
				n := e.of(name)
				n.stored(o, n.acquires(o, "two", long))
			}
			e.stored(o, l)
			if _, err := o.LoadLease(e.ctx, ""); err != nil && !errors.Is(err, durable.ErrNotFound) {
				e.broken("LoadLease of the empty name: %v", err)
			}
		}},
	{"a lease is not the state of a component",
		"keep leases and components apart, also when they have the same name",
		func(e *env) {
			o := e.owner()
			l := e.acquires(o, "one", long)
			e.missing(durable.ErrNotFound, 0, 0)
			s := e.saves(snap(1, 1, "state"))
			e.stored(o, l)
			e.releases(o, l)
			e.holds(s)
			e.deletes()
			if !e.lease(o).Released {
				e.broken("DeleteState touched the lease")
			}
		}},
	{"the caller owns the lease",
		"return a copy: what the caller does to its lease changes nothing in the store",
		func(e *env) {
			o := e.owner()
			l := e.acquires(o, "one", long)
			want := *l
			l.Holder, l.Epoch, l.Released = "changed", 0, true
			got := e.lease(o)
			got.Holder, got.Epoch, got.Released = "changed", 0, true
			e.stored(o, &want)
			renewed := want
			if err := o.RenewLease(e.ctx, &renewed); err != nil {
				e.broken("RenewLease: %v", err)
			}
			want = renewed
			renewed.Holder, renewed.Epoch, renewed.Released = "changed", 0, true
			e.stored(o, &want)
			released := want
			e.releases(o, &released)
			want = released
			released.Holder, released.Epoch, released.Released = "changed", 0, false
			e.stored(o, &want)
		}},
}

func (e *env) acquires(o durable.Owner, holder string, ttl time.Duration) *durable.Lease {
	e.Helper()
	l, err := o.AcquireLease(e.ctx, e.id, holder, ttl)
	switch {
	case err != nil:
		e.broken("AcquireLease for %q: %v", holder, err)
	case l == nil:
		e.broken("AcquireLease returned (nil, nil)")
	}
	return l
}

// held checks that holder does not get the lease and is told who has it.
func (e *env) held(o durable.Owner, holder, by string) {
	e.Helper()
	_, err := o.AcquireLease(e.ctx, e.id, holder, long)
	e.answers("AcquireLease for "+holder, err, durable.ErrLeaseHeld)
	if !strings.Contains(err.Error(), by) {
		e.broken("AcquireLease answered %q, which does not name the holder %q", err, by)
	}
}

func (e *env) releases(o durable.Owner, l *durable.Lease) {
	e.Helper()
	if err := o.ReleaseLease(e.ctx, l); err != nil {
		e.broken("ReleaseLease: %v", err)
	}
	if !l.Released {
		e.broken("ReleaseLease did not set Released in the lease it was given")
	}
}

func (e *env) lease(o durable.Owner) *durable.Lease {
	e.Helper()
	l, err := o.LoadLease(e.ctx, e.id)
	switch {
	case err != nil:
		e.broken("LoadLease: %v", err)
	case l == nil:
		e.broken("LoadLease returned (nil, nil)")
	}
	return l
}

// stored checks that the stored record is l.
func (e *env) stored(o durable.Owner, l *durable.Lease) {
	e.Helper()
	got := e.lease(o)
	if got.Name != l.Name || got.Holder != l.Holder || got.Epoch != l.Epoch || got.Released != l.Released {
		e.broken("LoadLease returned %+v instead of %+v", *got, *l)
	}
	if d := got.Expires.Sub(l.Expires).Abs(); d > time.Second {
		e.broken("LoadLease says that the lease expires at %s instead of %s", got.Expires, l.Expires)
	}
}

func (e *env) above(l, before *durable.Lease) {
	e.Helper()
	if l.Epoch <= before.Epoch {
		e.broken("the lease has epoch %d after %d", l.Epoch, before.Epoch)
	}
}

// until polls, because the suite has no hand on the store's clock.
func (e *env) until(what string, done func() bool) {
	e.Helper()
	for end := time.Now().Add(patience / 2); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			e.broken("after %s it did not happen that %s", patience/2, what)
		}
	}
}
