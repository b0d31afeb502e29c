package barrier_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/barrier"
)

func TestNobodyIsInsideAClosedBarrier(t *testing.T) {
	b := barrier.New()
	var stop atomic.Bool
	var workers sync.WaitGroup
	counters := make([]struct{ a, b int }, 4) // plain memory: the race detector watches too
	for i := range counters {
		workers.Go(func() {
			for !stop.Load() {
				p := b.Enter()
				counters[i].a++
				counters[i].b++
				p.Leave()
			}
		})
	}
	for range 2000 {
		require.NoError(t, b.Close(t.Context()))
		for i := range counters {
			if counters[i].a != counters[i].b {
				t.Errorf("worker %d is inside: %+v", i, counters[i])
			}
			counters[i].a, counters[i].b = counters[i].a+1, counters[i].b+1
		}
		b.Open()
	}
	stop.Store(true)
	workers.Wait()
}

func TestAUnitMayEndOnAnotherGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := barrier.New()
		p := b.Enter()
		closed := make(chan error)
		go func() { closed <- b.Close(t.Context()) }()
		synctest.Wait()
		select {
		case <-closed:
			t.Fatal("somebody is inside")
		default:
		}
		go p.Leave()
		require.NoError(t, <-closed)
		b.Open()
	})
}

func TestAWaitingCloseIsNotStarvedByUnitsThatOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := barrier.New()
		stop := make(chan struct{})
		var workers sync.WaitGroup
		for i := range 10 { // at every moment some are inside
			workers.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				for {
					p := b.Enter()
					time.Sleep(10 * time.Millisecond)
					p.Leave()
					select {
					case <-stop:
						return
					default:
					}
				}
			})
		}
		time.Sleep(time.Second)
		begin := time.Now()
		require.NoError(t, b.Close(t.Context()))
		require.LessOrEqual(t, time.Since(begin), 10*time.Millisecond, "it waits for those inside only")
		b.Open()
		close(stop)
		workers.Wait()
	})
}

func TestUnitsAreNotStarvedByOneCloseAfterTheOther(t *testing.T) {
	b := barrier.New()
	stop := make(chan struct{})
	var closers sync.WaitGroup
	for range 3 {
		closers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if b.Close(context.Background()) == nil {
					time.Sleep(time.Millisecond)
					b.Open()
				}
			}
		})
	}
	begin := time.Now()
	for range 100 {
		p := b.Enter()
		p.Leave()
	}
	took := time.Since(begin)
	close(stop)
	closers.Wait()
	require.Less(t, took, 10*time.Second, "each waits for about one Close")
}

func TestACloseThatGivesUpLeavesTheBarrierOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := barrier.New()
		stuck := b.Enter()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		entered := make(chan struct{})
		go func() {
			time.Sleep(time.Millisecond)
			b.Enter().Leave()
			close(entered)
		}()
		require.ErrorIs(t, b.Close(ctx), context.DeadlineExceeded)
		<-entered
		stuck.Leave()
		require.NoError(t, b.Close(t.Context()))
		b.Open()
	})
}

func TestOneCloseAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := barrier.New()
		require.NoError(t, b.Close(t.Context()))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.Error(t, b.Close(ctx))
		b.Open()
		require.NoError(t, b.Close(t.Context()))
		b.Open()
	})
}

func BenchmarkEnterLeave(b *testing.B) {
	bar := barrier.New()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			bar.Enter().Leave()
		}
	})
}
