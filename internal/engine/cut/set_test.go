package cut_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/testkit"
)

func TestASetHoldsTheEnvelopesOfAllComponentsOneAfterTheOther(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := testkit.NewFlaky()
		o := testkit.Consistent(testkit.Quiet())
		o.System = "sys"
		d := testkit.StartDuo(t, a, o)
		d.Work()
		require.NoError(t, d.Checkpoint(t.Context()))
		require.Equal(t, map[string]string{"left": `{"N":1}`, "right": `{"N":1}`}, testkit.StoredSet(t, a, "sys/~set"))
		require.Zero(t, a.Calls("save", "sys/left"), "nothing is saved by itself")
		require.NoError(t, d.Close())
		d = testkit.StartDuo(t, a, o)
		d.RequireBoth(t, 1, durable.Restored)
		require.True(t, d.Report.CleanShutdown)
		require.NoError(t, d.Close())
	})
}

func TestWithoutConsistentDoJustCallsIt(t *testing.T) {
	cp := durable.New(durable.NewMemoryAdapter(nil), testkit.Quiet())
	n := 0
	cp.Do(func() { cp.Do(func() { n++ }) })
	require.Equal(t, 1, n)
	require.NoError(t, cp.Close())
}

func TestDoRunsBeforeRestoreAndAfterClose(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := durable.NewMemoryAdapter(nil)
		d := testkit.PrepareDuo(t, a, testkit.Consistent(testkit.Quiet()))
		d.Work()
		_, err := d.Restore(t.Context())
		require.NoError(t, err)
		require.NoError(t, d.Close())
		d.Work()
		d = testkit.StartDuo(t, a, testkit.Consistent(testkit.Quiet()))
		d.RequireBoth(t, 1, durable.Restored)
		require.NoError(t, d.Close())
	})
}

func TestDoEndsWhenItsFunctionPanics(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		d := testkit.StartDuo(t, durable.NewMemoryAdapter(nil), testkit.Consistent(testkit.Quiet()))
		require.Panics(t, func() { d.Do(func() { panic("oh") }) })
		require.NoError(t, d.Checkpoint(t.Context()))
		require.NoError(t, d.Close())
	})
}

func TestCommitOfAPartReturnsWhenACutWithItIsStoredAndCommitsShareCuts(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := testkit.NewFlaky()
		d := testkit.StartDuo(t, a, testkit.Consistent(testkit.Quiet()))
		require.NoError(t, d.Left.Commit(t.Context(), func(s *testkit.Sum) { s.N = 7 }))
		require.Equal(t, `{"N":7}`, testkit.StoredSet(t, a, "~set")["left"])
		release := make(chan struct{})
		a.On("save", func(string) error { <-release; return nil })
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { require.NoError(t, d.Left.Commit(t.Context(), func(s *testkit.Sum) { s.N++ })) })
			wg.Go(func() { require.NoError(t, d.Right.Commit(t.Context(), func(s *testkit.Sum) { s.N++ })) })
			synctest.Wait()
		}
		a.Calls("", "")
		close(release)
		wg.Wait()
		require.LessOrEqual(t, a.Calls("save", "~set"), 1)
		require.Equal(t, map[string]string{"left": `{"N":57}`, "right": `{"N":50}`}, testkit.StoredSet(t, a, "~set"))
		require.NoError(t, d.Close())
	})
}

func TestCommitInsideDoEndsWithItsContext(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		d := testkit.StartDuo(t, durable.NewMemoryAdapter(nil), testkit.Consistent(testkit.Quiet()))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		d.Do(func() {
			require.ErrorIs(t, d.Left.Commit(ctx, func(s *testkit.Sum) { s.N++ }), context.DeadlineExceeded)
		})
		require.NoError(t, d.Checkpoint(t.Context()))
		require.NoError(t, d.Close())
	})
}

func TestAUnitThatHangsFailsTheSaveAndStopsNobodyForEver(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		j := &testkit.Journal{}
		d := testkit.StartDuo(t, durable.NewMemoryAdapter(nil), testkit.Consistent(j.Options()))
		hang := make(chan struct{})
		go d.Do(func() { <-hang })
		synctest.Wait()
		err := d.Checkpoint(t.Context())
		require.ErrorContains(t, err, "unit of work does not end")
		d.Work()
		close(hang)
		require.NoError(t, d.Checkpoint(t.Context()))
		require.NoError(t, d.Close())
	})
}

func TestStatusTellsOfEveryComponentAndOfTheSet(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		d := testkit.StartDuo(t, testkit.NewFlaky(), testkit.Consistent(testkit.Quiet()))
		require.NoError(t, d.Checkpoint(t.Context()))
		d.Left.Add(1)
		all := d.Status()
		require.Len(t, all, 3)
		require.Equal(t, []string{"left", "right", "~set"}, []string{all[0].ComponentID, all[1].ComponentID, all[2].ComponentID})
		require.Equal(t, []bool{true, false, true}, []bool{all[0].Changed, all[1].Changed, all[2].Changed})
		require.Equal(t, all[2].Version, all[0].Version)
		require.Equal(t, 7, all[0].Bytes)
		require.Greater(t, all[2].Bytes, 14)
		require.NoError(t, d.Checkpoint(t.Context()))
		require.False(t, d.Status()[0].Changed)
		require.NoError(t, d.Health())
		require.NoError(t, d.Close())
	})
}

func TestCloseListsTheComponentsWhoseChangesAreNotInASet(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := testkit.NewFlaky()
		d := testkit.StartDuo(t, a, testkit.Consistent(testkit.Quiet()))
		require.NoError(t, d.Checkpoint(t.Context()))
		d.Right.Add(1)
		a.Down("save", "refresh")
		var ce *durable.CloseError
		require.ErrorAs(t, d.Close(), &ce)
		require.Len(t, ce.Unsaved, 1)
		require.Equal(t, "right", ce.Unsaved[0].ComponentID)
		require.ErrorIs(t, ce.Unsaved[0].Err, testkit.ErrDown)
	})
}

func TestConsistentRefusesIntervalsOfComponentsAndARestoreOfSome(t *testing.T) {
	o := testkit.Consistent(testkit.Quiet())
	o.Components = map[string]durable.ComponentOptions{"left": {Interval: time.Second}}
	require.ErrorContains(t, durable.New(testkit.NewFlaky(), o).Start(), "together with Options.Consistent")
	d := testkit.PrepareDuo(t, testkit.NewFlaky(), testkit.Consistent(testkit.Quiet()))
	_, err := d.Restore(t.Context(), "left")
	require.ErrorContains(t, err, "as one set")
	_, err = d.Restore(t.Context(), "right", "left")
	require.NoError(t, err)
	require.NoError(t, d.Close())
}

func BenchmarkDo(b *testing.B) {
	cp := durable.New(durable.NewMemoryAdapter(nil), testkit.Consistent(&durable.Options{Logger: slog.New(slog.DiscardHandler)}))
	defer cp.Close()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			cp.Do(func() {})
		}
	})
}
