// Package crashloop counts the starts in a row that came to no good end.
package crashloop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/durablestate/durable/internal/engine/backend"
	"github.com/durablestate/durable/internal/engine/lease"
	"github.com/durablestate/durable/internal/engine/wait"
	"github.com/durablestate/durable/internal/store"
)

// healthyIntervals is for how many intervals a process runs after a good start.
const healthyIntervals = 3

// Config is what a Counter is made of.
type Config struct {
	States    backend.States
	Ownership lease.Ownership
	Name      string        // full name of the state that holds the count
	Limit     int           // of starts without a good end; 0: nothing is counted
	Interval  time.Duration // between checkpoints
	Timeout   time.Duration // of one attempt
	Words     backend.Words
	Log       *slog.Logger
	OnWait    func(err error) // what Count waits for
	GoOn      func(id string, err error) error
}

// Counter counts the starts in a row that ended neither with Close nor after a few
// intervals of work. A state that restores and then brings the process down shows
// itself that way. The count is a small state of its own, written under the lease
// before any component is restored, so that also a component that dies of its
// state while it is restored is counted. It is safe for concurrent use.
//
//	state    on the store   left by
//	new      before         Count: counted, or refused and still new
//	counted  before + 1     Settle(good): settled at 0; Settle(not good): settled at before
//	settled  0 or before
type Counter struct {
	Config

	turn    chan struct{} // held by who uses what follows, also while he asks the store
	counted bool
	settled bool
	epoch   uint64 // under which this start was counted
	loaded  bool   // before is known
	before  int    // starts in a row without a good end, before this one
}

// New returns a Counter that has not counted this start.
func New(c Config) *Counter { return &Counter{Config: c, turn: make(chan struct{}, 1)} }

// take waits for the turn of ctx's caller.
func (c *Counter) take(ctx context.Context) error {
	select {
	case c.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Counter) yield() { <-c.turn }

type count struct{ Starts int }

// Off reports that nothing is counted.
func (c *Counter) Off() bool { return c.Limit == 0 }

// Count counts this start, once, and returns how many before it came to no good
// end. Above the limit that is an error and nothing is counted. It tries again
// while the store cannot be reached and ctx lasts.
func (c *Counter) Count(ctx context.Context, epoch uint64) (int, error) {
	if c.Off() {
		return 0, nil
	}
	if err := c.take(ctx); err != nil {
		return 0, c.fault(err)
	}
	defer c.yield()
	if c.counted {
		return c.before, nil
	}
	err := wait.ForAnswer(ctx, func(err error) { c.OnWait(c.fault(err)) }, func() error {
		err := c.countOnce(ctx, epoch)
		c.loaded = c.loaded && !errors.Is(err, store.ErrOutclaimed)
		return err
	})
	switch {
	case err == nil:
		return c.before, c.judge()
	case store.IsAnswer(err):
		return 0, c.Words.Fail("restore", store.StartsID, err)
	}
	return 0, c.fault(err)
}

func (c *Counter) fault(err error) error { return c.Words.Fault("restore", store.StartsID, err) }

// countOnce takes the count over and writes it, unless this start is refused.
func (c *Counter) countOnce(ctx context.Context, epoch uint64) error {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	if err := c.GoOn(store.StartsID, c.Ownership.Claim(ctx, c.Name, epoch)); err != nil {
		return err
	}
	if !c.loaded { // a save that failed may have been stored
		before, err := c.load(ctx)
		if err != nil {
			return err
		}
		c.before, c.loaded = before, true
	}
	if c.before > c.Limit {
		return nil
	}
	c.epoch = epoch
	err := c.save(ctx, c.before+1)
	c.counted = err == nil
	return store.Outclaimed(err)
}

// judge refuses to start once more when that has gone wrong too often.
func (c *Counter) judge() error {
	if c.before > 0 {
		c.Log.Warn("durable: earlier starts ended neither with Close nor after a while of work; look for why they died", "starts", c.before)
	}
	if c.counted {
		return nil
	}
	return c.Words.Fault("restore", "", fmt.Errorf("the last %d starts ended neither with Close nor after %d intervals of work, and MaxCrashRestarts is %d: "+
		"the state may be what brings the process down; roll it back or run a program that can read it, then delete the state %q, or raise max_crash_restarts for one start",
		c.before, healthyIntervals, c.Limit, c.Name))
}

// load returns the stored count; nobody misses one that expired or is of no use: 0.
func (c *Counter) load(ctx context.Context) (int, error) {
	snap, err := c.States.Load(ctx, c.Name)
	var n count
	if err == nil {
		err = json.Unmarshal(snap.Data, &n)
	} else if store.OutcomeOf(err) == store.Unreachable {
		return 0, err
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		c.Log.Warn("durable: the count of starts cannot be used; counting from 0", "id", c.Name, "error", err)
	}
	return max(0, n.Starts), nil
}

func (c *Counter) save(ctx context.Context, n int) error {
	data, _ := json.Marshal(count{n}) // a number can always be encoded
	return c.GoOn(store.StartsID, c.States.Save(ctx, c.Name, &store.Snapshot{Epoch: c.epoch, Codec: "json", Data: data}))
}

// Settle writes what becomes of the count: 0 after a good end, and what it was
// when the state was not restored. It tries again until ctx ends; then this start
// will be taken for one that ended badly.
func (c *Counter) Settle(ctx context.Context, good bool) {
	if c.Off() {
		return
	}
	_ = wait.ForAnswer(ctx, func(error) {}, func() error { return c.settle(ctx, good) })
}

func (c *Counter) settle(ctx context.Context, good bool) error {
	if err := c.take(ctx); err != nil {
		return err
	}
	defer c.yield()
	if !c.counted || c.settled {
		return nil
	}
	n := c.before
	if good {
		n = 0
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	err := c.save(ctx, n)
	if errors.Is(err, store.ErrFenced) {
		err = nil // it is the successor who counts
	}
	c.settled = err == nil
	return err
}

// ProveHealthy settles the count once the process has worked for long enough.
func (c *Counter) ProveHealthy(ctx context.Context) {
	if wait.Sleep(ctx, healthyIntervals*c.Interval) {
		c.Settle(ctx, true)
	}
}
