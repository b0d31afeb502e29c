package crashloop_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/testkit"
)

// limited returns options that allow limit restarts after a crash.
func limited(j *testkit.Journal, limit int) *durable.Options {
	o := j.Options()
	o.Holder, o.System, o.Interval, o.MaxCrashRestarts = "pod-0", "shop", time.Minute, limit
	return o
}

// crashing starts a harness on a copy of a, lets it work for a while and then
// takes its store away, as a killed process loses it.
func crashing(t *testing.T, a *testkit.Flaky, limit int, work time.Duration) durable.Report {
	t.Helper()
	own := testkit.FlakyOn(testkit.Reopen(t, a))
	h := testkit.Start(t, own, limited(new(testkit.Journal), limit))
	time.Sleep(work)
	own.Down("save", "refresh", "renew")
	_ = h.Close()
	return h.Report
}

func TestTooManyStartsThatEndBadlyAreRefusedUntilSomebodyActs(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := testkit.NewFlaky()
		for i := range 3 {
			require.Equal(t, i, crashing(t, a, 2, time.Second).CrashRestarts)
		}
		for range 2 { // refusing does not count, and closing does not clear it
			var j testkit.Journal
			h := testkit.Prepare(t, testkit.Reopen(t, a), limited(&j, 2))
			report, err := h.Restore(t.Context())
			require.ErrorContains(t, err, "the last 3 starts ended neither with Close")
			require.ErrorContains(t, err, `delete the state "shop/~starts"`)
			require.Equal(t, 3, report.CrashRestarts)
			require.ErrorIs(t, h.Start(), durable.ErrNotRestored)
			require.ErrorIs(t, h.Words.CheckpointState(t.Context()), durable.ErrNotRestored)
			require.NoError(t, h.Close())
		}
		require.Equal(t, 3, crashing(t, a, 3, time.Second).CrashRestarts, "a higher limit lets it start again")
		require.NoError(t, a.DeleteState(t.Context(), "shop/~starts"))
		require.Zero(t, crashing(t, a, 2, time.Second).CrashRestarts)
	})
}

func TestAGoodEndOrAWhileOfWorkClearsTheCountOfStarts(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, a *testkit.Flaky){
		"Close": func(t *testing.T, a *testkit.Flaky) {
			h := testkit.Start(t, testkit.Reopen(t, a), limited(new(testkit.Journal), 5))
			require.NoError(t, h.Close())
		},
		"Close without Start": func(t *testing.T, a *testkit.Flaky) {
			h := testkit.Prepare(t, testkit.Reopen(t, a), limited(new(testkit.Journal), 5))
			_, err := h.Restore(t.Context())
			require.NoError(t, err)
			require.NoError(t, h.Close())
		},
		"three intervals": func(t *testing.T, a *testkit.Flaky) { crashing(t, a, 5, 3*time.Minute+time.Second) },
		"three intervals, and a component restored again": func(t *testing.T, a *testkit.Flaky) {
			h := testkit.Start(t, a, limited(new(testkit.Journal), 5))
			time.Sleep(3*time.Minute + time.Second)
			_, err := h.Restore(t.Context(), "words")
			require.NoError(t, err)
			a.Down("save", "refresh")
			_ = h.Close()
			a.Up("save", "refresh")
		},
		"three intervals, most of them in an outage": func(t *testing.T, a *testkit.Flaky) {
			h := testkit.Start(t, a, limited(new(testkit.Journal), 5))
			a.Down("save", "refresh")
			time.Sleep(time.Hour)
			a.Up("save", "refresh")
			time.Sleep(time.Minute)
			a.Down("save", "refresh")
			_ = h.Close()
			a.Up("save", "refresh")
		},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				a := testkit.NewFlaky()
				crashing(t, a, 5, time.Second)
				require.Equal(t, 1, crashing(t, a, 5, 2*time.Minute).CrashRestarts)
				end(t, a)
				require.Zero(t, crashing(t, a, 5, 0).CrashRestarts)
			})
		})
	}
}

// A restore that fails is no crash of the state, whatever comes after it.
func TestARestoreThatFailsLeavesTheCountOfStartsAsItWas(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := testkit.NewFlaky()
		crashing(t, a, 5, 0) // before its first checkpoint, which may come at any time within the interval
		o := limited(new(testkit.Journal), 5)
		o.Restore = durable.RestoreRequired
		h := testkit.Prepare(t, testkit.Reopen(t, a), o)
		_, err := h.Restore(t.Context())
		require.Error(t, err)
		require.NoError(t, h.Close())
		require.Equal(t, 1, crashing(t, a, 5, time.Second).CrashRestarts)
	})
}

func TestAStartIsCountedOnceHoweverOftenItIsTried(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := testkit.NewFlaky()
		crashing(t, a, 5, time.Second)
		b := testkit.FlakyOn(testkit.Reopen(t, a))
		tries := 0
		b.On("save", func(id string) error {
			if tries++; id == "shop/~starts" && tries < 5 {
				s := testkit.Snapshot(0, 0, fmt.Sprintf(`{"Starts":%d}`, 2)) // it was stored and the answer lost
				s.WriteID = ""
				require.NoError(t, b.MemoryAdapter.SaveState(t.Context(), id, s))
				return testkit.ErrDown
			}
			return nil
		})
		h := testkit.Prepare(t, b, limited(new(testkit.Journal), 5))
		report, err := h.Restore(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, report.CrashRestarts)
		report, err = h.Restore(t.Context(), "words")
		require.NoError(t, err)
		require.Equal(t, 1, report.CrashRestarts)
		b.Down("save", "refresh", "renew")
		_ = h.Close()
		require.Equal(t, 2, crashing(t, a, 5, time.Second).CrashRestarts)
	})
}

// The late good end of a process that was superseded must not clear the count of
// its successor.
func TestASupersededProcessLeavesTheCountToItsSuccessor(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := testkit.NewFlaky()
		old := testkit.Start(t, testkit.Reopen(t, a), limited(new(testkit.Journal), 5))
		crashing(t, a, 5, time.Second) // takes its own name's lease
		require.NoError(t, old.Close())
		require.Equal(t, 2, crashing(t, a, 5, time.Second).CrashRestarts)
	})
}

func TestStartsAreCountedWithoutOwnershipAndNotUnlessAskedFor(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := testkit.NewFlaky()
		for i := range 3 {
			o := limited(new(testkit.Journal), 5)
			o.LeaseTTL = -1
			own := testkit.FlakyOn(testkit.Reopen(t, a))
			h := testkit.Start(t, own, o)
			require.Equal(t, i, h.Report.CrashRestarts)
			own.Down("save", "refresh")
			_ = h.Close()
		}
		b := testkit.NewFlaky()
		require.Zero(t, crashing(t, b, 0, time.Second).CrashRestarts)
		_, err := b.LoadState(context.Background(), "shop/~starts")
		require.ErrorIs(t, err, durable.ErrNotFound)
	})
}
