package engine_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/testkit"
)

func TestARestartCarriesOnWhereItStopped(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := durable.NewMemoryAdapter(nil)
		h := testkit.Start(t, a, nil)
		require.Equal(t, durable.FirstBoot, h.Outcome(t))
		h.Words.Add("hello")
		require.NoError(t, h.Close())

		h = testkit.Start(t, a, nil)
		require.Equal(t, durable.Restored, h.Outcome(t))
		require.True(t, h.Report.CleanShutdown)
		require.NotEmpty(t, h.Report.Predecessor)
		require.Equal(t, 1, h.Words.Count("hello"))
		require.NoError(t, h.Close())
	})
}

func TestP4_StateThatCouldNotBeReadIsNeverOverwritten(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := testkit.NewFlaky()
		h := testkit.Start(t, a, nil)
		h.Words.Add("precious")
		require.NoError(t, h.Close())

		a.Down("load")
		h = testkit.Prepare(t, a, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := h.Restore(ctx)
		require.ErrorIs(t, err, testkit.ErrDown)
		h.Words.Add("fresh")
		require.ErrorIs(t, h.Words.Commit(t.Context(), func(*testkit.Counts) {}), durable.ErrNotRestored)
		require.ErrorIs(t, h.Checkpoint(t.Context()), durable.ErrNotRestored)
		require.ErrorIs(t, h.Health(), durable.ErrNotRestored)
		var unsaved *durable.CloseError
		require.ErrorAs(t, h.Close(), &unsaved) // the fresh word is nowhere
		a.Up("load")

		h = testkit.Start(t, a, nil)
		require.Equal(t, 1, h.Words.Count("precious"))
		require.NoError(t, h.Close())
	})
}

func TestAStandbyThatIsStoppedHasNothingUnsaved(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := testkit.NewFlaky()
		a.Down("lease")
		h := testkit.Prepare(t, a, nil)
		h.Words.Add("set up")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := h.Restore(ctx)
		require.Error(t, err)
		require.NoError(t, h.Close())
		h = testkit.Prepare(t, a, nil)
		h.Words.Add("set up")
		require.NoError(t, h.Close(), "and neither has one that was never asked")
	})
}

func TestWhatIsSetUpBetweenTwoRestoresThatFailIsNoLoss(t *testing.T) {
	for name, o := range map[string]*durable.Options{"alone": testkit.Quiet(), "set": testkit.Consistent(testkit.Quiet())} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				a := testkit.NewFlaky()
				a.Down("lease")
				h := testkit.Prepare(t, a, o)
				for range 2 {
					h.Words.Add("set up")
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					_, err := h.Restore(ctx)
					cancel()
					require.Error(t, err)
				}
				require.NoError(t, h.Close())
			})
		})
	}
}

func TestBeforeRestoreNothingCanBeSaved(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := testkit.NewFlaky()
		h := testkit.Prepare(t, a, nil)
		require.ErrorIs(t, h.Words.CheckpointState(t.Context()), durable.ErrNotRestored)
		require.ErrorIs(t, h.Start(), durable.ErrNotRestored)
		require.ErrorIs(t, h.Health(), durable.ErrNotRestored)
		require.NoError(t, h.Close())
		require.Zero(t, a.Calls("save", "words"))
	})
}

func TestRestoreWaitsForAStoreThatIsNotUpYet(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := testkit.NewFlaky()
		a.Down("lease")
		h := testkit.Prepare(t, a, nil)
		go func() {
			time.Sleep(time.Minute)
			a.Down("claim")
			a.Up("lease")
			time.Sleep(time.Minute)
			a.Down("load")
			a.Up("claim")
			time.Sleep(time.Minute)
			a.Up("load")
		}()
		begin := time.Now()
		_, err := h.Restore(t.Context())
		require.NoError(t, err)
		require.GreaterOrEqual(t, time.Since(begin), 3*time.Minute)
		require.NoError(t, h.Close())
	})
}

func TestCloseEndsAWaitingRestore(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := testkit.NewFlaky()
		a.Down("lease")
		h := testkit.Prepare(t, a, nil)
		done := make(chan error)
		go func() { _, err := h.Restore(context.Background()); done <- err }()
		time.Sleep(time.Minute)
		require.NoError(t, h.Close())
		require.ErrorIs(t, <-done, durable.ErrClosed)
		_, err := h.Restore(t.Context())
		require.ErrorIs(t, err, durable.ErrClosed)
	})
}

func TestAComponentCanBeRestoredAgainWithoutARestart(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := durable.NewMemoryAdapter(nil)
		h := testkit.Start(t, a, nil)
		require.NoError(t, h.Words.Commit(ctx, func(c *testkit.Counts) { c.Words["kept"] = 1 }))
		h.Words.Add("unsaved")
		_, err := h.Restore(ctx, "words")
		require.NoError(t, err)
		require.Equal(t, 1, h.Words.Count("kept"))
		require.Zero(t, h.Words.Count("unsaved"), "a restore never merges")
		require.NoError(t, h.Words.Commit(ctx, func(c *testkit.Counts) { c.Words["more"] = 1 }))
		_, err = h.Restore(ctx, "unknown")
		require.ErrorIs(t, err, durable.ErrNotRegistered)
		require.NoError(t, h.Close())
	})
}

