package durable_test

import (
	"context"
	"testing"
	"time"

	"github.com/durablestate/durable"
	"github.com/stretchr/testify/require"
)

func TestP6_ASuccessorWaitsForTheLeaseAndStartsFromTheLastSave(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := durable.NewMemoryAdapter(nil)
		old := start(t, a, nil)
		old.words.add("final")
		next := prepare(t, a, nil)
		go func() {
			time.Sleep(time.Hour)
			require.ErrorIs(t, next.Health(), durable.ErrLeaseHeld, "a standby")
			require.ErrorContains(t, next.Health(), "system")
			require.NoError(t, old.Close())
		}()
		report, err := next.Restore(t.Context())
		require.NoError(t, err)
		require.True(t, report.CleanShutdown)
		require.Equal(t, 1, next.words.count("final"))
		require.NoError(t, next.Health())
		require.NoError(t, next.Close())
	})
}

func TestP6_APredecessorThatWasAsleepIsRefusedAndTold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := newFlaky()
		o := quiet()
		o.Holder = "sleeper"
		o.Interval = time.Hour
		sleeper := start(t, a, o)
		require.NoError(t, sleeper.words.Commit(ctx, func(c *counts) { c.Words["acked"] = 1 }))
		a.down("renew") // as if it were paused
		time.Sleep(time.Minute)
		a.up("renew")

		next := prepare(t, a.MemoryAdapter, nil)
		l, err := a.LoadLease(ctx, "")
		require.NoError(t, err)
		require.Equal(t, "sleeper", l.Holder)
		a.down("renew")
		report, err := next.Restore(ctx)
		require.NoError(t, err)
		require.Equal(t, "sleeper", report.Predecessor)
		require.False(t, report.CleanShutdown)
		a.up("renew")

		require.ErrorIs(t, sleeper.words.Commit(ctx, func(c *counts) { c.Words["late"] = 1 }), durable.ErrFenced)
		time.Sleep(time.Minute)
		require.ErrorIs(t, sleeper.Health(), durable.ErrFenced)
		require.ErrorIs(t, sleeper.Close(), durable.ErrFenced)
		require.NoError(t, next.words.Commit(ctx, func(c *counts) { c.Words["next"] = 1 }))
		require.NoError(t, next.Health())
		require.NoError(t, next.Close())
		s, err := a.LoadState(ctx, "words")
		require.NoError(t, err)
		require.Equal(t, `{"Words":{"acked":1,"next":1}}`, string(s.Data))
	})
}

func TestAnOwnerThatLostItsLeaseFindsOutWithoutSaving(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := durable.NewMemoryAdapter(nil)
		j := &journal{}
		o := j.options()
		o.Interval = 24 * time.Hour
		h := start(t, a, o)
		l, err := a.AcquireLease(ctx, "", leaseHolder(t, a), time.Hour) // the same holder elsewhere
		require.NoError(t, err)
		time.Sleep(10 * time.Second)
		require.ErrorIs(t, h.Health(), durable.ErrFenced)
		require.ErrorIs(t, h.words.CheckpointState(ctx), durable.ErrFenced)
		require.Positive(t, j.count("fence"))
		require.NoError(t, a.ReleaseLease(ctx, l))
		_, err = h.Restore(ctx)
		require.NoError(t, err, "restored in the same process")
		require.NoError(t, h.Health())
		require.NoError(t, h.words.Commit(ctx, func(*counts) {}))
		require.NoError(t, h.Close())
	})
}

func leaseHolder(t *testing.T, a durable.Owner) string {
	l, err := a.LoadLease(t.Context(), "")
	require.NoError(t, err)
	return l.Holder
}

func TestARestoreThatMeetsAGreaterFenceTakesANewLease(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := durable.NewMemoryAdapter(nil)
		far := uint64(time.Now().Add(1000 * time.Hour).UnixMilli())
		require.NoError(t, a.SaveState(ctx, "words", &durable.Snapshot{Epoch: far, Version: 7, WriteID: "w", Codec: "json", Data: []byte(`{"Words":{"x":1}}`)}))
		h := start(t, a, nil)
		require.Equal(t, 1, h.words.count("x"))
		require.NoError(t, h.words.Commit(ctx, func(*counts) {}))
		s, err := a.LoadState(ctx, "words")
		require.NoError(t, err)
		require.Greater(t, s.Epoch, far)
		require.EqualValues(t, 8, s.Version)
		require.NoError(t, h.Close())
	})
}

