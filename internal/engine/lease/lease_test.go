package lease_test

import (
	"context"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/testkit"
)

func TestP6_ASuccessorWaitsForTheLeaseAndStartsFromTheLastSave(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := durable.NewMemoryAdapter(nil)
		old := testkit.Start(t, a, nil)
		old.Words.Add("final")
		next := testkit.Prepare(t, a, nil)
		go func() {
			time.Sleep(time.Hour)
			require.ErrorIs(t, next.Health(), durable.ErrLeaseHeld, "a standby")
			require.ErrorContains(t, next.Health(), "system")
			require.NoError(t, old.Close())
		}()
		report, err := next.Restore(t.Context())
		require.NoError(t, err)
		require.True(t, report.CleanShutdown)
		require.Equal(t, 1, next.Words.Count("final"))
		require.NoError(t, next.Health())
		require.NoError(t, next.Close())
	})
}

func TestP6_APredecessorThatWasAsleepIsRefusedAndTold(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := testkit.NewFlaky()
		o := testkit.Quiet()
		o.Holder = "sleeper"
		o.Interval = time.Hour
		sleeper := testkit.Start(t, a, o)
		require.NoError(t, sleeper.Words.Commit(ctx, func(c *testkit.Counts) { c.Words["acked"] = 1 }))
		a.Down("renew") // as if it were paused
		time.Sleep(time.Minute)
		a.Up("renew")

		next := testkit.Prepare(t, a.MemoryAdapter, nil)
		l, err := a.LoadLease(ctx, "")
		require.NoError(t, err)
		require.Equal(t, "sleeper", l.Holder)
		a.Down("renew")
		report, err := next.Restore(ctx)
		require.NoError(t, err)
		require.Equal(t, "sleeper", report.Predecessor)
		require.False(t, report.CleanShutdown)
		a.Up("renew")

		require.ErrorIs(t, sleeper.Words.Commit(ctx, func(c *testkit.Counts) { c.Words["late"] = 1 }), durable.ErrFenced)
		time.Sleep(time.Minute)
		require.ErrorIs(t, sleeper.Health(), durable.ErrFenced)
		require.ErrorIs(t, sleeper.Close(), durable.ErrFenced)
		require.NoError(t, next.Words.Commit(ctx, func(c *testkit.Counts) { c.Words["next"] = 1 }))
		require.NoError(t, next.Health())
		require.NoError(t, next.Close())
		s, err := a.LoadState(ctx, "words")
		require.NoError(t, err)
		require.Equal(t, `{"Words":{"acked":1,"next":1}}`, string(s.Data))
	})
}

func TestAnOwnerThatLostItsLeaseFindsOutWithoutSaving(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := durable.NewMemoryAdapter(nil)
		j := &testkit.Journal{}
		o := j.Options()
		o.Interval = 24 * time.Hour
		h := testkit.Start(t, a, o)
		l, err := a.AcquireLease(ctx, "", testkit.LeaseHolder(t, a), time.Hour) // the same holder elsewhere
		require.NoError(t, err)
		time.Sleep(10 * time.Second)
		require.ErrorIs(t, h.Health(), durable.ErrFenced)
		require.ErrorIs(t, h.Words.CheckpointState(ctx), durable.ErrFenced)
		require.Positive(t, j.Count("fence"))
		require.NoError(t, a.ReleaseLease(ctx, l))
		_, err = h.Restore(ctx)
		require.NoError(t, err, "restored in the same process")
		require.NoError(t, h.Health())
		require.NoError(t, h.Words.Commit(ctx, func(*testkit.Counts) {}))
		require.NoError(t, h.Close())
	})
}

func TestARestoreThatMeetsAGreaterFenceTakesANewLease(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := durable.NewMemoryAdapter(nil)
		far := uint64(time.Now().Add(1000 * time.Hour).UnixMilli())
		require.NoError(t, a.SaveState(ctx, "words", &durable.Snapshot{Epoch: far, Version: 7, WriteID: "w", Codec: "json", Data: []byte(`{"Words":{"x":1}}`)}))
		h := testkit.Start(t, a, nil)
		require.Equal(t, 1, h.Words.Count("x"))
		require.NoError(t, h.Words.Commit(ctx, func(*testkit.Counts) {}))
		s, err := a.LoadState(ctx, "words")
		require.NoError(t, err)
		require.Greater(t, s.Epoch, far)
		require.EqualValues(t, 8, s.Version)
		require.NoError(t, h.Close())
	})
}

func TestAStableHolderTakesItsOwnLeaseBackAtOnce(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := durable.NewMemoryAdapter(nil)
		opts := func() *durable.Options {
			o := testkit.Quiet()
			o.Holder = "pod-0"
			return o
		}
		crashed := testkit.Start(t, a, opts())
		begin := time.Now()
		h := testkit.Start(t, a, opts())
		require.Zero(t, time.Since(begin))
		require.NoError(t, h.Close())
		require.NoError(t, crashed.Close(), "nothing of it was unsaved")
	})
}

