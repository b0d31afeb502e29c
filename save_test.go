package durable_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
)

func TestP1_CommitReturnsOnlyWhenItsChangeIsStored(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := newFlaky()
		h := start(t, a, nil)
		for i := range 20 {
			require.NoError(t, h.words.Commit(ctx, func(c *counts) { c.Words["n"] = i }))
			s, err := a.LoadState(ctx, "words")
			require.NoError(t, err)
			require.Contains(t, string(s.Data), fmt.Sprintf(`"n":%d`, i))
		}
		a.down("save")
		require.ErrorIs(t, h.words.Commit(ctx, func(c *counts) { c.Words["n"] = 99 }), errDown)
		require.Equal(t, 99, h.words.count("n"), "an error does not undo the change")
		a.up("save")
		require.NoError(t, h.Close())
	})
}

func TestConcurrentCommitsShareSaves(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newFlaky()
		h := start(t, a, nil)
		release := make(chan struct{})
		a.on("save", func(string) error { <-release; return nil })
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() { require.NoError(t, h.words.Commit(t.Context(), func(c *counts) { c.Words["n"]++ })) })
			synctest.Wait()
		}
		a.calls("", "")
		close(release)
		wg.Wait()
		require.LessOrEqual(t, a.calls("save", "words"), 1, "the other 99 share the save that follows")
		require.NoError(t, h.Close())
	})
}

func TestNeverTwoSavesOfOneComponentAtATime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newFlaky()
		var running, most atomic.Int32
		a.on("save", func(string) error {
			most.Store(max(most.Load(), running.Add(1)))
			time.Sleep(3 * time.Second)
			running.Add(-1)
			return nil
		})
		o := quiet()
		o.Interval = time.Second
		h := start(t, a, o)
		for range 30 {
			h.words.add("x")
			go h.words.CheckpointState(t.Context())
			time.Sleep(500 * time.Millisecond)
		}
		require.NoError(t, h.Close())
		require.EqualValues(t, 1, most.Load())
	})
}

func TestP10_AnUnchangedStateIsNotRewrittenButKeptAlive(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := durable.NewMemoryAdapter(&durable.MemoryOptions{TTL: 5 * time.Minute})
		j := &journal{}
		h := start(t, a, j.options())
		require.NoError(t, h.words.Commit(ctx, func(c *counts) { c.Words["x"] = 1 }))
		before, err := a.LoadState(ctx, "words")
		require.NoError(t, err)
		time.Sleep(24 * time.Hour)
		after, err := a.LoadState(ctx, "words")
		require.NoError(t, err)
		require.Equal(t, before, after)

		a.Memory().Wipe("words")
		time.Sleep(2 * time.Minute)
		back, err := a.LoadState(ctx, "words")
		require.NoError(t, err, "a vanished copy is written again")
		require.Equal(t, before.Data, back.Data)
		require.Equal(t, 1, j.count("vanished"))
		require.NoError(t, h.Close())
	})
}

type custom struct{ data []byte }

func (c *custom) SnapshotState() ([]byte, error) { return bytes.Clone(c.data), nil }
func (c *custom) RestoreState(b []byte) error    { c.data = bytes.Clone(b); return nil }

func TestAComponentWithoutChangeCountIsComparedByItsBytes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := newFlaky()
		cp := durable.New(a, quiet())
		c := &custom{data: []byte{0, 1, 2}}
		require.NoError(t, cp.Register("c", c))
		_, err := cp.Restore(ctx)
		require.NoError(t, err)
		require.NoError(t, cp.Checkpoint(ctx))
		require.NoError(t, cp.Checkpoint(ctx))
		require.Equal(t, 1, a.calls("save", "c"))
		c.data = []byte{9}
		require.NoError(t, cp.Checkpoint(ctx))
		require.Equal(t, 1, a.calls("save", "c"))
		c.data = nil
		require.NoError(t, cp.Checkpoint(ctx), "an empty state is a state")
		require.NoError(t, cp.Close())
		s, err := a.LoadState(ctx, "c")
		require.NoError(t, err)
		require.Empty(t, s.Data)
	})
}

