package durable

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

const (
	restoreParallel = 256 // components at a time
	restoreGroup    = 64  // components that are taken over in one step
	restoreSteps    = 4   // of these at a time
)

// A taker is an adapter that can claim and load many components in one step. It is
// not found through wrappers: they may make something of what they load.
type taker interface {
	// takeOver returns the newest snapshots of the components that it could claim
	// and load, and nil for those about which ClaimState or LoadState has more to
	// say. The caller owns the result.
	takeOver(ctx context.Context, names []string, epoch uint64) []*Snapshot
}

// inGroups calls do for each of members, in parallel, with the snapshot that the
// adapter has given already, nil for none. One whose do takes long has one of the
// places to itself and holds up nobody else.
func (c *Checkpointer) inGroups(calls *shifts, members []*member, epoch uint64, do func(i int, taken *Snapshot)) {
	t, ok := c.adapter.(taker)
	if !ok || c.owner == nil || c.opts.Spill != nil { // what was spilled comes before the claim
		inParallel(len(members), restoreParallel, func(i int) { do(i, nil) })
		return
	}
	type taken struct {
		i    int
		snap *Snapshot
	}
	loaded := make(chan taken)
	var wg sync.WaitGroup
	for range min(restoreParallel, len(members)) {
		wg.Go(func() {
			for m := range loaded {
				do(m.i, m.snap)
			}
		})
	}
	steps := (len(members) + restoreGroup - 1) / restoreGroup
	inParallel(steps, restoreSteps, func(step int) {
		first := step * restoreGroup
		names := make([]string, min(restoreGroup, len(members)-first))
		for i := range names {
			names[i] = members[first+i].name
		}
		for i, snap := range t.takeOver(calls.begin(time.Now()), names, epoch) {
			loaded <- taken{first + i, snap}
		}
	})
	close(loaded)
	wg.Wait()
}

// inParallel calls do for each of n, for at most so many at a time.
func inParallel(n, most int, do func(i int)) {
	var wg sync.WaitGroup
	var next atomic.Int64
	for range min(most, n) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				do(int(i))
			}
		})
	}
	wg.Wait()
}
