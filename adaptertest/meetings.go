package adaptertest

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/durablestate/durable"
)

// meetingRules are more of processRules: calls of two processes of which neither is
// judged by what the other changes alone, so that a compare-and-set of a part of the
// record does not find the other.
var meetingRules = []rule{
	{"a delete by one process does not lower the claim of another", inTheStore + "compare the epoch too: a delete raises it by one from where a claim has put it",
		func(e *env) { e.duels(deleteAgainstClaim) }},
	{"a save that leaves the epoch open does not undo the claim of another process", inTheStore + "compare the epoch that was filled in too, and fill it in again where a claim was quicker",
		func(e *env) {
			e.duels(func(d *duel) {
				d.a.saves(snap(5, 1, "before"))
				open := snap(0, 0, "open")
				errs := d.meet(d.saving(d.a, open), d.claiming(d.b, 6))
				if err := errors.Join(errs...); err != nil {
					d.a.broken("SaveState with Epoch 0 beside ClaimState: %v", err)
				}
				if s := d.b.loads(); s.Version != 2 || string(s.Data) != "open" {
					d.b.broken("LoadState returned %s after SaveState with Epoch 0 beside ClaimState", brief(s))
				}
				d.a.refuses(snap(5, 3, "of the predecessor"), durable.ErrFenced, 6, 2)
			})
		}},
	{"of two processes that take an expired lease exactly one wins", inTheStore + "replace the expired record only as it was when it was judged; the other is answered with ErrLeaseHeld",
		func(e *env) { e.duels(takingTheExpired) }},
	{"a load beside the save of another process finds what was before or what is after", "publish data and fence in one atomic step of the store: LastVersion is never above what can be loaded, unless that is damaged",
		func(e *env) {
			e.duels(func(d *duel) {
				first, next := d.a.saves(snap(1, 1, "one")), snap(1, 2, "two")
				err := d.watch(d.saving(d.a, next), func(found *durable.Snapshot, err error) {
					d.b.found("LoadState beside a save", found, err)
					if found.Version == first.Version {
						d.b.same("LoadState beside a save", found, first, 1)
					} else {
						d.b.same("LoadState beside a save", found, next, 2)
					}
				})
				if err != nil {
					d.a.broken("SaveState of %s beside a load: %v", brief(next), err)
				}
			})
		}},
	{"a load beside the delete of another process finds the state or nothing", "remove data and fence in one atomic step of the store: half a delete is neither lost nor corrupt",
		func(e *env) {
			e.duels(func(d *duel) {
				first := d.a.saves(snap(1, 1, "one"))
				err := d.watch(func() error { return d.a.a.DeleteState(d.a.ctx, d.a.id) }, func(found *durable.Snapshot, err error) {
					if err != nil {
						d.b.answers("LoadState beside a delete", err, durable.ErrNotFound)
					} else {
						d.b.same("LoadState beside a delete", d.b.found("LoadState beside a delete", found, nil), first, 1)
					}
				})
				if err != nil {
					d.a.broken("DeleteState beside a load: %v", err)
				}
			})
		}},
}

// deleteAgainstClaim has one process delete what another one claims.
func deleteAgainstClaim(d *duel) {
	before := d.a.saves(snap(5, 1, "before"))
	errs := d.meet(func() error { return d.a.a.DeleteState(d.a.ctx, d.a.id) }, d.claiming(d.b, 9))
	if errs[1] != nil {
		d.b.broken("ClaimState with epoch 9 beside a delete, which makes the epoch 6: %v", errs[1])
	}
	err := d.a.save(snap(8, 2, "below the claim"))
	d.a.answers("SaveState below the claim", err, durable.ErrFenced)
	var fence *durable.Error
	if !errors.As(err, &fence) || fence.Version != 1 || fence.Epoch != 9 && (fence.Epoch != 10 || errs[0] != nil) {
		d.a.broken("after ClaimState with epoch 9 beside DeleteState (%v) the fence is another: %v", errs[0], err)
	}
	if errs[0] == nil {
		d.b.missing(durable.ErrNotFound, fence.Epoch, 1)
		return
	}
	d.a.answers("DeleteState beside a claim", errs[0], durable.ErrConflict)
	d.b.holds(before)
}

// takingTheExpired has two processes take a lease, again and again until it expires.
func takingTheExpired(d *duel) {
	before := d.a.acquires(d.a.owner(), "before", 5*time.Millisecond)
	var leases [2]*durable.Lease
	var errs []error
	d.a.until("an expired lease was taken", func() bool {
		errs = d.meet(d.acquiring(d.a, "one", &leases[0]), d.acquiring(d.b, "another", &leases[1]))
		return !errors.Is(errs[0], durable.ErrLeaseHeld) || !errors.Is(errs[1], durable.ErrLeaseHeld)
	})
	won := leases[d.a.oneWinner(errs, durable.ErrLeaseHeld)]
	d.a.above(won, before)
	d.a.stored(d.a.owner(), won)
	d.b.stored(d.b.owner(), won)
}

// watch makes the call, and loads with the other adapter until it has returned. look
// is given what each load returned.
func (d *duel) watch(call func() error, look func(found *durable.Snapshot, err error)) error {
	type load struct {
		found *durable.Snapshot
		err   error
	}
	var loads []load
	var done atomic.Bool
	errs := race(2, func(i int) error {
		if i == 0 {
			defer done.Store(true)
			return call()
		}
		for ended := false; !ended; {
			ended = done.Load()
			s, err := d.b.a.LoadState(d.b.ctx, d.b.id)
			loads = append(loads, load{s, err})
		}
		return nil
	})
	for _, l := range loads {
		look(l.found, l.err)
	}
	return errs[0]
}