func TestNewBytesTakeTheNextVersionAlsoAfterAnUnknownOutcome(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := newFlaky()
		h := start(t, a, nil)
		a.on("save", func(string) error { return errors.New("i/o timeout") })
		for range 3 {
			require.Error(t, h.words.Commit(ctx, func(c *counts) { c.Words["n"]++ }))
		}
		a.up("save")
		require.NoError(t, h.words.CheckpointState(ctx))
		s, err := a.LoadState(ctx, "words")
		require.NoError(t, err)
		require.EqualValues(t, 4, s.Version)
		require.NoError(t, h.Close())
	})
}

func TestAnOwnerContinuesAboveAConflict(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := durable.NewMemoryAdapter(nil)
		h := start(t, a, nil)
		require.NoError(t, h.words.Commit(ctx, func(c *counts) { c.Words["n"] = 1 }))
		s, err := a.LoadState(ctx, "words")
		require.NoError(t, err)
		s.Version, s.WriteID = 1000, "operator"
		require.NoError(t, a.SaveState(ctx, "words", s))
		require.NoError(t, h.words.Commit(ctx, func(c *counts) { c.Words["n"] = 2 }))
		s, err = a.LoadState(ctx, "words")
		require.NoError(t, err)
		require.EqualValues(t, 1001, s.Version)
		require.NoError(t, h.Close())
	})
}

func TestP8_AnOutageIsNotAnAccident(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := newFlaky()
		j := &journal{}
		cp := durable.New(a, j.options())
		var all []*wordCounter
		for i := range 100 {
			all = append(all, &wordCounter{})
			require.NoError(t, cp.Register(fmt.Sprintf("c%d", i), all[i]))
		}
		_, err := cp.Restore(ctx)
		require.NoError(t, err)
		require.NoError(t, cp.Start())
		time.Sleep(2 * time.Minute)
		require.NoError(t, cp.Health())

		a.down("save", "refresh", "renew")
		for range 10 {
			for _, w := range all {
				w.add("x")
			}
			time.Sleep(time.Minute)
		}
		require.ErrorIs(t, cp.Health(), errDown)
		require.Equal(t, 1, j.lineCount("cannot be saved"), "one line for the outage, not one for each component")

		a.up("save", "refresh", "renew")
		time.Sleep(time.Minute + time.Second)
		require.NoError(t, cp.Health())
		require.Equal(t, 1, j.lineCount("can be saved and read again"))
		for i := range all {
			s, err := a.LoadState(ctx, fmt.Sprintf("c%d", i))
			require.NoError(t, err)
			require.Contains(t, string(s.Data), `"x":10`)
		}
		require.NoError(t, cp.Close())
	})
}

func TestAPanicOrAnErrorFailsThatComponentOnly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := durable.NewMemoryAdapter(nil)
		h := prepare(t, a, nil)
		bad := &broken{}
		require.NoError(t, h.Register("bad", bad))
		_, err := h.Restore(ctx)
		require.NoError(t, err)
		h.words.add("x")
		bad.panics = true
		err = h.Checkpoint(ctx)
		require.ErrorContains(t, err, `"bad"`)
		require.NotContains(t, err.Error(), `"words"`)
		s, err := a.LoadState(ctx, "words")
		require.NoError(t, err)
		require.Contains(t, string(s.Data), `"x":1`)
		var unsaved *durable.CloseError
		bad.panics = false
		bad.err = errors.New("no")
		require.ErrorAs(t, closeWithin(t, h, 21*time.Second), &unsaved)
		require.Len(t, unsaved.Unsaved, 1)
		require.Equal(t, "bad", unsaved.Unsaved[0].ComponentID)
	})
}

type broken struct {
	panics bool
	err    error
	hang   chan struct{}
}

func (b *broken) SnapshotState() ([]byte, error) {
	if b.hang != nil {
		<-b.hang
	}
	if b.panics {
		panic("boom")
	}
	return []byte("x"), b.err
}
func (b *broken) RestoreState([]byte) error { return nil }

