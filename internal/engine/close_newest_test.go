package engine_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/testkit"
)

// bent is an adapter of which a save may do what it wants.
type bent struct {
	*durable.MemoryAdapter
	on     atomic.Bool // before and after are called
	before func(ctx context.Context, id string) error
	after  func(id string) error
}

func newBent() *bent { return &bent{MemoryAdapter: durable.NewMemoryAdapter(nil)} }

func (b *bent) SaveState(ctx context.Context, id string, s *durable.Snapshot) error {
	if b.on.Load() && b.before != nil {
		if err := b.before(ctx, id); err != nil {
			return err
		}
	}
	err := b.MemoryAdapter.SaveState(ctx, id, s)
	if err == nil && b.on.Load() && b.after != nil {
		err = b.after(id)
	}
	return err
}

func TestAnAdapterThatIgnoresContextsKeepsNothingFromTheSpill(t *testing.T) { // P9
	for _, consistent := range []bool{false, true} {
		testkit.Bubble(t, func(t *testing.T) {
			o, spill := spilling()
			o.Consistent = consistent
			a, gate := newBent(), make(chan struct{})
			a.before = func(context.Context, string) error { <-gate; return nil }
			c := newSeveral(t, a, o, 600, 0)
			c.change()
			a.on.Store(true)
			list := unsavedOf(t, testkit.CloseWithin(t, c, 20*time.Second))
			require.Len(t, list, 600)
			for _, st := range list {
				require.True(t, st.Spilled, st.Err)
			}
			if !consistent {
				c.requireStored(t, spill)
			}
			close(gate) // what was given up is stored now, below what was spilled
			time.Sleep(time.Minute)

			a.on.Store(false)
			again := newSeveral(t, a, o, 600, 0)
			for _, w := range again.words {
				require.Equal(t, 1, w.Count("last"))
			}
			require.NoError(t, again.Close())
		})
	}
}

func TestASpillWhoseFirstAnswerIsMissingIsAskedAgain(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a, spill, o := testkit.NewFlaky(), newBent(), testkit.Quiet()
		var calls atomic.Int64
		spill.before = func(ctx context.Context, _ string) error {
			if calls.Add(1) == 1 {
				<-ctx.Done()
			}
			return ctx.Err()
		}
		spill.on.Store(true)
		o.Spill = spill
		c := newSeveral(t, a, o, 600, 0)
		c.change()
		a.Down("save")
		for _, st := range unsavedOf(t, testkit.CloseWithin(t, c, 20*time.Second)) {
			require.True(t, st.Spilled, st.Err)
		}
		c.requireStored(t, spill)
	})
}

func TestAStateThatChangesAfterItWasSpilledIsSpilledAgain(t *testing.T) {
	for _, changes := range []int64{1, 1000} {
		testkit.Bubble(t, func(t *testing.T) {
			a, spill, o := testkit.NewFlaky(), newBent(), testkit.Quiet()
			o.Spill = spill
			c := newSeveral(t, a, o, 1, 0)
			c.change()
			a.Down("save")
			var n atomic.Int64
			spill.after = func(id string) error {
				if !strings.HasPrefix(id, "~") && n.Add(1) <= changes {
					c.words[0].Add("later")
				}
				return nil
			}
			spill.on.Store(true)
			st := unsavedOf(t, testkit.CloseWithin(t, c, 20*time.Second))[0]
			if changes == 1 {
				require.True(t, st.Spilled)
				s, err := spill.LoadState(t.Context(), "c0")
				require.NoError(t, err)
				require.Contains(t, string(s.Data), `"later":1`)
				return
			}
			require.False(t, st.Spilled, "its last change is not there")
			require.ErrorContains(t, st.Err, "older than its last change")
		})
	}
}

// mood counts no changes, and can go back to a state that it had.
type mood struct {
	is     atomic.Value
	silent atomic.Bool
}

func (m *mood) RestoreState([]byte) error { return nil }
func (m *mood) SnapshotState() ([]byte, error) {
	if m.silent.Load() {
		return nil, testkit.ErrDown
	}
	return []byte(m.is.Load().(string)), nil
}

// The store has "busy", or may have it, and nobody has confirmed "idle" since.
func TestAStateThatWentBackIsNotTakenForTheStoredOne(t *testing.T) { // P8
	for _, spills := range []bool{false, true} {
		for _, silent := range []bool{false, true} {
			testkit.Bubble(t, func(t *testing.T) {
				o, spill := spilling()
				if !spills {
					o.Spill = nil
				}
				a, m := newBent(), &mood{}
				m.is.Store("idle")
				cp := durable.New(a, o)
				require.NoError(t, cp.Register("m", m))
				_, err := cp.Restore(t.Context())
				require.NoError(t, err)
				require.NoError(t, cp.Checkpoint(t.Context()))

				m.is.Store("busy")
				a.after = func(string) error { return testkit.ErrDown }
				a.on.Store(true)
				require.Error(t, cp.Checkpoint(t.Context()), "stored all the same")
				a.before = func(context.Context, string) error { m.silent.Store(silent); return testkit.ErrDown }
				m.is.Store("idle")
				list := unsavedOf(t, testkit.CloseWithin(t, cp, 20*time.Second))
				require.Len(t, list, 1)
				require.Equal(t, spills && !silent, list[0].Spilled)
				if list[0].Spilled {
					s, err := spill.LoadState(t.Context(), "m")
					require.NoError(t, err)
					require.Equal(t, "idle", string(s.Data))
				}
			})
		}
	}
}
