package adaptertest

import (
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/durablestate/durable"
)

const (
	fewestDuels = 12
	mostDuels   = 150
	racing      = 300 * time.Millisecond // of one rule; a third of it with -short
)

// inTheStore is what all of these rules come down to.
const inTheStore = "compare with what is stored and write in one atomic step of the store itself, such as a transaction, a script or a conditional write: " +
	"a lock in the adapter holds off no other process; "

// processRules race two adapters of one store, which stand for two processes.
var processRules = []rule{
	{"of two processes that save one version exactly one wins", inTheStore + "the other save is answered with ErrConflict",
		func(e *env) {
			e.duels(func(d *duel) {
				x, y := snap(1, 1, "of one process"), snap(1, 1, "of another one")
				errs := d.meet(d.saving(d.a, x), d.saving(d.b, y))
				won := []*durable.Snapshot{x, y}[d.a.oneWinner(errs, durable.ErrConflict)]
				d.a.holds(won)
				d.b.holds(won)
			})
		}},
	{"two processes that leave the version open lose no save", inTheStore + "where another save was quicker, read the fence again and retry",
		func(e *env) {
			e.duels(func(d *duel) {
				errs := d.meet(d.saving(d.a, snap(0, 0, "of one process")), d.saving(d.b, snap(0, 0, "of another one")))
				if err := errors.Join(errs...); err != nil {
					d.a.broken("SaveState with Version 0: %v", err)
				}
				d.a.isAt(0, 2)
			})
		}},
	{"a repeat in one process does not undo the save of another", inTheStore + "a repeat changes nothing but the TTL",
		func(e *env) {
			e.duels(func(d *duel) {
				first := d.a.saves(snap(1, 1, "one"))
				repeat, next := first, snap(1, 2, "two")
				if d.n%4 > 1 {
					repeat = refresh(first)
				}
				errs := d.meet(d.saving(d.a, repeat), d.saving(d.b, next))
				if errs[0] != nil {
					d.a.answers("a repeat beside a newer save", errs[0], durable.ErrConflict)
				}
				if errs[1] != nil {
					d.b.broken("SaveState of %s beside a repeat: %v", brief(next), errs[1])
				}
				d.a.holds(next)
			})
		}},
	{"a claim by one process fences the save of another that is in flight", inTheStore + "a save is either stored when ClaimState returns, or refused with ErrFenced",
		func(e *env) { e.duels(claimAgainstSave) }},
	{"of two claims the higher one stays", inTheStore + "a claim never lowers the fence",
		func(e *env) {
			e.duels(func(d *duel) {
				errs := d.meet(d.claiming(d.a, 6), d.claiming(d.b, 7))
				if errs[1] != nil {
					d.b.broken("ClaimState with epoch 7 beside one with 6: %v", errs[1])
				}
				if errs[0] != nil {
					d.a.answers("ClaimState with epoch 6 beside one with 7", errs[0], durable.ErrFenced)
				}
				d.a.refuses(snap(6, 1, "of the lower claim"), durable.ErrFenced, 7, 0)
			})
		}},
	{"a delete by one process and a save by another leave one or the other", inTheStore + "the save is deleted, or refused with ErrFenced, or the delete is answered with ErrConflict",
		func(e *env) { e.duels(deleteAgainstSave) }},
	{"of two processes that acquire one lease exactly one wins", inTheStore + "the other is answered with ErrLeaseHeld",
		func(e *env) {
			e.duels(func(d *duel) {
				if d.n%4 > 1 { // a record is there already
					d.a.releases(d.a.owner(), d.a.acquires(d.a.owner(), "before", long))
				}
				var leases [2]*durable.Lease
				errs := d.meet(d.acquiring(d.a, "one", &leases[0]), d.acquiring(d.b, "another", &leases[1]))
				won := leases[d.a.oneWinner(errs, durable.ErrLeaseHeld)]
				d.a.stored(d.a.owner(), won)
				d.b.stored(d.b.owner(), won)
			})
		}},
	{"two processes of one holder never have the same epoch", inTheStore + "the epoch is taken from the record that is replaced",
		func(e *env) {
			e.duels(func(d *duel) {
				var leases [2]*durable.Lease
				errs := d.meet(d.acquiring(d.a, "one", &leases[0]), d.acquiring(d.b, "one", &leases[1]))
				newest := leases[0]
				switch {
				case errs[0] != nil && errs[1] != nil:
					d.a.broken("neither got the lease: %v", errors.Join(errs...))
				case errs[0] == nil && errs[1] == nil && leases[0].Epoch == leases[1].Epoch:
					d.a.broken("epoch %d was handed out twice", leases[0].Epoch)
				case errs[0] != nil || errs[1] == nil && leases[1].Epoch > leases[0].Epoch:
					newest = leases[1]
				}
				d.a.stored(d.a.owner(), newest)
			})
		}},
	{"a renewal by one process does not undo the takeover by another", inTheStore + "a renewal of a superseded lease is answered with ErrFenced",
		func(e *env) {
			e.duels(takeoverAgainst("RenewLease", func(o durable.Owner, e *env, l *durable.Lease) error { return o.RenewLease(e.ctx, l) }))
		}},
	{"a release by one process does not undo the takeover by another", inTheStore + "a release of a superseded lease is answered with ErrFenced",
		func(e *env) {
			e.duels(takeoverAgainst("ReleaseLease", func(o durable.Owner, e *env, l *durable.Lease) error { return o.ReleaseLease(e.ctx, l) }))
		}},
}

