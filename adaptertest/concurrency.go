package adaptertest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/durablestate/durable"
)

const writers = 8

var concurrencyRules = []rule{
	{"of many writers of one version exactly one wins",
		"compare with the fence and write in one atomic step",
		func(e *env) {
			for v := uint64(1); v <= 10; v++ {
				tries := make([]*durable.Snapshot, writers)
				for i := range tries {
					tries[i] = snap(1, v, fmt.Sprintf("writer %d version %d", i, v))
				}
				errs := race(writers, func(i int) error { return e.save(tries[i]) })
				e.holds(tries[e.oneWinner(errs, durable.ErrConflict)])
			}
		}},
	{"writers that leave the version open all succeed, each with its own version",
		"when a filled-in version is refused because another writer was quicker, read the fence again and retry until ctx ends",
		func(e *env) {
			const saves = 5
			errs := race(writers, func(i int) error {
				for n := range saves {
					if err := e.save(snap(0, 0, fmt.Sprintf("writer %d save %d", i, n))); err != nil {
						return err
					}
				}
				return nil
			})
			for _, err := range errs {
				if err != nil {
					e.broken("SaveState with Version 0: %v", err)
				}
			}
			e.isAt(0, writers*saves)
		}},
	{"concurrent repeats of one save all succeed and write once",
		"judge and write in one atomic step, so that one attempt writes and the others are repeats",
		func(e *env) {
			for v := uint64(1); v <= 5; v++ {
				s := snap(1, v, "the same")
				for _, err := range race(writers, func(int) error { return e.save(s) }) {
					if err != nil {
						e.broken("SaveState of %s: %v", brief(s), err)
					}
				}
				e.holds(s)
			}
		}},
	{"readers see whole states that never go backwards",
		"publish a save in one atomic step, after it is complete",
		func(e *env) {
			const last = 40
			e.saves(selfDescribing(1))
			var done atomic.Bool
			errs := race(4, func(i int) error {
				if i == 0 {
					defer done.Store(true)
					for v := uint64(2); v <= last; v++ {
						if err := e.save(selfDescribing(v)); err != nil {
							return err
						}
					}
					return nil
				}
				return e.follow(&done)
			})
			if err := errors.Join(errs...); err != nil {
				e.broken("%v", err)
			}
			e.holds(selfDescribing(last))
		}},
	{"components are saved independently",
		"no save of one component may refuse or change another",
		func(e *env) {
			errs := race(writers, func(i int) error {
				o := e.of(e.other(string(rune('a' + i))))
				for v := uint64(1); v <= 10; v++ {
					if err := o.save(snap(1, v, o.id)); err != nil {
						return err
					}
				}
				return nil
			})
			if err := errors.Join(errs...); err != nil {
				e.broken("SaveState: %v", err)
			}
			for i := range writers {
				o := e.of(e.other(string(rune('a' + i))))
				o.holds(snap(1, 10, o.id))
			}
		}},
	{"deletes and saves at the same time leave one or the other",
		"make DeleteState one atomic step: what is left is a whole state or none",
		func(e *env) {
			errs := race(writers, func(i int) error {
				for n := range 5 {
					if i%2 == 0 {
						if err := e.a.DeleteState(e.ctx, e.id); err != nil && !errors.Is(err, durable.ErrConflict) {
							return err
						}
					} else if err := e.save(snap(0, 0, fmt.Sprintf("whole %d %d", i, n))); err != nil {
						return err
					}
				}
				return nil
			})
			if err := errors.Join(errs...); err != nil {
				e.broken("%v", err)
			}
			s, err := e.a.LoadState(e.ctx, e.id)
			if err != nil {
				e.answers("LoadState", err, durable.ErrNotFound)
			} else if !strings.HasPrefix(string(s.Data), "whole ") {
				e.broken("LoadState returned %s", shorten(s.Data))
			}
			e.saves(snap(0, 0, "after"))
			if got := e.loads(); got.Version != writers/2*5+1 {
				e.broken("after %d saves the next one has version %d", writers/2*5, got.Version)
			}
		}},
	{"of many that acquire one lease exactly one wins",
		"compare with the stored record and replace it in one atomic step",
		func(e *env) {
			o := e.owner()
			leases := make([]*durable.Lease, writers)
			errs := race(writers, func(i int) (err error) {
				leases[i], err = o.AcquireLease(e.ctx, e.id, fmt.Sprintf("holder%d", i), long)
				return err
			})
			e.stored(o, leases[e.oneWinner(errs, durable.ErrLeaseHeld)])
		}},
	{"no two acquisitions have the same epoch",
		"compare with the stored record and replace it in one atomic step, also for the same holder",
		func(e *env) {
			o := e.owner()
			var mu sync.Mutex
			epochs := map[uint64]bool{}
			errs := race(writers, func(int) error {
				l, err := o.AcquireLease(e.ctx, e.id, "same holder", long)
				if err != nil {
					return nil // a loser of the race may be told so
				}
				mu.Lock()
				defer mu.Unlock()
				if epochs[l.Epoch] {
					return fmt.Errorf("epoch %d was handed out twice", l.Epoch)
				}
				epochs[l.Epoch] = true
				return nil
			})
			if err := errors.Join(errs...); err != nil || len(epochs) == 0 {
				e.broken("%d acquisitions: %v", len(epochs), err)
			}
		}},
}

// race calls f n times at once and returns what each call returned.
func race(n int, f func(i int) error) []error {
	errs := make([]error, n)
	var start, end sync.WaitGroup
	start.Add(1)
	for i := range n {
		end.Add(1)
		go func() {
			defer end.Done()
			start.Wait()
			errs[i] = f(i)
		}()
	}
	start.Done()
	end.Wait()
	return errs
}

// oneWinner returns which of errs is nil; all others must be want.
func (e *env) oneWinner(errs []error, want error) int {
	e.Helper()
	winner := -1
	for i, err := range errs {
		switch {
		case err == nil && winner >= 0:
			e.broken("calls %d and %d both succeeded", winner, i)
		case err == nil:
			winner = i
		default:
			e.answers("a call that lost", err, want)
		}
	}
	if winner < 0 {
		e.broken("none of %d calls succeeded", len(errs))
	}
	return winner
}

// selfDescribing returns a snapshot whose every part tells its version.
func selfDescribing(version uint64) *durable.Snapshot {
	return snap(1, version, strings.Repeat(fmt.Sprintf("%d;", version), 4000))
}

// follow loads until done and reports the first thing that is wrong.
func (e *env) follow(done *atomic.Bool) error {
	var before uint64
	for !done.Load() {
		s, err := e.a.LoadState(e.ctx, e.id)
		switch {
		case err != nil:
			return fmt.Errorf("LoadState during saves: %w", err)
		case s == nil:
			return errors.New("LoadState returned (nil, nil)")
		case string(s.Data) != string(selfDescribing(s.Version).Data):
			return fmt.Errorf("a reader saw a state of version %d that is not whole: %s", s.Version, shorten(s.Data))
		case s.Version < before:
			return fmt.Errorf("a reader saw version %d after %d", s.Version, before)
		}
		before = s.Version
	}
	return nil
}
