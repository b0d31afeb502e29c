package survey

import (
	"context"
	"sync"
)

const (
	parallel = 32
	budget   = 64 << 20 // bytes of state in memory at a time, if one alone is not more
	cautious = budget / 4
	smallest = 64 << 10
	enough   = 8 // states after which their size is taken to be known
)

// Each calls do for every id, many at a time, and stops at the first error or
// when ctx ends. do returns how many bytes it held: while states are large, fewer
// are read at a time. It must be safe for concurrent use.
func Each(ctx context.Context, ids []string, do func(ctx context.Context, i int) (int64, error)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	g := newGate()
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(parallel, len(ids)) {
		wg.Go(func() {
			for i := range next {
				weight := g.enter()
				n, err := do(ctx, i)
				g.leave(weight, n)
				if err != nil {
					cancel(err)
				}
			}
		})
	}
feed:
	for i := range ids {
		select {
		case next <- i:
		case <-ctx.Done():
			break feed
		}
	}
	close(next)
	wg.Wait()
	return context.Cause(ctx)
}

// A gate lets in as many as the memory suffices for, judged by the largest state
// seen so far. The first ones go in with caution.
type gate struct {
	mu      sync.Mutex
	room    sync.Cond
	inUse   int64
	largest int64
	seen    int
}

func newGate() *gate {
	g := &gate{largest: smallest}
	g.room.L = &g.mu
	return g
}

func (g *gate) weight() int64 {
	if g.seen < enough {
		return max(g.largest, cautious)
	}
	return g.largest
}

func (g *gate) enter() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.inUse > 0 && g.inUse+g.weight() > budget {
		g.room.Wait()
	}
	w := g.weight()
	g.inUse += w
	return w
}

func (g *gate) leave(weight, n int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inUse -= weight
	g.seen++
	g.largest = max(g.largest, n)
	g.room.Broadcast()
}