// claimAgainstSave has one process claim and load while another one saves. What
// was loaded after the claim must be what stays, and have every save that was
// acknowledged.
func claimAgainstSave(d *duel) {
	d.a.saves(snap(5, 1, "before"))
	owner := d.b.owner()
	var found *durable.Snapshot
	errs := d.meet(d.saving(d.a, snap(5, 2, "in flight")), func() (err error) {
		if err = owner.ClaimState(d.b.ctx, d.b.id, 6); err == nil {
			found, err = d.b.a.LoadState(d.b.ctx, d.b.id)
		}
		return err
	})
	d.b.found("ClaimState and LoadState beside a save", found, errs[1])
	switch {
	case errs[0] != nil: // also when it was stored, but fenced before its answer came
		d.a.answers("SaveState beside a claim", errs[0], durable.ErrFenced)
	case found.Version != 2:
		d.b.broken("version 2 was acknowledged, and whoever claimed the component found version %d", found.Version)
	}
	d.b.holds(found)
	d.a.refuses(snap(5, 3, "after the claim"), durable.ErrFenced, 6, found.Version)
}

// deleteAgainstSave has one process delete what another one saves.
func deleteAgainstSave(d *duel) {
	d.a.saves(snap(1, 1, "before"))
	save := snap(1, 2, "in flight")
	errs := d.meet(d.saving(d.a, save), func() error { return d.b.a.DeleteState(d.b.ctx, d.b.id) })
	if errs[0] != nil {
		d.a.answers("SaveState beside a delete", errs[0], durable.ErrFenced)
	}
	if errs[1] != nil {
		d.b.answers("DeleteState beside a save", errs[1], durable.ErrConflict)
		if errs[0] != nil {
			d.b.broken("both were refused: %v", errors.Join(errs...))
		}
		d.b.holds(save)
		return
	}
	version := uint64(2)
	if _, err := d.b.a.LoadState(d.b.ctx, d.b.id); errs[0] != nil { // it may be stored and deleted nevertheless
		var answer *durable.Error
		if errors.As(err, &answer) && answer.Version == 1 {
			version = 1
		}
	}
	d.a.missing(durable.ErrNotFound, 2, version)
	d.b.missing(durable.ErrNotFound, 2, version)
	d.a.refuses(snap(1, 3, "after the delete"), durable.ErrFenced, 2, version)
}

// takeoverAgainst has a process with the name of the holder take the lease while
// the holder does something with it.
func takeoverAgainst(call string, do func(durable.Owner, *env, *durable.Lease) error) func(d *duel) {
	return func(d *duel) {
		a, b := d.a.owner(), d.b.owner()
		first := d.a.acquires(a, "one", long)
		old, again := *first, *first
		var second *durable.Lease
		errs := d.meet(func() error { return do(a, d.a, &old) }, d.acquiring(d.b, "one", &second))
		if errs[0] != nil {
			d.a.answers(call+" beside a takeover", errs[0], durable.ErrFenced)
		}
		if errs[1] != nil {
			d.b.broken("AcquireLease for the same holder beside %s: %v", call, errs[1])
		}
		d.b.above(second, first)
		d.a.stored(a, second)
		d.b.stored(b, second)
		d.a.answers(call+" after a takeover", do(a, d.a, &again), durable.ErrFenced)
		d.b.stored(b, second)
	}
}

// A duel is one round of two adapters of one store, a and b, for a component or
// lease that no other round has.
type duel struct {
	a, b   *env
	n      int // of the round
	lasted time.Duration
}

// duels opens a second adapter and has the two meet again and again. Which of
// them is a changes from round to round.
func (e *env) duels(round func(d *duel)) {
	e.Helper()
	other, limit := e.reopen(), racing
	if testing.Short() {
		limit /= 3
	}
	d := &duel{}
	for begin := time.Now(); d.n < fewestDuels || d.n < mostDuels && time.Since(begin) < limit; d.n++ {
		id := e.other(fmt.Sprintf("-%d", d.n))
		d.a, d.b = e.of(id), other.of(id)
		if d.n%2 == 1 {
			d.a, d.b = d.b, d.a
		}
		round(d)
	}
}

// steps is in how many steps a meeting is shifted: not at all, then by so little and
// each time twice as much, up to as long as a call takes.
const steps = 8

// meet calls both at the same time and returns what they returned. From round to
// round one of them begins a little later, up to as long as such a call takes:
// whatever the one does in two steps, in some round the other comes in between.
func (d *duel) meet(calls ...func() error) []error {
	late, lag := d.n/steps%2, d.lasted>>(steps-1-d.n%steps)
	if d.n%steps == 0 {
		lag = 0
	}
	took := make([]time.Duration, len(calls))
	errs := race(len(calls), func(i int) error {
		begin := time.Now()
		for i == late && time.Since(begin) < lag { // a sleep would be too coarse
			runtime.Gosched()
		}
		start := time.Now()
		err := calls[i]()
		took[i] = time.Since(start)
		return err
	})
	d.lasted = max(took[0], took[1])
	return errs
}

func (d *duel) saving(e *env, s *durable.Snapshot) func() error {
	return func() error { return e.save(s) }
}

func (d *duel) claiming(e *env, epoch uint64) func() error {
	o := e.owner()
	return func() error { return o.ClaimState(e.ctx, e.id, epoch) }
}

func (d *duel) acquiring(e *env, holder string, l **durable.Lease) func() error {
	o := e.owner()
	return func() (err error) {
		*l, err = o.AcquireLease(e.ctx, e.id, holder, long)
		return err
	}
}
