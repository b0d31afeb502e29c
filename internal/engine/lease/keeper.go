package lease

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/durablestate/durable/internal/engine/backend"
	"github.com/durablestate/durable/internal/engine/report"
	"github.com/durablestate/durable/internal/engine/wait"
	"github.com/durablestate/durable/internal/store"
)

// pollHeld is how often another's lease is asked for: a hand-over should be quick.
const pollHeld = 200 * time.Millisecond

// Config is what a Keeper is made of.
type Config struct {
	Owner        backend.Owner
	Name, Holder string
	TTL          time.Duration
	Timeout      time.Duration // of one call
	Words        backend.Words
	Log          *slog.Logger
	Events       *report.Events
	Routines     *wait.Routines
	Closing      context.Context                  // ends when Close begins, which calls Keep from then on
	OnWait       func(err error)                  // what Take waits for
	GoOn         func(id string, err error) error // nil for what is done below the configured durability
	OnLost       func(epoch uint64, err error)    // the lease of that epoch is another's now
}

// Keeper holds a lease and renews it at a third of its TTL; a renewal that could
// not reach the store is tried again soon, so that a store that was away for less
// than the TTL costs no healthy owner its lease. The lease is for
// order, not for safety: whoever has been superseded is refused by the fence,
// whether or not the Keeper has noticed. It is safe for concurrent use.
//
//	state   lease  lost   left by
//	none    nil    nil    Take: held
//	held    set    nil    Drop, Release: none; a renewal that is refused: lost
//	lost    nil    why    Take: held
type Keeper struct {
	Config
	suspect chan struct{} // asks for a renewal now

	mu       sync.Mutex
	lease    *store.Lease
	prev     *store.Lease // what was there before the first of the leases in a row that are this process's
	last     uint64       // epoch of the latest of them
	lost     error
	vain     error // why the lease that is held cannot be renewed, if waiting will not help
	renewing bool  // the goroutine runs

	extended atomic.Pointer[time.Time] // when the lease was last extended; nil after a failure
}

// NewKeeper returns a Keeper that holds nothing yet.
func NewKeeper(c Config) *Keeper {
	return &Keeper{Config: c, suspect: make(chan struct{}, 1)}
}

func (k *Keeper) Take(ctx context.Context) (uint64, *store.Lease, error) {
	if held := k.held(); held != nil {
		return held.Epoch, k.before(), nil
	}
	waiting := func(err error) { k.OnWait(k.Words.Fail("restore", "", k.explain(err))) }
	for {
		var l, prev *store.Lease
		var held error
		err := wait.ForAnswer(ctx, waiting, func() (err error) {
			if l, prev, err = k.acquire(ctx); errors.Is(err, store.ErrLeaseHeld) {
				held, err = err, nil
			}
			return err
		})
		switch {
		case held != nil:
			waiting(held)
			if wait.Sleep(ctx, wait.Jitter(pollHeld/2, pollHeld)) {
				continue
			}
			err = held
		case err == nil:
			k.hold(l, prev)
			return l.Epoch, k.before(), nil
		case store.IsAnswer(err):
			return 0, nil, k.Words.Fail("restore", "", err)
		}
		if err = k.explain(err); !errors.Is(err, ctx.Err()) {
			err = fmt.Errorf("%w, until %w", err, ctx.Err())
		}
		return 0, nil, k.Words.Fault("restore", "", err)
	}
}

// explain adds the remedy for two programs that never meant to share a lease.
func (k *Keeper) explain(err error) error {
	if errors.Is(err, store.ErrLeaseHeld) && k.Name == "" {
		return fmt.Errorf("%w; if that is another program, give each a system of its own", err)
	}
	return err
}

func (k *Keeper) acquire(ctx context.Context) (l, prev *store.Lease, err error) {
	ctx, cancel := context.WithTimeout(ctx, k.Timeout)
	defer cancel()
	if prev, err = k.Owner.LoadLease(ctx, k.Name); err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, nil, err
	}
	l, err = k.Owner.AcquireLease(ctx, k.Name, k.Holder, k.TTL)
	if l == nil && err != nil && store.IsStored(err) { // an adapter that returns nothing beside an error
		if l, _ = k.Owner.LoadLease(ctx, k.Name); l == nil || l.Holder != k.Holder || l.Released {
			return nil, nil, fmt.Errorf("the lease was taken and is gone: %v", err)
		}
	}
	return l, prev, k.GoOn(leaseID, err)
}

// leaseID stands for the lease among what may be below the configured durability.
const leaseID = "~lease"

