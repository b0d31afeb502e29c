package saver_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/testkit"
)

func TestP1_CommitReturnsOnlyWhenItsChangeIsStored(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := testkit.NewFlaky()
		h := testkit.Start(t, a, nil)
		for i := range 20 {
			require.NoError(t, h.Words.Commit(ctx, func(c *testkit.Counts) { c.Words["n"] = i }))
			s, err := a.LoadState(ctx, "words")
			require.NoError(t, err)
			require.Contains(t, string(s.Data), fmt.Sprintf(`"n":%d`, i))
		}
		a.Down("save")
		require.ErrorIs(t, h.Words.Commit(ctx, func(c *testkit.Counts) { c.Words["n"] = 99 }), testkit.ErrDown)
		require.Equal(t, 99, h.Words.Count("n"), "an error does not undo the change")
		a.Up("save")
		require.NoError(t, h.Close())
	})
}

func TestConcurrentCommitsShareSaves(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := testkit.NewFlaky()
		h := testkit.Start(t, a, nil)
		release := make(chan struct{})
		a.On("save", func(string) error { <-release; return nil })
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() { require.NoError(t, h.Words.Commit(t.Context(), func(c *testkit.Counts) { c.Words["n"]++ })) })
			synctest.Wait()
		}
		a.Calls("", "")
		close(release)
		wg.Wait()
		require.LessOrEqual(t, a.Calls("save", "words"), 1, "the other 99 share the save that follows")
		require.NoError(t, h.Close())
	})
}

func TestNeverTwoSavesOfOneComponentAtATime(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := testkit.NewFlaky()
		var running, most atomic.Int32
		a.On("save", func(string) error {
			most.Store(max(most.Load(), running.Add(1)))
			time.Sleep(3 * time.Second)
			running.Add(-1)
			return nil
		})
		o := testkit.Quiet()
		o.Interval = time.Second
		h := testkit.Start(t, a, o)
		for range 30 {
			h.Words.Add("x")
			go h.Words.CheckpointState(t.Context())
			time.Sleep(500 * time.Millisecond)
		}
		require.NoError(t, h.Close())
		require.EqualValues(t, 1, most.Load())
	})
}

func TestAComponentWithoutChangeCountIsComparedByItsBytes(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := testkit.NewFlaky()
		cp := durable.New(a, testkit.Quiet())
		c := &testkit.Custom{Data: []byte{0, 1, 2}}
		require.NoError(t, cp.Register("c", c))
		_, err := cp.Restore(ctx)
		require.NoError(t, err)
		require.NoError(t, cp.Checkpoint(ctx))
		require.NoError(t, cp.Checkpoint(ctx))
		require.Equal(t, 1, a.Calls("save", "c"))
		c.Data = []byte{9}
		require.NoError(t, cp.Checkpoint(ctx))
		require.Equal(t, 1, a.Calls("save", "c"))
		c.Data = nil
		require.NoError(t, cp.Checkpoint(ctx), "an empty state is a state")
		require.NoError(t, cp.Close())
		s, err := a.LoadState(ctx, "c")
		require.NoError(t, err)
		require.Empty(t, s.Data)
	})
}

func TestNewBytesTakeTheNextVersionAlsoAfterAnUnknownOutcome(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := testkit.NewFlaky()
		h := testkit.Start(t, a, nil)
		a.On("save", func(string) error { return errors.New("i/o timeout") })
		for range 3 {
			require.Error(t, h.Words.Commit(ctx, func(c *testkit.Counts) { c.Words["n"]++ }))
		}
		a.Up("save")
		require.NoError(t, h.Words.CheckpointState(ctx))
		s, err := a.LoadState(ctx, "words")
		require.NoError(t, err)
		require.EqualValues(t, 4, s.Version)
		require.NoError(t, h.Close())
	})
}