func TestAStableHolderTakesItsOwnLeaseBackAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := durable.NewMemoryAdapter(nil)
		opts := func() *durable.Options {
			o := quiet()
			o.Holder = "pod-0"
			return o
		}
		crashed := start(t, a, opts())
		begin := time.Now()
		h := start(t, a, opts())
		require.Zero(t, time.Since(begin))
		require.NoError(t, h.Close())
		require.NoError(t, crashed.Close(), "nothing of it was unsaved")
	})
}

func TestTheLeaseIsKeptWhileFinalSavesTakeTheirTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newFlaky()
		o := quiet()
		o.LeaseTTL = 3 * time.Second
		h := start(t, a, o)
		h.words.add("x")
		a.on("save", func(string) error { time.Sleep(9 * time.Second); return nil })
		done := make(chan error)
		go func() { done <- h.Close() }()
		for range 8 {
			time.Sleep(time.Second)
			_, err := a.MemoryAdapter.AcquireLease(t.Context(), "", "other", time.Second)
			require.ErrorIs(t, err, durable.ErrLeaseHeld)
		}
		require.NoError(t, <-done)
	})
}

func TestSystemsAndReplicasKeepOutOfEachOthersWay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := durable.NewMemoryAdapter(nil)
		for i, ns := range [][2]string{{"", ""}, {"fraud", ""}, {"fraud", "r0"}, {"fraud", "r1"}, {"todo", ""}} {
			o := quiet()
			o.System, o.Replica = ns[0], ns[1]
			h := start(t, a, o)
			defer h.Close()
			require.Equal(t, durable.FirstBoot, h.outcome(t))
			require.NoError(t, h.words.Commit(ctx, func(c *counts) { c.Words["n"] = i }))
		}
		for _, name := range []string{"words", "fraud/words", "fraud/r0/words", "fraud/r1/words", "todo/words"} {
			_, err := a.LoadState(ctx, name)
			require.NoError(t, err)
		}
	})
}

func TestOwnershipCanBeSwitchedOffAndIsFoundThroughAWrapper(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := durable.NewMemoryAdapter(nil)
		o := quiet()
		o.LeaseTTL = -1
		h := start(t, a, o)
		_, err := a.LoadLease(ctx, "")
		require.ErrorIs(t, err, durable.ErrNotFound)
		require.NoError(t, h.Close())

		h = start(t, wrapped{fourMethods{a}, a}, nil)
		_, err = a.LoadLease(ctx, "")
		require.NoError(t, err)
		require.NoError(t, h.Close())
	})
}

type wrapped struct {
	durable.StateAdapter
	inner durable.StateAdapter
}

func (w wrapped) Unwrap() durable.StateAdapter { return w.inner }

func TestP12_NoGoroutineBeforeRestoreAndNoneAfterClose(t *testing.T) {
	bubble(t, func(t *testing.T) { // the bubble itself fails when one is left
		durable.New(durable.NewMemoryAdapter(nil), nil)
		prepare(t, durable.NewMemoryAdapter(nil), nil)
		h := prepare(t, durable.NewMemoryAdapter(nil), nil)
		_, err := h.Restore(t.Context())
		require.NoError(t, err)
		require.NoError(t, h.Close(), "works without Start")
	})
}

func TestRestoreSaysWhoHoldsTheLeaseWhenItsContextEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := durable.NewMemoryAdapter(nil)
		o := quiet()
		o.Holder = "pod-old"
		old := start(t, a, o)
		next := prepare(t, a, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := next.Restore(ctx)
		require.ErrorIs(t, err, durable.ErrLeaseHeld)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "pod-old")
		require.NoError(t, next.Close())
		require.NoError(t, old.Close())
	})
}
