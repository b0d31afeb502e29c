package durable_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/envelope"
)

// sum is a small state that can be cloned.
type sum struct{ N int }

func (t *sum) Clone() sum { return *t }

type summed struct {
	durable.StatefulComponent[sum]
}

func (c *summed) n() (n int) {
	c.View(func(t *sum) { n = t.N })
	return n
}

func (c *summed) add(n int) { c.Update(func(t *sum) { t.N += n }) }

// duo is a Checkpointer with two components, left and right, which every unit of
// work changes alike.
type duo struct {
	*durable.Checkpointer
	left, right *summed
	report      durable.Report
}

func consistent(o *durable.Options) *durable.Options {
	o.Consistent = true
	return o
}

func prepareDuo(t *testing.T, a durable.StateAdapter, opts *durable.Options) duo {
	t.Helper()
	d := duo{Checkpointer: durable.New(a, opts), left: &summed{}, right: &summed{}}
	require.NoError(t, d.Register("left", d.left))
	require.NoError(t, d.Register("right", d.right))
	return d
}

func startDuo(t *testing.T, a durable.StateAdapter, opts *durable.Options) duo {
	t.Helper()
	d := prepareDuo(t, a, opts)
	var err error
	d.report, err = d.Restore(t.Context())
	require.NoError(t, err)
	require.NoError(t, d.Start())
	return d
}

func (d duo) work() {
	d.Do(func() {
		d.left.add(1)
		d.right.add(1)
	})
}

func (d duo) requireBoth(t *testing.T, n int, o durable.Outcome) {
	t.Helper()
	require.Equal(t, [2]int{n, n}, [2]int{d.left.n(), d.right.n()})
	for _, r := range d.report.Results {
		require.Equal(t, o, r.Outcome, r.ComponentID)
	}
	require.Len(t, d.report.Results, 2)
}

// storedSet returns the states in the stored set.
func storedSet(t *testing.T, a durable.StateAdapter, name string) map[string]string {
	t.Helper()
	s, err := a.LoadState(t.Context(), name)
	require.NoError(t, err)
	states := map[string]string{}
	for rest := s.Data; len(rest) > 0; {
		r, n, err := envelope.Parse(rest)
		require.NoError(t, err)
		states[r.ID] = string(r.Data)
		rest = rest[n:]
	}
	return states
}

func TestASetHoldsTheEnvelopesOfAllComponentsOneAfterTheOther(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newFlaky()
		o := consistent(quiet())
		o.System = "sys"
		d := startDuo(t, a, o)
		d.work()
		require.NoError(t, d.Checkpoint(t.Context()))
		require.Equal(t, map[string]string{"left": `{"N":1}`, "right": `{"N":1}`}, storedSet(t, a, "sys/~set"))
		require.Zero(t, a.calls("save", "sys/left"), "nothing is saved by itself")
		require.NoError(t, d.Close())
		d = startDuo(t, a, o)
		d.requireBoth(t, 1, durable.Restored)
		require.True(t, d.report.CleanShutdown)
		require.NoError(t, d.Close())
	})
}

func TestWithoutConsistentDoJustCallsIt(t *testing.T) {
	cp := durable.New(durable.NewMemoryAdapter(nil), quiet())
	n := 0
	cp.Do(func() { cp.Do(func() { n++ }) })
	require.Equal(t, 1, n)
	require.NoError(t, cp.Close())
}

func TestDoRunsBeforeRestoreAndAfterClose(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := durable.NewMemoryAdapter(nil)
		d := prepareDuo(t, a, consistent(quiet()))
		d.work()
		_, err := d.Restore(t.Context())
		require.NoError(t, err)
		require.NoError(t, d.Close())
		d.work()
		d = startDuo(t, a, consistent(quiet()))
		d.requireBoth(t, 1, durable.Restored)
		require.NoError(t, d.Close())
	})
}

