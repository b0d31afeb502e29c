// Package barrier holds up any number of units of work for a moment in which
// none of them is under way. Entering and leaving cost some nanoseconds and
// share no memory between processors; the moment is what is expensive.
package barrier

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
)

// Barrier is open until Close. All methods are safe for concurrent use. Create
// one with New.
type Barrier struct {
	shards []shard
	next   atomic.Uint32
	near   sync.Pool // of *shard: one that this processor used last
	gate   atomic.Pointer[gate]
	turn   chan struct{} // held from Close to Open
	last   *gate         // of the Close before; owned by who has the turn
}

// A shard counts the units of work that entered through it.
type shard struct {
	inside atomic.Int64
	b      *Barrier
	_      [112]byte // two cache lines: neighbours are fetched together
}

// A gate is one Close.
type gate struct {
	left    chan struct{} // somebody left
	opened  chan struct{} // closed by Open
	waiting atomic.Int64  // units that this gate held up and that have not entered yet
}

// New returns an open Barrier.
func New() *Barrier {
	b := &Barrier{shards: make([]shard, 4*runtime.GOMAXPROCS(0)), turn: make(chan struct{}, 1)}
	for i := range b.shards {
		b.shards[i].b = b
	}
	b.near.New = func() any { return &b.shards[int(b.next.Add(1))%len(b.shards)] }
	b.last = newGate()
	return b
}

func newGate() *gate {
	return &gate{left: make(chan struct{}, 1), opened: make(chan struct{})}
}

// A Pass is what Enter returns. Leave it once, from any goroutine.
type Pass = *shard

// Enter returns when the barrier is open. It must not be called by a unit of
// work that has entered already: a Close that comes in between would wait for
// both.
func (b *Barrier) Enter() Pass {
	s := b.near.Get().(*shard)
	b.near.Put(s)
	s.inside.Add(1)
	if b.gate.Load() != nil { // after the Add: Close looks in the opposite order
		b.wait(s)
	}
	return s
}

// wait takes its entry back and enters when the gate has opened.
func (b *Barrier) wait(s *shard) {
	for g := b.gate.Load(); g != nil; {
		g.waiting.Add(1)
		s.Leave()
		<-g.opened
		s.inside.Add(1)
		next := b.gate.Load()
		if g.waiting.Add(-1) == 0 {
			g.wake()
		}
		g = next
	}
}

// Leave ends a unit of work.
func (s *shard) Leave() {
	s.inside.Add(-1)
	if g := s.b.gate.Load(); g != nil {
		g.wake()
	}
}

func (g *gate) wake() {
	select {
	case g.left <- struct{}{}:
	default:
	}
}

// Close holds up whoever enters from now on and returns when nobody is inside.
// Those whom the Close before held up enter first, so that neither side starves
// the other. If ctx ends before, the barrier is open again and the error is that
// of ctx. Another Close waits until Open.
func (b *Barrier) Close(ctx context.Context) error {
	select {
	case b.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := b.last.until(ctx, &b.last.waiting); err != nil {
		<-b.turn
		return err
	}
	g := newGate()
	b.gate.Store(g)
	for i := range b.shards {
		// Once nobody is inside, only those come that leave again at the gate.
		if err := g.until(ctx, &b.shards[i].inside); err != nil {
			b.Open()
			return err
		}
	}
	return nil
}

// until waits for n to be 0.
func (g *gate) until(ctx context.Context, n *atomic.Int64) error {
	for n.Load() != 0 {
		select {
		case <-g.left:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Open lets everybody in after a successful Close.
func (b *Barrier) Open() {
	b.last = b.gate.Swap(nil)
	close(b.last.opened)
	<-b.turn
}
