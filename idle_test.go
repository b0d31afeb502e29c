package durable_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/redistest"
)

// crowd returns a started harness on a whose component is idle, beside that many
// other ones.
func crowd(t testing.TB, a durable.StateAdapter, o *durable.Options, others int) harness {
	t.Helper()
	h := harness{Checkpointer: durable.New(a, o), words: &wordCounter{}}
	require.NoError(t, h.Register("words", h.words))
	for i := range others {
		require.NoError(t, h.Register(fmt.Sprint("other", i), &wordCounter{}))
	}
	_, err := h.Restore(context.Background())
	require.NoError(t, err)
	h.words.add("hello")
	require.NoError(t, h.Checkpoint(context.Background()))
	require.NoError(t, h.Start())
	return h
}

// idleFor returns crowd on a store with a TTL.
func idleFor(t *testing.T, ttl time.Duration, o *durable.Options, others int) (harness, *flaky) {
	t.Helper()
	a := newFlaky()
	a.MemoryAdapter = durable.NewMemoryAdapter(&durable.MemoryOptions{TTL: ttl})
	h := crowd(t, a, o, others)
	a.calls("", "")
	return h, a
}

func TestP10_AnIdleStateIsRefreshedAsOftenAsItsTTLNeeds(t *testing.T) {
	for _, c := range []struct {
		ttl         time.Duration
		least, most int // refreshes in three hours
	}{
		{time.Hour, 11, 13}, {3 * time.Minute, 178, 182}, {0, 11, 13}, {100 * time.Hour, 11, 13},
	} {
		t.Run(c.ttl.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var j journal
				o := j.options()
				o.Interval = time.Minute
				h, a := idleFor(t, c.ttl, o, 1000)
				defer h.Close()
				for range 3 * 60 {
					time.Sleep(time.Minute)
					_, err := a.MemoryAdapter.LoadState(t.Context(), "words")
					require.NoError(t, err)
					require.NoError(t, h.Health())
					require.Less(t, h.Status()[0].Age, 2*time.Minute)
				}
				n := a.calls("refresh", "words")
				require.GreaterOrEqual(t, n, c.least)
				require.LessOrEqual(t, n, c.most)
				require.Greater(t, h.Status()[0].Skips, uint64(170), "every look that found nothing changed")
			})
		})
	}
}

func TestIdleStateIsRefreshedWithEveryCheckpoint(t *testing.T) {
	t.Run("of few components", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			var j journal
			o := j.options()
			o.Interval = time.Minute
			h, a := idleFor(t, time.Hour, o, 0)
			defer h.Close()
			before := j.count("skip")
			time.Sleep(time.Hour)
			n := a.calls("refresh", "words")
			require.GreaterOrEqual(t, n, 59)
			require.Equal(t, n, j.count("skip")-before, "an event for each that was kept alive")
		})
	})
	t.Run("where no lease is renewed that tells of an outage", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			o := quiet()
			o.Interval, o.LeaseTTL = time.Minute, -1
			h, a := idleFor(t, time.Hour, o, 1000)
			defer h.Close()
			time.Sleep(time.Hour)
			require.GreaterOrEqual(t, a.calls("refresh", "words"), 59)
		})
	})
	t.Run("in an adapter that cannot say how long it keeps state", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			a := newFlaky()
			h := crowd(t, &struct{ durable.StateAdapter }{a}, quiet(), 1000)
			defer h.Close()
			a.calls("", "")
			time.Sleep(time.Hour)
			require.GreaterOrEqual(t, a.calls("refresh", "words"), 59)
		})
	})
}

func TestACheckpointOfAnIdleCrowdAsksTheStoreOnlyForWhatChanged(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h, a := idleFor(t, time.Hour, quiet(), 2000)
		defer h.Close()
		h.words.add("more")
		require.NoError(t, h.Checkpoint(t.Context()))
		a.mu.Lock()
		calls := slices.Clone(a.log)
		a.mu.Unlock()
		require.Equal(t, []string{"save words"}, calls)
	})
}

func TestAnOutageIsNoticedAlsoWhenEverythingIsIdle(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := quiet()
		o.Interval = time.Minute
		h, a := idleFor(t, time.Hour, o, 1000)
		defer h.Close()
		time.Sleep(time.Minute)
		a.down("save", "refresh", "renew")
		time.Sleep(4 * time.Minute)
		require.ErrorIs(t, h.Health(), errDown)
		require.ErrorIs(t, h.Status()[0].Err, errDown)
		require.Greater(t, h.Status()[0].Age, 2*time.Minute)
		a.up("save", "refresh", "renew")
		time.Sleep(2 * time.Minute)
		require.NoError(t, h.Health())
	})
}

// A server that restarts empty takes the states of idle components with it. The
// next renewal of the lease shows it, so they are written again at once, not when
// their TTL would have needed it.
func TestIdleStateIsWrittenAgainSoonAfterTheServerLostEverything(t *testing.T) {
	ctx := context.Background()
	srv := redistest.Start(t)
	var j journal
	o := j.options()
	o.Interval, o.LeaseTTL = 100*time.Millisecond, 600*time.Millisecond
	h := crowd(t, openRedis(t, srv.URL(), &durable.RedisOptions{TTL: time.Hour}), o, 1000)
	defer h.Close()
	client := srv.Client(t)
	time.Sleep(time.Second)
	require.Zero(t, j.count("vanished"))
	require.NoError(t, client.FlushAll(ctx).Err())
	require.Eventually(t, func() bool {
		return len(client.Keys(ctx, "autocoder:state:*").Val()) == 1001
	}, 30*time.Second, 10*time.Millisecond)
	require.Equal(t, 1001, j.count("vanished"))
}

// BenchmarkIdleComponents is one interval of many components of which none changed.
func BenchmarkIdleComponents(b *testing.B) {
	const components = 100_000
	h := crowd(b, durable.NewMemoryAdapter(nil), &durable.Options{Interval: time.Hour, Logger: quiet().Logger}, components-1)
	defer h.Close()
	for b.Loop() {
		require.NoError(b, h.Checkpoint(context.Background()))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*components), "ns/component")
}