func TestAnOwnerContinuesAboveAConflict(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := durable.NewMemoryAdapter(nil)
		h := testkit.Start(t, a, nil)
		require.NoError(t, h.Words.Commit(ctx, func(c *testkit.Counts) { c.Words["n"] = 1 }))
		s, err := a.LoadState(ctx, "words")
		require.NoError(t, err)
		s.Version, s.WriteID = 1000, "operator"
		require.NoError(t, a.SaveState(ctx, "words", s))
		require.NoError(t, h.Words.Commit(ctx, func(c *testkit.Counts) { c.Words["n"] = 2 }))
		s, err = a.LoadState(ctx, "words")
		require.NoError(t, err)
		require.EqualValues(t, 1001, s.Version)
		require.NoError(t, h.Close())
	})
}

func TestAPanicOrAnErrorFailsThatComponentOnly(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := durable.NewMemoryAdapter(nil)
		h := testkit.Prepare(t, a, nil)
		bad := &testkit.Broken{}
		require.NoError(t, h.Register("bad", bad))
		_, err := h.Restore(ctx)
		require.NoError(t, err)
		h.Words.Add("x")
		bad.Panics = true
		err = h.Checkpoint(ctx)
		require.ErrorContains(t, err, `"bad"`)
		require.NotContains(t, err.Error(), `"words"`)
		s, err := a.LoadState(ctx, "words")
		require.NoError(t, err)
		require.Contains(t, string(s.Data), `"x":1`)
		var unsaved *durable.CloseError
		bad.Panics = false
		bad.Err = errors.New("no")
		require.ErrorAs(t, testkit.CloseWithin(t, h, 21*time.Second), &unsaved)
		require.Len(t, unsaved.Unsaved, 1)
		require.Equal(t, "bad", unsaved.Unsaved[0].ComponentID)
	})
}

func TestNaNNamesComponentAndFieldAndOthersAreSaved(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		type stats struct{ Avg map[string]float64 }
		ctx := t.Context()
		h := testkit.Prepare(t, durable.NewMemoryAdapter(nil), nil)
		s := durable.NewStatefulComponent(stats{Avg: map[string]float64{}})
		require.NoError(t, h.Register("stats", s))
		_, err := h.Restore(ctx)
		require.NoError(t, err)
		zero := 0.0
		err = s.Commit(ctx, func(s *stats) { s.Avg["u1"] = zero / zero })
		require.ErrorContains(t, err, `"stats"`)
		require.ErrorContains(t, err, `Avg[…]`) // a key is data
		require.ErrorContains(t, err, "NaN")
		require.NoError(t, h.Words.Commit(ctx, func(*testkit.Counts) {}))
		require.NoError(t, s.Commit(ctx, func(s *stats) { s.Avg["u1"] = 1 }))
		require.NoError(t, h.Close())
	})
}

func TestCommitInsideUpdateEndsWithItsContext(t *testing.T) { // real time: a mutex does not let virtual time pass
	h := testkit.Start(t, durable.NewMemoryAdapter(nil), nil)
	h.Words.Update(func(*testkit.Counts) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		called := false
		require.ErrorIs(t, h.Words.Commit(ctx, func(*testkit.Counts) { called = true }), context.DeadlineExceeded)
		require.False(t, called)
		require.ErrorIs(t, h.Checkpoint(ctx), context.DeadlineExceeded)
	})
	require.NoError(t, h.Words.Commit(t.Context(), func(*testkit.Counts) {}))
	require.NoError(t, h.Close())
}

func TestWithoutACheckpointerNothingIsSaved(t *testing.T) {
	w := &testkit.WordCounter{}
	require.ErrorIs(t, w.Commit(t.Context(), func(c *testkit.Counts) { c.Words["x"] = 1 }), durable.ErrNotRegistered)
	require.Equal(t, 1, w.Count("x"))
	require.ErrorIs(t, w.CheckpointState(t.Context()), durable.ErrNotRegistered)
}

func TestASaveThatHangsIsEndedBySaveTimeout(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		h := testkit.Start(t, testkit.Hanging{MemoryAdapter: durable.NewMemoryAdapter(nil)}, nil)
		begin := time.Now()
		require.ErrorIs(t, h.Words.Commit(context.Background(), func(*testkit.Counts) {}), context.DeadlineExceeded)
		require.Equal(t, 10*time.Second, time.Since(begin))
		require.Error(t, testkit.CloseWithin(t, h, 20*time.Second))
	})
}

