package durable_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
)

// limited returns options that allow limit restarts after a crash.
func limited(j *journal, limit int) *durable.Options {
	o := j.options()
	o.Holder, o.System, o.Interval, o.MaxCrashRestarts = "pod-0", "shop", time.Minute, limit
	return o
}

// crashing starts a harness on a copy of a, lets it work for a while and then
// takes its store away, as a killed process loses it.
func crashing(t *testing.T, a *flaky, limit int, work time.Duration) durable.Report {
	t.Helper()
	own := &flaky{MemoryAdapter: a.Reopen(), fail: map[string]func(string) error{}}
	h := start(t, own, limited(new(journal), limit))
	time.Sleep(work)
	own.down("save", "refresh", "renew")
	_ = h.Close()
	return h.report
}

func TestTooManyStartsThatEndBadlyAreRefusedUntilSomebodyActs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newFlaky()
		for i := range 3 {
			require.Equal(t, i, crashing(t, a, 2, time.Second).CrashRestarts)
		}
		for range 2 { // refusing does not count, and closing does not clear it
			var j journal
			h := prepare(t, a.Reopen(), limited(&j, 2))
			report, err := h.Restore(t.Context())
			require.ErrorContains(t, err, "the last 3 starts ended neither with Close")
			require.ErrorContains(t, err, `delete the state "shop/~starts"`)
			require.Equal(t, 3, report.CrashRestarts)
			require.ErrorIs(t, h.Start(), durable.ErrNotRestored)
			require.ErrorIs(t, h.words.CheckpointState(t.Context()), durable.ErrNotRestored)
			require.NoError(t, h.Close())
		}
		require.Equal(t, 3, crashing(t, a, 3, time.Second).CrashRestarts, "a higher limit lets it start again")
		require.NoError(t, a.DeleteState(t.Context(), "shop/~starts"))
		require.Zero(t, crashing(t, a, 2, time.Second).CrashRestarts)
	})
}

func TestAGoodEndOrAWhileOfWorkClearsTheCountOfStarts(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, a *flaky){
		"Close": func(t *testing.T, a *flaky) {
			h := start(t, a.Reopen(), limited(new(journal), 5))
			require.NoError(t, h.Close())
		},
		"Close without Start": func(t *testing.T, a *flaky) {
			h := prepare(t, a.Reopen(), limited(new(journal), 5))
			_, err := h.Restore(t.Context())
			require.NoError(t, err)
			require.NoError(t, h.Close())
		},
		"three intervals": func(t *testing.T, a *flaky) { crashing(t, a, 5, 3*time.Minute+time.Second) },
		"three intervals, and a component restored again": func(t *testing.T, a *flaky) {
			h := start(t, a, limited(new(journal), 5))
			time.Sleep(3*time.Minute + time.Second)
			_, err := h.Restore(t.Context(), "words")
			require.NoError(t, err)
			a.down("save", "refresh")
			_ = h.Close()
			a.up("save", "refresh")
		},
		"three intervals, most of them in an outage": func(t *testing.T, a *flaky) {
			h := start(t, a, limited(new(journal), 5))
			a.down("save", "refresh")
			time.Sleep(time.Hour)
			a.up("save", "refresh")
			time.Sleep(time.Minute)
			a.down("save", "refresh")
			_ = h.Close()
			a.up("save", "refresh")
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				a := newFlaky()
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
	bubble(t, func(t *testing.T) {
		a := newFlaky()
		crashing(t, a, 5, 0) // before its first checkpoint, which may come at any time within the interval
		o := limited(new(journal), 5)
		o.Restore = durable.RestoreRequired
		h := prepare(t, a.Reopen(), o)
		_, err := h.Restore(t.Context())
		require.Error(t, err)
		require.NoError(t, h.Close())
		require.Equal(t, 1, crashing(t, a, 5, time.Second).CrashRestarts)
	})
}

func TestAStartIsCountedOnceHoweverOftenItIsTried(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newFlaky()
		crashing(t, a, 5, time.Second)
		b := &flaky{MemoryAdapter: a.Reopen(), fail: map[string]func(string) error{}}
		tries := 0
		b.on("save", func(id string) error {
			if tries++; id == "shop/~starts" && tries < 5 {
				s := snapshot(0, 0, fmt.Sprintf(`{"Starts":%d}`, 2)) // it was stored and the answer lost
				s.WriteID = ""
				require.NoError(t, b.MemoryAdapter.SaveState(t.Context(), id, s))
				return errDown
			}
			return nil
		})
		h := prepare(t, b, limited(new(journal), 5))
		report, err := h.Restore(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, report.CrashRestarts)
		report, err = h.Restore(t.Context(), "words")
		require.NoError(t, err)
		require.Equal(t, 1, report.CrashRestarts)
		b.down("save", "refresh", "renew")
		_ = h.Close()
		require.Equal(t, 2, crashing(t, a, 5, time.Second).CrashRestarts)
	})
}

// The late good end of a process that was superseded must not clear the count of
// its successor.
func TestASupersededProcessLeavesTheCountToItsSuccessor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newFlaky()
		old := start(t, a.Reopen(), limited(new(journal), 5))
		crashing(t, a, 5, time.Second) // takes its own name's lease
		require.NoError(t, old.Close())
		require.Equal(t, 2, crashing(t, a, 5, time.Second).CrashRestarts)
	})
}

func TestStartsAreCountedWithoutOwnershipAndNotUnlessAskedFor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newFlaky()
		for i := range 3 {
			o := limited(new(journal), 5)
			o.LeaseTTL = -1
			own := &flaky{MemoryAdapter: a.Reopen(), fail: map[string]func(string) error{}}
			h := start(t, own, o)
			require.Equal(t, i, h.report.CrashRestarts)
			own.down("save", "refresh")
			_ = h.Close()
		}
		b := newFlaky()
		require.Zero(t, crashing(t, b, 0, time.Second).CrashRestarts)
		_, err := b.LoadState(context.Background(), "shop/~starts")
		require.ErrorIs(t, err, durable.ErrNotFound)
	})
}
