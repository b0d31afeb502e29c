package durable

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// keeper holds the lease of a Checkpointer and renews it at a third of its TTL.
// The lease is for order, not for safety: whoever has been superseded is refused
// by the fence, whether or not the keeper has noticed.
type keeper struct {
	c     *Checkpointer
	owner Owner
	name  string
	poke  chan struct{} // asks for a renewal now

	mu    sync.Mutex
	lease *Lease // nil: none is held
	gone  error  // why it was lost
	runs  bool

	made time.Time
	last atomic.Int64 // how long after made it was last extended; negative after a failure
}

func newKeeper(c *Checkpointer) *keeper {
	name := c.opts.System
	if c.opts.Replica != "" {
		name += "/" + c.opts.Replica
	}
	return &keeper{c: c, owner: c.owner, name: name, poke: make(chan struct{}, 1), made: time.Now()}
}

// take returns the lease, and the record before it when it was just acquired.
// It waits while another holder has it or the store cannot be reached.
func (k *keeper) take(ctx context.Context) (*Lease, *Lease, error) {
	k.mu.Lock()
	held := k.lease
	k.mu.Unlock()
	if held != nil {
		return held, nil, nil
	}
	wait := newBackoff(maxStoreBackoff)
	for said := ""; ; {
		l, prev, err := k.acquire(ctx)
		if err == nil {
			k.hold(l)
			return l, prev, nil
		}
		if definite(err) && !errors.Is(err, ErrLeaseHeld) {
			return nil, nil, err
		}
		k.c.waitFor(k.explain(err))
		if kind := waitingFor(err); kind != said {
			said = kind
			k.c.log.Info("durable: waiting for "+kind, "lease", k.name, "error", err)
		}
		if !k.pause(ctx, wait, err) {
			return nil, nil, &Error{Op: "restore", Err: fmt.Errorf("%w, until %w", k.explain(err), ctx.Err())}
		}
	}
}

func (k *keeper) pause(ctx context.Context, wait *backoff, err error) bool {
	if errors.Is(err, ErrLeaseHeld) {
		return sleep(ctx, jitter(pollLease/2, pollLease))
	}
	return wait.sleep(ctx)
}

func waitingFor(err error) string {
	if errors.Is(err, ErrLeaseHeld) {
		return "the lease"
	}
	return "the store"
}

// explain adds the remedy for two programs that never meant to share a lease.
func (k *keeper) explain(err error) error {
	if errors.Is(err, ErrLeaseHeld) && k.name == "" {
		return fmt.Errorf("%w; if that is another program, give each a system of its own", err)
	}
	return err
}

func (k *keeper) acquire(ctx context.Context) (l, prev *Lease, err error) {
	ctx, cancel := context.WithTimeout(ctx, k.c.opts.SaveTimeout)
	defer cancel()
	if prev, err = k.owner.LoadLease(ctx, k.name); err != nil && !errors.Is(err, ErrNotFound) {
		return nil, nil, err
	}
	l, err = k.owner.AcquireLease(ctx, k.name, k.c.opts.Holder, k.c.opts.LeaseTTL)
	return l, prev, err
}

func (k *keeper) hold(l *Lease) {
	k.mu.Lock()
	k.lease, k.gone = l, nil
	k.last.Store(int64(time.Since(k.made)))
	if !k.runs {
		k.runs = k.c.spawn(k.run)
	}
	k.mu.Unlock()
	k.c.event("lease", nil, l.Epoch, 0, time.Now(), nil)
}

// drop forgets the lease, so that the next take acquires a new one.
func (k *keeper) drop() {
	k.mu.Lock()
	k.lease = nil
	k.mu.Unlock()
}

// lost returns why the lease is not held any more, nil while it is.
func (k *keeper) lost() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.gone != nil:
		return k.gone
	case k.lease == nil:
		return &Error{Op: "health", Err: ErrNotRestored}
	}
	return nil
}

// check asks for a renewal soon: somebody met a greater epoch.
func (k *keeper) check() {
	select {
	case k.poke <- struct{}{}:
	default:
	}
}

// period is the time between renewals.
func (k *keeper) period() time.Duration { return max(k.c.opts.LeaseTTL/3, time.Millisecond) }

func (k *keeper) run() {
	t := time.NewTicker(k.period())
	defer t.Stop()
	for {
		select {
		case <-k.c.closing.Done():
			return // Close renews and releases it from here on
		case <-t.C:
		case <-k.poke:
		}
		k.renew(k.c.closing)
	}
}

// renew extends the lease. A failure to reach the store changes nothing: nobody
// else may have taken it, and if somebody has, the fence decides.
func (k *keeper) renew(ctx context.Context) {
	k.mu.Lock()
	held := k.lease
	k.mu.Unlock()
	if held == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, max(k.c.opts.LeaseTTL/3, time.Second))
	defer cancel()
	l, start := *held, time.Now()
	err := k.owner.RenewLease(ctx, &l)
	k.last.Store(-1)
	if err == nil {
		k.last.Store(int64(start.Sub(k.made)))
	}
	if ctx.Err() == nil || err == nil {
		k.c.event("lease", nil, l.Epoch, 0, start, err)
	}
	k.mu.Lock()
	current := k.lease == held // Restore may have taken a new one meanwhile
	if current && err == nil {
		k.lease = &l
	}
	if current && errors.Is(err, ErrFenced) {
		k.lease, k.gone = nil, err
	}
	k.mu.Unlock()
	if current && errors.Is(err, ErrFenced) {
		k.c.superseded(held.Epoch, err)
	}
}

// superseded stops all saves up to epoch: another owner has the lease. What a
// Restore has opened under a newer lease meanwhile goes on.
func (c *Checkpointer) superseded(epoch uint64, err error) {
	c.log.Error("durable: another owner has taken over; nothing is saved any more until restored", "error", err)
	for _, m := range c.savers() {
		m.mu.Lock()
		if m.phase == phaseOpen && m.stored.epoch <= epoch {
			m.enter(phaseShut, &Error{Op: "save", ComponentID: m.id(), Err: err})
		}
		m.mu.Unlock()
	}
	c.event("fence", nil, 0, 0, time.Now(), err)
}

// renewed reports that the lease was extended lately, and not in vain since.
func (k *keeper) renewed(now time.Time) bool {
	last := time.Duration(k.last.Load())
	return last >= 0 && now.Sub(k.made)-last < k.c.opts.LeaseTTL
}

// release ends the lease in an orderly way.
func (k *keeper) release(ctx context.Context) error {
	k.mu.Lock()
	held := k.lease
	k.lease = nil
	k.mu.Unlock()
	if held == nil {
		return nil
	}
	l := *held
	return k.owner.ReleaseLease(ctx, &l)
}