// extended has more state than its StatefulComponent knows of.
type extended struct {
	testkit.WordCounter
	more string
}

func (e *extended) SnapshotState() ([]byte, error) {
	data, err := e.WordCounter.SnapshotState()
	return append([]byte(e.more+"|"), data...), err
}

func TestAComponentThatAddsToTheSnapshotIsComparedByItsBytes(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := testkit.NewFlaky()
		cp := durable.New(a, testkit.Quiet())
		e := &extended{more: "old"}
		require.NoError(t, cp.Register("e", e))
		_, err := cp.Restore(ctx)
		require.NoError(t, err)
		require.NoError(t, cp.Checkpoint(ctx))
		require.NoError(t, cp.Checkpoint(ctx))
		require.Equal(t, 1, a.Calls("save", "e"), "unchanged")
		e.more = "new"
		require.NoError(t, cp.Checkpoint(ctx))
		s, err := a.LoadState(ctx, "e")
		require.NoError(t, err)
		require.Contains(t, string(s.Data), "new", "the change count does not see all of the state")
		require.NoError(t, cp.Close())
	})
}

// deadlines is an adapter that notes how long each save may take.
type deadlines struct {
	*durable.MemoryAdapter
	left []time.Duration
	hang bool
}

func (d *deadlines) SaveState(ctx context.Context, id string, s *durable.Snapshot) error {
	end, _ := ctx.Deadline()
	d.left = append(d.left, time.Until(end))
	if d.hang {
		<-ctx.Done()
		return ctx.Err()
	}
	return d.MemoryAdapter.SaveState(ctx, id, s)
}

func TestEverySaveHasItsSaveTimeoutButForAHundredth(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := &deadlines{MemoryAdapter: durable.NewMemoryAdapter(nil)}
		h := testkit.Start(t, a, nil)
		defer h.Close()
		save := func() error {
			h.Words.Add("a")
			return h.Checkpoint(context.Background())
		}
		for range 100 {
			require.NoError(t, save())
			time.Sleep(7 * time.Millisecond)
		}
		require.GreaterOrEqual(t, slices.Min(a.left), 9900*time.Millisecond)
		require.LessOrEqual(t, slices.Max(a.left), 10*time.Second)
		a.hang = true
		require.ErrorIs(t, save(), context.DeadlineExceeded)
		a.hang = false
		require.NoError(t, save(), "has a time of its own")
		require.Equal(t, 10*time.Second, a.left[len(a.left)-1])
	})
}

func TestAChangeWhileARestoreEndsCountsAsUnsaved(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := testkit.NewFlaky()
		require.NoError(t, a.SaveState(ctx, "w", &durable.Snapshot{Codec: "json", Data: []byte(`{"Words":{}}`)}))
		cp := durable.New(a, testkit.Quiet())
		w := &counting{}
		require.NoError(t, cp.Register("w", w))
		_, err := cp.Restore(ctx)
		require.NoError(t, err)
		require.Equal(t, 1, w.Count("restarts"))
		require.True(t, cp.Status()[0].Changed)
		a.Down("save", "refresh")
		require.Error(t, cp.Close(), "the change that followed the restore is not stored")
	})
}

// counting changes its state as soon as it is restored.
type counting struct{ testkit.WordCounter }

func (c *counting) RestoreState(data []byte) error {
	err := c.WordCounter.RestoreState(data)
	c.Add("restarts")
	return err
}

func TestAStateThatTheProgramReplacesItselfIsSaved(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := durable.NewMemoryAdapter(nil)
		h := testkit.Start(t, a, nil)
		require.NoError(t, h.Words.Commit(ctx, func(c *testkit.Counts) { c.Words["old"] = 1 }))
		require.NoError(t, h.Words.RestoreState([]byte(`{"Words":{"imported":1}}`)))
		require.True(t, h.Status()[0].Changed)
		require.NoError(t, h.Words.CheckpointState(ctx))
		s, err := a.LoadState(ctx, "words")
		require.NoError(t, err)
		require.Contains(t, string(s.Data), "imported")
		require.NoError(t, h.Close())
	})
}
