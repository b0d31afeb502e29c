package engine_test

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/testkit"
)

// TestACheckpointThatEndsAsItsContextEndsDoesNotPassForOneThatSavedAll lets the
// first save return at the very moment at which the context ends, which is when a
// select takes either.
func TestACheckpointThatEndsAsItsContextEndsDoesNotPassForOneThatSavedAll(t *testing.T) {
	for range 50 {
		testkit.Bubble(t, func(t *testing.T) {
			a := testkit.NewFlaky()
			h := testkit.Prepare(t, a, nil)
			slow := &testkit.Summed{}
			require.NoError(t, h.Register("slow", slow))
			_, err := h.Restore(t.Context())
			require.NoError(t, err)
			h.Words.Add("a")
			slow.Add(1)
			a.On("save", func(id string) error {
				time.Sleep(map[string]time.Duration{"words": time.Second, "slow": 5 * time.Second}[id])
				return nil
			})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			err = h.Checkpoint(ctx)
			_, loading := a.LoadState(t.Context(), "slow")
			require.NoError(t, h.Close())
			if err == nil {
				require.NoError(t, loading, "nil from Checkpoint, but a component is not stored")
			}
		})
	}
}

// heapInUse returns the bytes in use after a collection.
func heapInUse() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// noStore is free, and refuses saves while it is broken.
type noStore struct {
	free
	broken bool
}

func (a *noStore) SaveState(context.Context, string, *durable.Snapshot) error {
	if a.broken {
		return testkit.ErrDown
	}
	return nil
}

func TestAnIdleComponentCostsLittleMemoryAlsoAfterAnOutage(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) { // no retry falls in between
		const n, most = 20_000, 400 // bytes beyond the state and the id
		ctx := context.Background()
		ids := make([]string, n)
		for i := range ids {
			ids[i] = fmt.Sprint("component-", i)
		}
		a := &noStore{free: free{MemoryAdapter: durable.NewMemoryAdapter(nil)}}
		before := heapInUse()
		cp := durable.New(a, &durable.Options{Interval: time.Hour, CloseTimeout: time.Millisecond, Logger: slog.New(slog.DiscardHandler)})
		comps := make([]durable.StatefulComponent[testkit.Number], n)
		for i := range comps {
			require.NoError(t, cp.Register(ids[i], &comps[i]))
		}
		_, err := cp.Restore(ctx)
		require.NoError(t, err)
		require.NoError(t, cp.Start())
		require.NoError(t, cp.Checkpoint(ctx))
		time.Sleep(time.Minute) // the runtime keeps timers that were stopped until then
		each := func() int { return (heapInUse()-before)/n - 8 }
		require.LessOrEqual(t, each(), most)

		a.broken = true
		change := func() {
			for i := range comps {
				comps[i].Update(func(s *testkit.Number) { s.N++ })
			}
		}
		change()
		require.ErrorIs(t, cp.Checkpoint(ctx), testkit.ErrDown)
		a.broken = false
		change()
		require.NoError(t, cp.Checkpoint(ctx))
		require.LessOrEqual(t, each(), most+60, "only the retries that were planned are left")
		require.EqualValues(t, 1, cp.Status()[n-1].Failures)
		require.EqualValues(t, 2, cp.Status()[n-1].Saves)
		require.NoError(t, cp.Status()[n-1].Err)
		runtime.KeepAlive(comps)
		_ = cp.Close()
	})
}

func TestACheckpointThatComesWhileASaveIsUnderWayIsLeftOut(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := testkit.NewFlaky()
		o := testkit.Quiet()
		o.Interval = time.Second
		h := testkit.Start(t, a, o)
		defer h.Close()
		time.Sleep(2 * time.Second)
		turn := make(chan struct{})
		a.On("save", func(string) error { <-turn; return nil })
		h.Words.Add("a")
		time.Sleep(2 * time.Second)
		h.Words.Add("b")
		require.Equal(t, 2, a.Calls("save", "words"))
		time.Sleep(3 * time.Second)
		turn <- struct{}{}
		synctest.Wait()
		require.Zero(t, a.Calls("save", "words"), "none has queued up")
		go func() { turn <- struct{}{} }()
		time.Sleep(time.Second)
		require.False(t, h.Status()[0].Changed)
		a.On("save", nil)
	})
}

func TestP12_NoGoroutineBeforeRestoreAndNoneAfterClose(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) { // the bubble itself fails when one is left
		durable.New(durable.NewMemoryAdapter(nil), nil)
		testkit.Prepare(t, durable.NewMemoryAdapter(nil), nil)
		h := testkit.Prepare(t, durable.NewMemoryAdapter(nil), nil)
		_, err := h.Restore(t.Context())
		require.NoError(t, err)
		require.NoError(t, h.Close(), "works without Start")
	})
}

func TestAPanicInOnEventIsContained(t *testing.T) {
	o := testkit.Quiet()
	o.OnEvent = func(durable.Event) { panic("metrics") }
	h := testkit.Start(t, durable.NewMemoryAdapter(nil), o)
	require.NoError(t, h.Words.Commit(t.Context(), func(*testkit.Counts) {}))
	require.NoError(t, h.Close())
}

func TestTheFirstTickIsJitteredAndTheIntervalKept(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := testkit.NewFlaky()
		o := testkit.Quiet()
		o.Components = map[string]durable.ComponentOptions{"words": {Interval: 10 * time.Second}}
		h := testkit.Start(t, a, o)
		time.Sleep(10 * time.Second)
		require.Equal(t, 1, a.Calls("save", "words"), "saved once under the new epoch within the first interval")
		for range 10 {
			h.Words.Add("x")
			time.Sleep(10 * time.Second)
		}
		require.Equal(t, 10, a.Calls("save", "words"))
		require.NoError(t, h.Close())
	})
}
