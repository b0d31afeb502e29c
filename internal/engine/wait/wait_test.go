package wait_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/engine/wait"
	"github.com/durablestate/durable/internal/store"
)

var errDown = errors.New("connection refused")

func TestForAnswerAsksUntilThereIsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, answer := range []error{nil, store.ErrNotFound, fmt.Errorf("load: %w", store.ErrCorrupt), store.ErrClosed} {
			asked, told := 0, 0
			err := wait.ForAnswer(t.Context(), func(err error) { told++; require.Equal(t, errDown, err) }, func() error {
				if asked++; asked < 10 {
					return errDown
				}
				return answer
			})
			require.Equal(t, answer, err)
			require.Equal(t, [2]int{10, 9}, [2]int{asked, told})
		}
	})
}

func TestForAnswerWaitsLongerAndLongerAndGivesUpWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, end := context.WithTimeout(t.Context(), time.Hour)
		defer end()
		began, asked := time.Now(), 0
		require.Equal(t, errDown, wait.ForAnswer(ctx, func(error) {}, func() error { asked++; return errDown }))
		require.Equal(t, time.Hour, time.Since(began))
		require.Greater(t, asked, 700, "every five seconds at least")
		require.Less(t, asked, 5000, "not every moment")
	})
}

func TestCallsThatBeginTogetherShareADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		life, end := context.WithCancel(t.Context())
		d := wait.NewDeadlines(life, 10*time.Second)
		first := d.Begin(time.Now())
		require.True(t, first == d.Begin(time.Now()), "one context")
		time.Sleep(time.Second)
		later := d.Begin(time.Now())
		require.True(t, first != later, "two contexts")
		time.Sleep(9 * time.Second)
		synctest.Wait()
		require.Error(t, first.Err())
		require.NoError(t, later.Err(), "it began later")
		end()
		require.Error(t, later.Err())
		require.Error(t, d.Begin(time.Now()).Err(), "what begins after the end is over")
	})
}

func TestADeadlineIsShortByAHundredthAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := wait.NewDeadlines(t.Context(), 10*time.Second)
		for range 1000 {
			ends, _ := d.Begin(time.Now()).Deadline()
			require.GreaterOrEqual(t, time.Until(ends), 9900*time.Millisecond)
			time.Sleep(7 * time.Millisecond)
		}
	})
}

func TestRoutinesEndWhenTheLastOneHasReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := wait.NewRoutines()
		release := make(chan struct{})
		require.True(t, r.Go(func() { <-release }))
		require.False(t, r.Over())
		idle := r.End()
		require.True(t, r.Over())
		require.False(t, r.Go(func() { t.Error("it began after the end") }))
		ctx, end := context.WithTimeout(t.Context(), time.Second)
		defer end()
		require.False(t, wait.Until(ctx, idle))
		close(release)
		synctest.Wait()
		require.True(t, wait.Until(ctx, idle), "done counts also when the context has ended")
	})
}

func TestEachCallsEveryOneOnceAndNoMoreThanSoManyAtATime(t *testing.T) {
	for _, c := range [][2]int{{0, 4}, {1, 4}, {100, 1}, {1000, 7}} {
		n, width := c[0], c[1]
		var running, most atomic.Int64
		var mu sync.Mutex
		seen := map[int]int{}
		wait.Each(n, width, func(i int) {
			now := running.Add(1)
			for m := most.Load(); now > m && !most.CompareAndSwap(m, now); m = most.Load() {
			}
			mu.Lock()
			seen[i]++
			mu.Unlock()
			running.Add(-1)
		})
		require.Len(t, seen, n)
		for i, times := range seen {
			require.Equal(t, 1, times, i)
		}
		require.LessOrEqual(t, int(most.Load()), width)
	}
}
