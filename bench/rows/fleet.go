package rows

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/bench/state"
)

// A fleet is some components of one Checkpointer, restored and ready.
type fleet[T any] struct {
	cp    *durable.Checkpointer
	comps []*durable.StatefulComponent[T]
	touch func(*T)
}

// newFleet registers and restores n components under the name system. They are
// checkpointed when asked only.
func newFleet[T any](ctx context.Context, a durable.StateAdapter, system string, n int, initial func(i int) T, touch func(*T)) (*fleet[T], error) {
	f := &fleet[T]{touch: touch}
	f.cp = durable.New(a, &durable.Options{System: system, Interval: time.Hour, SaveTimeout: 5 * time.Minute, CloseTimeout: 5 * time.Minute, Logger: discard})
	for i := range n {
		c := durable.NewStatefulComponent(initial(i))
		if err := f.cp.Register(componentID(i), c); err != nil {
			return nil, err
		}
		f.comps = append(f.comps, c)
	}
	_, err := f.cp.Restore(ctx)
	return f, err
}

func componentID(i int) string { return fmt.Sprintf("component-%06d", i) }

// change changes every step-th component, beginning with a different one each
// time that from grows.
func (f *fleet[T]) change(from, step int) error {
	for i := from % step; i < len(f.comps); i += step {
		f.comps[i].Update(f.touch)
	}
	return nil
}

// every returns what changes every step-th component before a sample, each time
// from a different one on.
func every(step int, change func(from, step int) error) func() error {
	round := 0
	return func() error {
		round++
		return change(round, step)
	}
}

// checkpoint is a whole cycle: all that changed is durable when it returns.
func (f *fleet[T]) checkpoint(ctx context.Context) func() error {
	return func() error { return f.cp.Checkpoint(ctx) }
}

// commits changes and saves n times, one component after the other.
func (f *fleet[T]) commits(ctx context.Context, n int) func() error {
	next := 0
	return func() error {
		for range n {
			next++
			if err := f.comps[next%len(f.comps)].Commit(ctx, f.touch); err != nil {
				return err
			}
		}
		return nil
	}
}

func typedFleet(ctx context.Context, a durable.StateAdapter, system string, n, size int) (*fleet[state.State], error) {
	return newFleet(ctx, a, system, n, func(i int) state.State { return state.New(size, i) }, (*state.State).Touch)
}

func binaryFleet(ctx context.Context, a durable.StateAdapter, system string, n, size int) (*fleet[state.Binary], error) {
	return newFleet(ctx, a, system, n, func(i int) state.Binary { return state.Binary(state.New(size, i)) }, (*state.Binary).Touch)
}

func mapFleet(ctx context.Context, a durable.StateAdapter, system string, n, size int) (*fleet[state.Map], error) {
	return newFleet(ctx, a, system, n, func(i int) state.Map { return state.NewMap(size, i) }, func(m *state.Map) { state.TouchMap(*m) })
}

// A raw state is bytes that need no encoding. What is measured with it is
// transport and storage alone.
type raw struct{ data []byte }

func newRaw(size, seed int) raw { return raw{value(size, seed)} }

// value returns size bytes that do not compress well.
func value(size, seed int) []byte {
	b := make([]byte, size)
	x := uint64(seed)*0x9e3779b97f4a7c15 + 1
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x)
	}
	return b
}

// bump changes a value.
func bump(b []byte) {
	for i := range b {
		if b[i]++; b[i] != 0 {
			return
		}
	}
}

func (r *raw) MarshalState() ([]byte, error)    { return slices.Clone(r.data), nil }
func (r *raw) UnmarshalState(data []byte) error { r.data = slices.Clone(data); return nil }

func rawFleet(ctx context.Context, a durable.StateAdapter, system string, n, size int) (*fleet[raw], error) {
	return newFleet(ctx, a, system, n, func(i int) raw { return newRaw(size, i) }, func(r *raw) { bump(r.data) })
}