func TestDoEndsWhenItsFunctionPanics(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := startDuo(t, durable.NewMemoryAdapter(nil), consistent(quiet()))
		require.Panics(t, func() { d.Do(func() { panic("oh") }) })
		require.NoError(t, d.Checkpoint(t.Context()))
		require.NoError(t, d.Close())
	})
}

func TestCommitOfAPartReturnsWhenACutWithItIsStoredAndCommitsShareCuts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newFlaky()
		d := startDuo(t, a, consistent(quiet()))
		require.NoError(t, d.left.Commit(t.Context(), func(s *sum) { s.N = 7 }))
		require.Equal(t, `{"N":7}`, storedSet(t, a, "~set")["left"])
		release := make(chan struct{})
		a.on("save", func(string) error { <-release; return nil })
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { require.NoError(t, d.left.Commit(t.Context(), func(s *sum) { s.N++ })) })
			wg.Go(func() { require.NoError(t, d.right.Commit(t.Context(), func(s *sum) { s.N++ })) })
			synctest.Wait()
		}
		a.calls("", "")
		close(release)
		wg.Wait()
		require.LessOrEqual(t, a.calls("save", "~set"), 1)
		require.Equal(t, map[string]string{"left": `{"N":57}`, "right": `{"N":50}`}, storedSet(t, a, "~set"))
		require.NoError(t, d.Close())
	})
}

func TestCommitInsideDoEndsWithItsContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := startDuo(t, durable.NewMemoryAdapter(nil), consistent(quiet()))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		d.Do(func() {
			require.ErrorIs(t, d.left.Commit(ctx, func(s *sum) { s.N++ }), context.DeadlineExceeded)
		})
		require.NoError(t, d.Checkpoint(t.Context()))
		require.NoError(t, d.Close())
	})
}

func TestAUnitThatHangsFailsTheSaveAndStopsNobodyForEver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		j := &journal{}
		d := startDuo(t, durable.NewMemoryAdapter(nil), consistent(j.options()))
		hang := make(chan struct{})
		go d.Do(func() { <-hang })
		synctest.Wait()
		err := d.Checkpoint(t.Context())
		require.ErrorContains(t, err, "unit of work does not end")
		d.work()
		close(hang)
		require.NoError(t, d.Checkpoint(t.Context()))
		require.NoError(t, d.Close())
	})
}

func TestStatusTellsOfEveryComponentAndOfTheSet(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := startDuo(t, newFlaky(), consistent(quiet()))
		require.NoError(t, d.Checkpoint(t.Context()))
		d.left.add(1)
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
	bubble(t, func(t *testing.T) {
		a := newFlaky()
		d := startDuo(t, a, consistent(quiet()))
		require.NoError(t, d.Checkpoint(t.Context()))
		d.right.add(1)
		a.down("save", "refresh")
		var ce *durable.CloseError
		require.ErrorAs(t, d.Close(), &ce)
		require.Len(t, ce.Unsaved, 1)
		require.Equal(t, "right", ce.Unsaved[0].ComponentID)
		require.ErrorIs(t, ce.Unsaved[0].Err, errDown)
	})
}

func TestConsistentRefusesIntervalsOfComponentsAndARestoreOfSome(t *testing.T) {
	o := consistent(quiet())
	o.Components = map[string]durable.ComponentOptions{"left": {Interval: time.Second}}
	require.ErrorContains(t, durable.New(newFlaky(), o).Start(), "cannot go with Options.Consistent")
	d := prepareDuo(t, newFlaky(), consistent(quiet()))
	_, err := d.Restore(t.Context(), "left")
	require.ErrorContains(t, err, "as one set")
	_, err = d.Restore(t.Context(), "right", "left")
	require.NoError(t, err)
	require.NoError(t, d.Close())
}

func BenchmarkDo(b *testing.B) {
	cp := durable.New(durable.NewMemoryAdapter(nil), consistent(&durable.Options{Logger: slog.New(slog.DiscardHandler)}))
	defer cp.Close()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			cp.Do(func() {})
		}
	})
}
