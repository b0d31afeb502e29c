package durable

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

const (
	restoreParallel = 256                   // components at a time
	restoreGroup    = 64                    // of them that one goroutine takes over in one step
	groupTime       = 10 * time.Millisecond // after which others help it
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
// adapter has given already, nil for none.
func (c *Checkpointer) inGroups(calls *shifts, members []*member, epoch uint64, do func(i int, taken *Snapshot)) {
	t, ok := c.adapter.(taker)
	if !ok || c.owner == nil || c.opts.Spill != nil { // what was spilled comes before the claim
		inParallel(len(members), func(i int) { do(i, nil) })
		return
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, restoreParallel)
	for first := 0; first < len(members); first += restoreGroup {
		names := make([]string, min(restoreGroup, len(members)-first))
		for i := range names {
			names[i] = members[first+i].name
			slots <- struct{}{} // each its own: one that takes long holds up no group
		}
		wg.Go(func() {
			snaps := t.takeOver(calls.begin(time.Now()), names, epoch)
			inTurn(len(names), func(i int) {
				do(first+i, snaps[i])
				<-slots
			})
		})
	}
	wg.Wait()
}

// inParallel calls do for each of n.
func inParallel(n int, do func(i int)) {
	var wg sync.WaitGroup
	work := through(n, do)
	for range min(restoreParallel, n) {
		wg.Go(work)
	}
	wg.Wait()
}

// inTurn calls do for each of n in its caller's goroutine. When that takes long,
// because a component or the store does, every one that is left gets its own.
func inTurn(n int, do func(i int)) {
	var wg sync.WaitGroup
	work := through(n, do)
	wg.Add(1)
	help := time.AfterFunc(groupTime, func() {
		defer wg.Done()
		for range n - 1 {
			wg.Go(work)
		}
	})
	work()
	if help.Stop() {
		wg.Done()
	}
	wg.Wait()
}

// through returns what calls do for each of n that nobody else has begun.
func through(n int, do func(i int)) func() {
	var next atomic.Int64
	return func() {
		for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
			do(int(i))
		}
	}
}