func TestNaNNamesComponentAndFieldAndOthersAreSaved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		type stats struct{ Avg map[string]float64 }
		ctx := t.Context()
		h := prepare(t, durable.NewMemoryAdapter(nil), nil)
		s := durable.NewStatefulComponent(stats{Avg: map[string]float64{}})
		require.NoError(t, h.Register("stats", s))
		_, err := h.Restore(ctx)
		require.NoError(t, err)
		zero := 0.0
		err = s.Commit(ctx, func(s *stats) { s.Avg["u1"] = zero / zero })
		require.ErrorContains(t, err, `"stats"`)
		require.ErrorContains(t, err, `Avg["u1"]`)
		require.ErrorContains(t, err, "NaN")
		require.NoError(t, h.words.Commit(ctx, func(*counts) {}))
		require.NoError(t, s.Commit(ctx, func(s *stats) { s.Avg["u1"] = 1 }))
		require.NoError(t, h.Close())
	})
}

func TestCommitInsideUpdateEndsWithItsContext(t *testing.T) { // real time: a mutex does not let virtual time pass
	h := start(t, durable.NewMemoryAdapter(nil), nil)
	h.words.Update(func(*counts) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		called := false
		require.ErrorIs(t, h.words.Commit(ctx, func(*counts) { called = true }), context.DeadlineExceeded)
		require.False(t, called)
		require.ErrorIs(t, h.Checkpoint(ctx), context.DeadlineExceeded)
	})
	require.NoError(t, h.words.Commit(t.Context(), func(*counts) {}))
	require.NoError(t, h.Close())
}

func TestWithoutACheckpointerNothingIsSaved(t *testing.T) {
	w := &wordCounter{}
	require.ErrorIs(t, w.Commit(t.Context(), func(c *counts) { c.Words["x"] = 1 }), durable.ErrNotRegistered)
	require.Equal(t, 1, w.count("x"))
	require.ErrorIs(t, w.CheckpointState(t.Context()), durable.ErrNotRegistered)
}

func TestTheFirstTickIsJitteredAndTheIntervalKept(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newFlaky()
		o := quiet()
		o.Components = map[string]durable.ComponentOptions{"words": {Interval: 10 * time.Second}}
		h := start(t, a, o)
		time.Sleep(10 * time.Second)
		require.Equal(t, 1, a.calls("save", "words"), "saved once under the new epoch within the first interval")
		for range 10 {
			h.words.add("x")
			time.Sleep(10 * time.Second)
		}
		require.Equal(t, 10, a.calls("save", "words"))
		require.NoError(t, h.Close())
	})
}

func TestStatusTellsAgeChangesAndFailures(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newFlaky()
		h := start(t, a, nil)
		require.NoError(t, h.words.Commit(t.Context(), func(c *counts) { c.Words["x"] = 1 }))
		s := h.Status()[0]
		require.False(t, s.Changed)
		require.EqualValues(t, 1, s.Version)
		require.Equal(t, len(`{"Words":{"x":1}}`), s.Bytes)
		a.down("save", "refresh")
		h.words.add("y")
		time.Sleep(10 * time.Minute)
		s = h.Status()[0]
		require.True(t, s.Changed)
		require.Equal(t, 10*time.Minute, s.Age)
		require.Positive(t, s.Failures)
		require.ErrorIs(t, s.Err, errDown)
		a.up("save", "refresh")
		require.NoError(t, h.Close())
	})
}

func TestASaveThatHangsIsEndedBySaveTimeout(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := start(t, hanging{durable.NewMemoryAdapter(nil)}, nil)
		begin := time.Now()
		require.ErrorIs(t, h.words.Commit(context.Background(), func(*counts) {}), context.DeadlineExceeded)
		require.Equal(t, 10*time.Second, time.Since(begin))
		require.Error(t, closeWithin(t, h, 20*time.Second))
	})
}

// hanging never answers a save before its context ends.
type hanging struct{ *durable.MemoryAdapter }

func (h hanging) SaveState(ctx context.Context, _ string, _ *durable.Snapshot) error {
	<-ctx.Done()
	return ctx.Err()
}

func closeWithin(t *testing.T, h interface{ Close() error }, d time.Duration) error {
	t.Helper()
	begin := time.Now()
	err := h.Close()
	require.LessOrEqual(t, time.Since(begin), d)
	return err
}

// unconfirmed stores every save and says that it is not as durable as asked for.
