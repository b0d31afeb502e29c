package durable_test

import (
	"context"
	"fmt"
	"strings"
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

// stepping is limited with the policy to step back.
func stepping(j *journal, limit int) *durable.Options {
	o := limited(j, limit)
	o.CrashPolicy = durable.StepBackOnCrashes
	return o
}

// poisoned returns a store in which each of the words is a generation, saved in
// that order, and whose last start after them ended badly.
func poisoned(t *testing.T, words ...string) *flaky {
	t.Helper()
	a := newFlaky()
	h := start(t, a.Reopen(), limited(new(journal), 1))
	for _, w := range words {
		h.words.add(w)
		require.NoError(t, h.words.CheckpointState(t.Context()))
	}
	require.NoError(t, h.Close())
	return a
}

// die restores from a and crashes at once, before anything is saved.
func die(t *testing.T, a *flaky) harness {
	t.Helper()
	own := &flaky{MemoryAdapter: a.Reopen(), fail: map[string]func(string) error{}}
	h := prepare(t, own, stepping(new(journal), 1))
	var err error
	h.report, err = h.Restore(t.Context())
	require.NoError(t, err)
	own.down("save", "refresh", "renew")
	_ = h.Close()
	return h
}

func TestStateThatBringsTheProcessDownIsSteppedOverAndKept(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := poisoned(t, "sound", "odd", "poison")
		for range 2 {
			require.Equal(t, durable.Restored, die(t, a).outcome(t))
		}
		for i, want := range []struct {
			word    string
			skipped []uint64
		}{{"odd", []uint64{3}}, {"sound", []uint64{3, 2}}} {
			h := die(t, a)
			r, _ := h.report.Component("words")
			require.Equal(t, durable.FellBack, r.Outcome)
			require.Equal(t, want.skipped, r.Skipped)
			require.NoError(t, r.Err)
			require.Equal(t, 1, h.words.count(want.word))
			require.Zero(t, h.words.count("poison"))
			require.Equal(t, 2+i, h.report.CrashRestarts)
		}
		for range 2 { // nothing older is left, and refusing does not count
			h := prepare(t, a.Reopen(), stepping(new(journal), 1))
			report, err := h.Restore(t.Context())
			require.ErrorContains(t, err, "the last 4 starts ended neither with Close")
			require.Equal(t, 4, report.CrashRestarts)
			require.ErrorIs(t, h.words.CheckpointState(t.Context()), durable.ErrNotRestored)
			require.NoError(t, h.Close())
		}
		kept := 0
		for id, err := range a.ListComponents(t.Context()) {
			require.NoError(t, err)
			if strings.HasPrefix(id, "~aside/") {
				kept++
			}
		}
		require.Equal(t, 2, kept)
	})
}

func TestAfterAStepBackSavesGoOnAboveWhatWasSteppedOver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := poisoned(t, "sound", "poison")
		die(t, a)
		die(t, a)
		h := prepare(t, a.Reopen(), stepping(new(journal), 1))
		_, err := h.Restore(t.Context())
		require.NoError(t, err)
		h.words.add("more")
		require.NoError(t, h.words.CheckpointState(t.Context()))
		require.EqualValues(t, 3, h.Status()[0].Version)
		report, err := h.Restore(t.Context(), "words")
		require.NoError(t, err)
		require.Equal(t, durable.Restored, report.Results[0].Outcome, "only the start steps back")
		require.NoError(t, h.Close())

		h = start(t, a.Reopen(), stepping(new(journal), 1))
		require.Equal(t, durable.Restored, h.outcome(t))
		require.Zero(t, h.report.CrashRestarts)
		require.Equal(t, []int{1, 1, 0}, []int{h.words.count("sound"), h.words.count("more"), h.words.count("poison")})
		require.NoError(t, h.Close())
	})
}

func TestARestoreThatIsCalledAgainDoesNotUndoAStepBack(t *testing.T) {
	for _, mode := range []func(*durable.Options) *durable.Options{consistent, func(o *durable.Options) *durable.Options { return o }} {
		bubble(t, func(t *testing.T) {
			a := poisoned(t, "sound", "poison")
			die(t, a)
			die(t, a)
			h := prepare(t, a.Reopen(), mode(stepping(new(journal), 1)))
			for range 3 {
				var err error
				h.report, err = h.Restore(t.Context())
				require.NoError(t, err)
				require.Equal(t, durable.FellBack, h.outcome(t))
				require.Equal(t, []int{1, 0}, []int{h.words.count("sound"), h.words.count("poison")})
			}
			require.NoError(t, h.Close())
		})
	}
}

func TestAStepBackDoesNotReturnToWhatWasSteppedOver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := poisoned(t, "sound", "poison")
		die(t, a)
		die(t, a)
		own := &flaky{MemoryAdapter: a.Reopen(), fail: map[string]func(string) error{}}
		h := prepare(t, own, stepping(new(journal), 1))
		_, err := h.Restore(t.Context())
		require.NoError(t, err)
		for range 2 { // version 2, the poison, is two generations back now
			h.words.add("more")
			require.NoError(t, h.words.CheckpointState(t.Context()))
		}
		own.down("save", "refresh", "renew")
		_ = h.Close()
		h = die(t, a)
		require.Equal(t, []int{1, 2, 0}, []int{h.words.count("sound"), h.words.count("more"), h.words.count("poison")})
	})
}

func TestAStepBackThatCannotKeepTheBadStateIsNone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := poisoned(t, "sound", "poison")
		die(t, a)
		die(t, a)
		own := &flaky{MemoryAdapter: a.Reopen(), fail: map[string]func(string) error{}}
		own.on("save", func(id string) error {
			if strings.HasPrefix(id, "~aside/") {
				return errDown
			}
			return nil
		})
		h := prepare(t, own, stepping(new(journal), 1))
		_, err := h.Restore(t.Context())
		require.ErrorContains(t, err, "could not be set aside")
		require.ErrorIs(t, h.words.CheckpointState(t.Context()), durable.ErrNotRestored)
		require.NoError(t, h.Close())
	})
}