func TestTheLeaseIsKeptWhileFinalSavesTakeTheirTime(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := testkit.NewFlaky()
		o := testkit.Quiet()
		o.LeaseTTL = 3 * time.Second
		h := testkit.Start(t, a, o)
		h.Words.Add("x")
		a.On("save", func(string) error { time.Sleep(9 * time.Second); return nil })
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
	testkit.Bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := durable.NewMemoryAdapter(nil)
		for i, ns := range [][2]string{{"", ""}, {"fraud", ""}, {"fraud", "r0"}, {"fraud", "r1"}, {"todo", ""}} {
			o := testkit.Quiet()
			o.System, o.Replica = ns[0], ns[1]
			h := testkit.Start(t, a, o)
			defer h.Close()
			require.Equal(t, durable.FirstBoot, h.Outcome(t))
			require.NoError(t, h.Words.Commit(ctx, func(c *testkit.Counts) { c.Words["n"] = i }))
		}
		for _, name := range []string{"words", "fraud/words", "fraud/r0/words", "fraud/r1/words", "todo/words"} {
			_, err := a.LoadState(ctx, name)
			require.NoError(t, err)
		}
	})
}

func TestOwnershipCanBeSwitchedOffAndIsFoundThroughAWrapper(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := durable.NewMemoryAdapter(nil)
		o := testkit.Quiet()
		o.LeaseTTL = -1
		h := testkit.Start(t, a, o)
		_, err := a.LoadLease(ctx, "")
		require.ErrorIs(t, err, durable.ErrNotFound)
		require.NoError(t, h.Close())

		h = testkit.Start(t, wrapped{testkit.FourMethods{StateAdapter: a}, a}, nil)
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

func TestRestoreSaysWhoHoldsTheLeaseWhenItsContextEnds(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := durable.NewMemoryAdapter(nil)
		o := testkit.Quiet()
		o.Holder = "pod-old"
		old := testkit.Start(t, a, o)
		next := testkit.Prepare(t, a, nil)
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

// A store that was away for less than the TTL costs a healthy owner nothing: it
// renews as soon as the store is back, not at the next third of the TTL.
func TestAnOwnerInGoodHealthDoesNotLoseItsLeaseToARestartOfTheStore(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := testkit.NewFlaky()
		o := testkit.Quiet()
		o.LeaseTTL = 15 * time.Second
		h := testkit.Start(t, a, o)
		time.Sleep(4 * time.Second)
		a.Down("renew") // misses the renewals after 5 s and 10 s
		time.Sleep(8 * time.Second)
		a.Up("renew")
		time.Sleep(time.Second)
		l, err := a.LoadLease(t.Context(), "")
		require.NoError(t, err)
		require.Greater(t, time.Until(l.Expires), 13*time.Second, "renewed within a second")
		require.NoError(t, h.Close())
	})
}

func TestAnOutageIsNotAnsweredWithAStormOfRenewals(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := testkit.NewFlaky()
		o := testkit.Quiet()
		o.LeaseTTL = 15 * time.Second
		h := testkit.Start(t, a, o)
		var tries atomic.Int64
		a.On("renew", func(string) error { tries.Add(1); return testkit.ErrDown })
		time.Sleep(10 * time.Minute)
		require.Less(t, tries.Load(), int64(2000), "two or three a second")
		a.Up("renew")
		require.NoError(t, h.Close())
	})
}

// Nobody has to save for a program to learn that its directory is not in its place.
func TestHealthTellsOfADirectoryThatIsNotInItsPlaceBeforeAnySave(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "state")
		a, err := durable.NewFileAdapter(path, nil)
		require.NoError(t, err)
		defer a.Close()
		o := testkit.Quiet()
		o.Interval = time.Hour
		h := testkit.Start(t, a, o)
		require.NoError(t, h.Words.Commit(t.Context(), func(c *testkit.Counts) { c.Words["one"] = 1 }))
		time.Sleep(time.Minute)
		require.NoError(t, h.Health())
		require.NoError(t, os.Rename(path, path+".old"))
		require.NoError(t, os.Mkdir(path, 0o700))
		time.Sleep(time.Minute)
		require.ErrorIs(t, h.Health(), durable.ErrPermanent)
		require.ErrorContains(t, h.Health(), path)
		require.ErrorContains(t, h.Words.Commit(t.Context(), func(c *testkit.Counts) { c.Words["two"] = 2 }), path)
		require.NoError(t, os.Remove(path))
		require.NoError(t, os.Rename(path+".old", path))
		time.Sleep(time.Minute)
		require.NoError(t, h.Health())
		require.NoError(t, h.Words.CheckpointState(t.Context()))
		require.NoError(t, h.Close())
	})
}