func (k *Keeper) hold(l, prev *store.Lease) {
	now := time.Now()
	k.mu.Lock()
	if prev == nil || prev.Epoch != k.last { // else it is one that this process gave up for a new one
		k.prev = prev
	}
	k.last = l.Epoch
	k.lease, k.lost = l, nil
	k.extended.Store(&now)
	if !k.renewing {
		k.renewing = k.Routines.Go(k.run)
	}
	k.mu.Unlock()
	k.Events.Emit(report.Event{Op: "lease", Version: l.Epoch})
}

// held returns the lease, nil for none.
func (k *Keeper) held() *store.Lease {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.lease
}

// before returns the record that preceded the leases of this process.
func (k *Keeper) before() *store.Lease {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.prev
}

// drop forgets the lease and returns it.
func (k *Keeper) drop() (held *store.Lease) {
	k.mu.Lock()
	defer k.mu.Unlock()
	held, k.lease = k.lease, nil
	return held
}

func (k *Keeper) Drop() { k.drop() }

func (k *Keeper) Claim(ctx context.Context, name string, epoch uint64) error {
	return store.Outclaimed(k.Owner.Claim(ctx, name, epoch))
}

func (k *Keeper) Grouped() bool                   { return true }
func (k *Keeper) EpochFor(taken, _ uint64) uint64 { return taken }

// Superseded leaves conflicts out: an owner continues above any version it meets.
func (k *Keeper) Superseded(err error) bool { return errors.Is(err, store.ErrFenced) }

func (k *Keeper) Lost() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.lost != nil:
		return k.lost
	case k.lease == nil:
		return k.Words.Fault("health", "", store.ErrNotRestored)
	}
	return k.vain
}

// Suspect asks for a renewal soon.
func (k *Keeper) Suspect() {
	select {
	case k.suspect <- struct{}{}:
	default:
	}
}

// period is the time between renewals.
func (k *Keeper) period() time.Duration { return max(k.TTL/3, time.Millisecond) }

// again is the time to the next renewal after one that began at start and failed
// or not.
func (k *Keeper) again(start time.Time, failed bool) time.Duration {
	if failed {
		return wait.Jitter(k.period()/16, k.period()/8)
	}
	return k.period() - time.Since(start)
}

func (k *Keeper) run() {
	t := time.NewTimer(k.period())
	defer t.Stop()
	for {
		select {
		case <-k.Closing.Done():
			return
		case <-t.C:
		case <-k.suspect:
		}
		start := time.Now()
		t.Reset(k.again(start, k.renew(k.Closing) != nil))
	}
}

func (k *Keeper) Keep(ctx context.Context) {
	for next := k.period(); wait.Sleep(ctx, next); {
		start := time.Now()
		next = k.again(start, k.renew(ctx) != nil)
	}
}

// renew extends the lease. A failure to reach the store changes nothing: nobody
// else may have taken it, and if somebody has, the fence decides. Where no lease
// is left there is no error.
func (k *Keeper) renew(ctx context.Context) error {
	held := k.held()
	if held == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, max(k.TTL/3, time.Second))
	defer cancel()
	start := time.Now()
	renewed, err := k.Owner.RenewLease(ctx, held)
	err = k.GoOn(leaseID, err)
	k.extended.Store(nil)
	if err == nil {
		k.extended.Store(&start)
	}
	if ctx.Err() == nil || err == nil {
		k.Events.Emit(report.Event{Op: "lease", Version: held.Epoch, Duration: time.Since(start), Err: err})
	}
	fenced := errors.Is(err, store.ErrFenced)
	k.mu.Lock()
	current := k.lease == held // Restore may have taken a new one meanwhile
	if k.vain = nil; err != nil && store.IsAnswer(err) {
		k.vain = err
	}
	switch {
	case current && err == nil:
		k.lease = renewed
	case current && fenced:
		k.lease, k.lost = nil, err
	}
	k.mu.Unlock()
	if current && fenced {
		k.OnLost(held.Epoch, err)
	}
	if fenced {
		return nil
	}
	return err
}

// Renewed reports that the lease was extended lately, and not in vain since.
func (k *Keeper) Renewed(now time.Time) bool {
	last := k.extended.Load()
	return last != nil && now.Sub(*last) < k.TTL
}

// quickEnd is what is left of a lease that is given up without an orderly end.
const quickEnd = time.Second

// Release marks the lease as released, or, when not all is saved, lets it expire soon:
// a released one tells the next owner of a clean end.
func (k *Keeper) Release(ctx context.Context, clean bool) error {
	held := k.drop()
	if held == nil {
		return nil
	}
	if clean {
		_, err := k.Owner.ReleaseLease(ctx, held)
		return k.GoOn(leaseID, err)
	}
	short := *held
	short.TTL = min(held.TTL, quickEnd)
	_, err := k.Owner.RenewLease(ctx, &short)
	return k.GoOn(leaseID, err)
}
