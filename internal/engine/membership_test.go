package engine_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/adapter"
	"github.com/durablestate/durable/internal/engine"
	"github.com/durablestate/durable/internal/store"
)

// working returns an engine with n components that is restored and started.
func working(t *testing.T, a *counting, n int) *engine.Engine {
	t.Helper()
	e := newEngine(a, nil)
	for i := range n {
		c := &number{}
		require.NoError(t, e.Register(fmt.Sprint("other", i), c, c))
	}
	_, err := e.Restore(t.Context())
	require.NoError(t, err)
	require.NoError(t, e.Start())
	return e
}

// come adds a component of that id and restores it.
func come(t *testing.T, e *engine.Engine, id string, want store.Outcome) *number {
	t.Helper()
	c := &number{}
	require.NoError(t, e.Admit(id, c, c))
	r, err := e.Restore(t.Context(), id)
	require.NoError(t, err)
	require.Len(t, r.Results, 1)
	require.Equal(t, want, r.Results[0].Outcome)
	return c
}

func closed(t *testing.T, e *engine.Engine) {
	t.Helper()
	unsaved, err := e.Close()
	require.NoError(t, err)
	require.Empty(t, unsaved)
}

func TestAComponentComesIsSavedAndGoesWhileOthersWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newCounting()
		e := working(t, a, 3)
		c := come(t, e, "session/a", store.FirstBoot)
		c.add()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		s, err := a.Adapter.Load(t.Context(), "sys/session/a")
		require.NoError(t, err, "the schedule saves it")
		require.Equal(t, "1", string(s.Data))
		require.Len(t, e.Status(), 4)

		c.add()
		require.NoError(t, e.Release(t.Context(), "session/a"))
		require.Len(t, e.Status(), 3)
		c.add() // is nobody's business any more
		calls := a.calls.Load()
		for range 3 { // the others are refreshed once an interval, and it is not
			time.Sleep(time.Minute)
		}
		synctest.Wait()
		require.LessOrEqual(t, a.calls.Load()-calls, int64(3*4))
		require.ErrorIs(t, e.Checkpoint(t.Context(), "session/a"), store.ErrNotRegistered)
		require.ErrorIs(t, e.Release(t.Context(), "session/a"), store.ErrNotRegistered)

		again := come(t, e, "session/a", store.Restored)
		require.EqualValues(t, 2, again.n.Load(), "what was released was saved first")
		again.add()
		closed(t, e)
		s, err = (&adapter.Adapter{Store: a.Store}).Load(t.Context(), "sys/session/a")
		require.NoError(t, err)
		require.Equal(t, "3", string(s.Data))
	})
}

func TestAComponentThatCannotBeSavedIsNotReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newCounting()
		e := working(t, a, 1)
		c := come(t, e, "session/a", store.FirstBoot)
		c.add()
		a.down.Store(true)
		require.ErrorIs(t, e.Release(t.Context(), "session/a"), errDown)
		require.Len(t, e.Status(), 2, "it stays")
		a.down.Store(false)
		c.add()
		require.NoError(t, e.Release(t.Context(), "session/a"))
		require.EqualValues(t, 2, come(t, e, "session/a", store.Restored).n.Load())
		closed(t, e)
	})
}

func TestAComponentThatChangesMeanwhileIsNotReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newCounting()
		e := working(t, a, 1)
		c := come(t, e, "session/a", store.FirstBoot)
		c.add()
		a.saving = c.add
		require.ErrorContains(t, e.Release(t.Context(), "session/a"), "changes")
		a.saving = nil
		require.NoError(t, e.Release(t.Context(), "session/a"))
		require.EqualValues(t, 2, come(t, e, "session/a", store.Restored).n.Load())
		closed(t, e)
	})
}

func TestWhatWentLeavesNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newCounting()
		e := working(t, a, 10)
		heap := func() uint64 {
			runtime.GC()
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		cycle := func() {
			c := &number{}
			require.NoError(t, e.Admit("session/a", c, c))
			require.NoError(t, e.Release(t.Context(), "session/a"))
		}
		cycle()
		before := heap()
		const cycles = 20_000
		for range cycles {
			cycle()
		}
		require.Less(t, heap(), before+cycles*4, "bytes for each that came and went")
		require.Len(t, e.Status(), 10)
		closed(t, e)
	})
}

func TestAComponentThatWasNeverRestoredIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := working(t, newCounting(), 0)
		c := &number{}
		require.NoError(t, e.Admit("session/a", c, c))
		require.ErrorContains(t, e.Admit("session/a", c, c), "registered already")
		require.NoError(t, e.Release(t.Context(), "session/a"))
		come(t, e, "session/a", store.FirstBoot)
		closed(t, e)
	})
}

func TestWhatIsTheLibrarysOwnCannotCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := working(t, newCounting(), 0)
		c := &number{}
		for _, id := range []string{"", "~set", "~starts", "~aside/1-1/x"} {
			require.ErrorIs(t, e.Admit(id, c, c), store.ErrInvalidID, id)
		}
		require.ErrorContains(t, e.Admit("session/a", nil, nil), "nil")
		closed(t, e)
	})
}

