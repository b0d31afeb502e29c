package schedule_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/engine/schedule"
)

// item notes when it was ticked.
type item struct {
	interval time.Duration
	place    schedule.Place

	mu    sync.Mutex
	ticks []time.Time
}

func (x *item) Interval() time.Duration { return x.interval }
func (x *item) Place() *schedule.Place  { return &x.place }
func (x *item) Tick(now time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.ticks = append(x.ticks, now)
}

// taken returns the ticks since the last call.
func (x *item) taken() []time.Time {
	x.mu.Lock()
	defer x.mu.Unlock()
	ticks := x.ticks
	x.ticks = nil
	return ticks
}

func items(n int, interval time.Duration) []*item {
	list := make([]*item, n)
	for i := range list {
		list[i] = &item{interval: interval}
	}
	return list
}

// running calls fn with a schedule that runs, in virtual time.
func running(t *testing.T, fn func(s *schedule.Schedule[*item])) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := schedule.New[*item]()
		ctx, end := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { s.Run(ctx) })
		fn(s)
		end()
		wg.Wait()
	})
}

func TestEveryItemIsTickedOnceAnIntervalAndAtRandomWithinItsFirst(t *testing.T) {
	for _, c := range []struct {
		n        int
		interval time.Duration
	}{{1, time.Minute}, {7, time.Second}, {1000, time.Minute}, {50_000, 10 * time.Second}, {3, time.Millisecond}} {
		t.Run(fmt.Sprint(c.n, c.interval), func(t *testing.T) {
			running(t, func(s *schedule.Schedule[*item]) {
				all, began := items(c.n, c.interval), time.Now()
				s.Add(all...)
				time.Sleep(10*c.interval + c.interval/2)
				synctest.Wait()
				firsts := map[time.Duration]bool{}
				for _, x := range all {
					ticks := x.taken()
					require.InDelta(t, 10, len(ticks), 1)
					require.LessOrEqual(t, ticks[0].Sub(began), c.interval+c.interval/100)
					firsts[ticks[0].Sub(began)] = true
					for i := range ticks[1:] {
						require.InDelta(t, c.interval, ticks[i+1].Sub(ticks[i]), float64(c.interval)/50)
					}
				}
				if c.n > 1 && c.interval > time.Millisecond {
					require.Greater(t, len(firsts), 1, "all at the same moment")
				}
			})
		})
	}
}

func TestItemsComeAndGoWhileOthersAreTicked(t *testing.T) {
	running(t, func(s *schedule.Schedule[*item]) {
		stay, go1, late := items(100, time.Minute), items(100, time.Minute), items(100, time.Minute)
		s.Add(stay...)
		s.Add(go1...)
		time.Sleep(2 * time.Minute)
		for i, x := range go1 {
			s.Remove(x)
			s.Add(late[i])
		}
		synctest.Wait()
		for _, x := range go1 {
			x.taken()
		}
		time.Sleep(90 * time.Second)
		synctest.Wait()
		for i := range stay {
			require.Empty(t, go1[i].taken(), "removed")
			require.GreaterOrEqual(t, len(stay[i].taken()), 3)
			require.GreaterOrEqual(t, len(late[i].taken()), 1, "added while others were there")
		}
	})
}

func TestAnItemThatWasRemovedIsNotAddedAgainNorTwice(t *testing.T) {
	running(t, func(s *schedule.Schedule[*item]) {
		gone, twice := &item{interval: time.Minute}, &item{interval: time.Minute}
		s.Remove(gone) // never added
		s.Sooner(gone, time.Now().Add(time.Second))
		s.Add(gone, twice, twice)
		s.Remove(gone)
		time.Sleep(5*time.Minute + time.Second)
		synctest.Wait()
		require.Empty(t, gone.taken())
		require.LessOrEqual(t, len(twice.taken()), 6)
	})
}

func TestSoonerTicksBeforeItsTurnAndOnlyThen(t *testing.T) {
	running(t, func(s *schedule.Schedule[*item]) {
		x := &item{interval: time.Hour}
		s.Sooner(x, time.Now().Add(time.Minute))
		s.Sooner(x, time.Now().Add(time.Second)) // earlier: counts
		s.Sooner(x, time.Now().Add(time.Minute)) // later: does not
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.Len(t, x.taken(), 1)
		time.Sleep(time.Hour / 2)
		synctest.Wait()
		require.Empty(t, x.taken())
		s.Sooner(x, time.Now().Add(time.Second))
		s.Remove(x)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Empty(t, x.taken(), "it was removed")
	})
}

func TestATickThatIsLateIsLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := schedule.New[*item]()
		x := &item{interval: time.Minute}
		s.Add(x)
		time.Sleep(time.Hour) // nobody runs it
		ctx, end := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { s.Run(ctx) })
		synctest.Wait()
		require.LessOrEqual(t, len(x.taken()), 1)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		require.InDelta(t, 10, len(x.taken()), 1)
		end()
		wg.Wait()
	})
}