func TestADeletedComponentStopsItsOwnerAndStaysDeleted(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := durable.NewMemoryAdapter(nil)
		h := testkit.Start(t, a, nil)
		require.NoError(t, h.Words.Commit(ctx, func(c *testkit.Counts) { c.Words["old"] = 1 }))
		require.NoError(t, a.DeleteState(ctx, "words"))
		require.ErrorIs(t, h.Words.Commit(ctx, func(*testkit.Counts) {}), durable.ErrFenced)
		require.ErrorIs(t, h.Health(), durable.ErrFenced)
		time.Sleep(10 * time.Minute)
		_, err := a.LoadState(ctx, "words")
		require.ErrorIs(t, err, durable.ErrNotFound)

		report, err := h.Restore(ctx, "words")
		require.NoError(t, err)
		require.Equal(t, durable.FirstBoot, report.Results[0].Outcome)
		require.Zero(t, h.Words.Count("old"), "deleted state must not come back from memory")
		require.NoError(t, h.Words.Commit(ctx, func(c *testkit.Counts) { c.Words["new"] = 1 }))
		require.NoError(t, h.Close())
	})
}

func TestAnEntryForAnUnknownComponentIsAnErrorOfRestore(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		o := testkit.Quiet()
		o.Components = map[string]durable.ComponentOptions{"wrods": {Interval: time.Second}}
		h := testkit.Prepare(t, durable.NewMemoryAdapter(nil), o)
		_, err := h.Restore(t.Context())
		require.ErrorIs(t, err, durable.ErrNotRegistered)
		require.ErrorContains(t, err, "wrods")
		require.NoError(t, h.Close())
	})
}

func TestWithoutOwnershipVersionsGoOnAndASecondWriterIsNoticed(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := testkit.FourMethods{StateAdapter: durable.NewMemoryAdapter(nil)}
		h1 := testkit.Start(t, a, nil)
		require.NoError(t, h1.Words.Commit(ctx, func(c *testkit.Counts) { c.Words["one"] = 1 }))
		h2 := testkit.Start(t, a, nil)
		require.Equal(t, durable.Restored, h2.Outcome(t))
		require.False(t, h2.Report.CleanShutdown)
		require.NoError(t, h2.Words.Commit(ctx, func(c *testkit.Counts) { c.Words["two"] = 2 }))
		require.ErrorIs(t, h1.Words.Commit(ctx, func(*testkit.Counts) {}), durable.ErrConflict)
		require.Error(t, h1.Health())
		require.Error(t, h1.Close())
		require.NoError(t, h2.Close())
		require.NoError(t, a.DeleteState(ctx, "words"))
		h3 := testkit.Start(t, a, nil)
		require.Equal(t, durable.FirstBoot, h3.Outcome(t))
		require.NoError(t, h3.Words.Commit(ctx, func(*testkit.Counts) {}), "the fence of a deleted component is taken over")
		require.NoError(t, h3.Close())
	})
}

func TestASecondRestoreThatWaitsForItsTurnEndsWithClose(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := testkit.NewFlaky()
		a.Down("load")
		h := testkit.Prepare(t, a, nil)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				_, err := h.Restore(context.Background())
				require.ErrorIs(t, err, durable.ErrClosed)
			})
		}
		synctest.Wait()
		require.NoError(t, h.Close())
		wg.Wait()
	})
}

func TestAComponentNamedTwiceIsRestoredOnce(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := testkit.NewFlaky()
		h := testkit.Prepare(t, a, nil)
		report, err := h.Restore(t.Context(), "words", "words")
		require.NoError(t, err)
		require.Len(t, report.Results, 1)
		require.Equal(t, 1, a.Calls("load", "words"))
		require.NoError(t, h.Close())
	})
}

// late answers a save a second after it was accepted.
type late struct{ *testkit.Flaky }

func (l late) SaveState(ctx context.Context, id string, s *durable.Snapshot) error {
	err := l.Flaky.SaveState(ctx, id, s)
	time.Sleep(time.Second)
	return err
}

func TestARoundOfRestoreWaitsForASaveOfTheRoundBefore(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := late{testkit.NewFlaky()}
		h := testkit.Prepare(t, a, nil)
		require.NoError(t, h.Register("other", &testkit.WordCounter{}))
		_, err := h.Restore(ctx)
		require.NoError(t, err)

		claims := 0
		a.On("claim", func(id string) error {
			if id != "other" {
				return nil
			}
			if claims++; claims > 1 {
				return nil
			}
			synctest.Wait() // words is restored and open by now
			go h.Words.Commit(ctx, func(c *testkit.Counts) { c.Words["acked"] = 1 })
			synctest.Wait()
			return &durable.Error{Op: "claim", Err: durable.ErrFenced}
		})
		_, err = h.Restore(ctx)
		require.NoError(t, err)
		require.Equal(t, 2, claims)
		time.Sleep(2 * time.Second)
		require.Equal(t, 1, h.Words.Count("acked"))
		require.NoError(t, h.Words.Commit(ctx, func(*testkit.Counts) {}), "it saves under the epoch of the last round")
		require.NoError(t, h.Close())
	})
}