func TestAComponentWhoseRestoreFailedIsForgottenUnlessItChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newCounting()
		e := working(t, a, 0)
		fail := func() *number {
			c := &number{}
			require.NoError(t, e.Admit("session/a", c, c))
			a.down.Store(true)
			defer a.down.Store(false)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err := e.Restore(ctx, "session/a")
			require.ErrorIs(t, err, errDown)
			return c
		}
		fail()
		require.ErrorIs(t, e.Health(), store.ErrNotRestored)
		require.NoError(t, e.Release(t.Context(), "session/a"), "nothing of it is lost")
		require.NoError(t, e.Health())

		fail().add()
		require.ErrorIs(t, e.Release(t.Context(), "session/a"), store.ErrNotRestored, "Close would list it")
		_, err := e.Restore(t.Context(), "session/a")
		require.NoError(t, err)
		require.NoError(t, e.Release(t.Context(), "session/a"))

		c := &number{}
		require.NoError(t, e.Admit("session/a", c, c))
		c.add()
		require.ErrorIs(t, e.Release(t.Context(), "session/a"), store.ErrNotRestored)
		_, err = e.Restore(t.Context(), "session/a")
		require.NoError(t, err)
		closed(t, e)
	})
}

func TestWhatComesLateAndIsNeverRestoredIsListedByClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := working(t, newCounting(), 0)
		c := &number{}
		require.NoError(t, e.Admit("session/a", c, c))
		c.add()
		unsaved, err := e.Close()
		require.NoError(t, err)
		require.Len(t, unsaved, 1)
		require.ErrorIs(t, unsaved[0].Err, store.ErrNotRestored)
	})
}

func TestARestoreOfOneLeavesTheOthersAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newCounting()
		e := working(t, a, 0)
		other := come(t, e, "session/b", store.FirstBoot)
		c := &number{}
		require.NoError(t, e.Admit("session/a", c, c))
		a.down.Store(true)
		ctx, give := context.WithTimeout(t.Context(), time.Minute)
		defer give()
		go func() {
			time.Sleep(30 * time.Second)
			other.add()
			a.down.Store(false)
			_ = e.Checkpoint(ctx, "session/b")
		}()
		_, err := e.Restore(ctx, "session/a")
		require.NoError(t, err)
		synctest.Wait()
		require.False(t, e.Status()[0].Changed, "it was saved while the other one was being restored")
		closed(t, e)
	})
}

func TestWithAConsistentSetNobodyComesOrGoes(t *testing.T) {
	e := newEngine(newCounting(), func(o *engine.Options) { o.Consistent = true })
	c := &number{}
	require.NoError(t, e.Register("a", c, c))
	_, err := e.Restore(t.Context())
	require.NoError(t, err)
	require.ErrorContains(t, e.Admit("b", c, c), "Consistent")
	require.ErrorContains(t, e.Release(t.Context(), "a"), "Consistent")
	closed(t, e)
}

// Coming, being restored, saved and going is as much work among very many as
// among few: as many calls, and as many bytes allocated.
func TestComingAndGoingCostsTheSameHoweverManyOthersThereAre(t *testing.T) {
	cost := func(others int) (calls int64, bytes uint64) {
		a := newCounting()
		e := working(t, a, others)
		defer e.Close()
		var before, after runtime.MemStats
		began := a.calls.Load()
		runtime.ReadMemStats(&before)
		const cycles = 50
		for i := range cycles {
			id := fmt.Sprint("session/", i)
			c := come(t, e, id, store.FirstBoot)
			c.add()
			require.NoError(t, e.Checkpoint(t.Context(), id))
			require.NoError(t, e.Release(t.Context(), id))
		}
		runtime.ReadMemStats(&after)
		return (a.calls.Load() - began) / cycles, (after.TotalAlloc - before.TotalAlloc) / cycles
	}
	fewCalls, fewBytes := cost(10)
	manyCalls, manyBytes := cost(20_000)
	require.Equal(t, fewCalls, manyCalls)
	require.Less(t, manyBytes, 2*fewBytes, "%d bytes among few", fewBytes)
}

func TestComingAndGoingOfManyAtATimeIsSafe(t *testing.T) {
	a := newCounting()
	e := working(t, a, 10)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 50 {
				id := fmt.Sprintf("session/%d-%d", w, i%5)
				c := &number{}
				if err := e.Admit(id, c, c); err != nil {
					t.Error(err)
					return
				}
				if _, err := e.Restore(context.Background(), id); err != nil {
					t.Error(err)
					return
				}
				if want := uint64(i / 5); c.n.Load() != want {
					t.Errorf("%s: %d instead of %d", id, c.n.Load(), want)
				}
				c.add()
				e.Status()
				_ = e.Health()
				if err := e.Release(context.Background(), id); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	require.Len(t, e.Status(), 10)
	closed(t, e)
}
