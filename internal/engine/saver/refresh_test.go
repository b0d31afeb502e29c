package saver_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/redistest"
	"github.com/durablestate/durable/internal/testkit"
)

// crowd returns a started harness on a whose component is idle, beside that many
// other ones.
func crowd(t testing.TB, a durable.StateAdapter, o *durable.Options, others int) testkit.Harness {
	t.Helper()
	h := testkit.Harness{Checkpointer: durable.New(a, o), Words: &testkit.WordCounter{}}
	require.NoError(t, h.Register("words", h.Words))
	for i := range others {
		require.NoError(t, h.Register(fmt.Sprint("other", i), &testkit.WordCounter{}))
	}
	_, err := h.Restore(context.Background())
	require.NoError(t, err)
	h.Words.Add("hello")
	require.NoError(t, h.Checkpoint(context.Background()))
	require.NoError(t, h.Start())
	return h
}

// idleFor returns crowd on a store with a TTL.
func idleFor(t *testing.T, ttl time.Duration, o *durable.Options, others int) (testkit.Harness, *testkit.Flaky) {
	t.Helper()
	a := testkit.NewFlaky()
	a.MemoryAdapter = durable.NewMemoryAdapter(&durable.MemoryOptions{TTL: ttl})
	h := crowd(t, a, o, others)
	a.Calls("", "")
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
			testkit.Bubble(t, func(t *testing.T) {
				var j testkit.Journal
				o := j.Options()
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
				n := a.Calls("refresh", "words")
				require.GreaterOrEqual(t, n, c.least)
				require.LessOrEqual(t, n, c.most)
				require.Greater(t, h.Status()[0].Skips, uint64(170), "every look that found nothing changed")
			})
		})
	}
}

func TestIdleStateIsRefreshedWithEveryCheckpoint(t *testing.T) {
	t.Run("of few components", func(t *testing.T) {
		testkit.Bubble(t, func(t *testing.T) {
			var j testkit.Journal
			o := j.Options()
			o.Interval = time.Minute
			h, a := idleFor(t, time.Hour, o, 0)
			defer h.Close()
			before := j.Count("skip")
			time.Sleep(time.Hour)
			n := a.Calls("refresh", "words")
			require.GreaterOrEqual(t, n, 59)
			require.Equal(t, n, j.Count("skip")-before, "an event for each that was kept alive")
		})
	})
	t.Run("where no lease is renewed that tells of an outage", func(t *testing.T) {
		testkit.Bubble(t, func(t *testing.T) {
			o := testkit.Quiet()
			o.Interval, o.LeaseTTL = time.Minute, -1
			h, a := idleFor(t, time.Hour, o, 1000)
			defer h.Close()
			time.Sleep(time.Hour)
			require.GreaterOrEqual(t, a.Calls("refresh", "words"), 59)
		})
	})
	t.Run("in an adapter that cannot say how long it keeps state", func(t *testing.T) {
		testkit.Bubble(t, func(t *testing.T) {
			a := testkit.NewFlaky()
			h := crowd(t, &struct{ durable.StateAdapter }{a}, testkit.Quiet(), 1000)
			defer h.Close()
			a.Calls("", "")
			time.Sleep(time.Hour)
			require.GreaterOrEqual(t, a.Calls("refresh", "words"), 59)
		})
	})
}

func TestACheckpointOfAnIdleCrowdAsksTheStoreOnlyForWhatChanged(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		h, a := idleFor(t, time.Hour, testkit.Quiet(), 2000)
		defer h.Close()
		h.Words.Add("more")
		require.NoError(t, h.Checkpoint(t.Context()))
		require.Equal(t, []string{"save words"}, a.Asked())
	})
}

func TestAnOutageIsNoticedAlsoWhenEverythingIsIdle(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		o := testkit.Quiet()
		o.Interval = time.Minute
		h, a := idleFor(t, time.Hour, o, 1000)
		defer h.Close()
		time.Sleep(time.Minute)
		a.Down("save", "refresh", "renew")
		time.Sleep(4 * time.Minute)
		require.ErrorIs(t, h.Health(), testkit.ErrDown)
		require.ErrorIs(t, h.Status()[0].Err, testkit.ErrDown)
		require.Greater(t, h.Status()[0].Age, 2*time.Minute)
		a.Up("save", "refresh", "renew")
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
	var j testkit.Journal
	o := j.Options()
	o.Interval, o.LeaseTTL = 100*time.Millisecond, 600*time.Millisecond
	h := crowd(t, testkit.OpenRedis(t, srv.URL(), &durable.RedisOptions{TTL: time.Hour}), o, 1000)
	defer h.Close()
	client := srv.Client(t)
	time.Sleep(time.Second)
	require.Zero(t, j.Count("vanished"))
	require.NoError(t, client.FlushAll(ctx).Err())
	require.Eventually(t, func() bool {
		return len(client.Keys(ctx, "autocoder:state:*").Val()) == 1001
	}, 30*time.Second, 10*time.Millisecond)
	require.Equal(t, 1001, j.Count("vanished"))
}

func TestAStateThatVanishedAndCouldNotBeWrittenAgainIsNotSaved(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := testkit.NewFlaky()
		require.NoError(t, a.MemoryAdapter.SaveState(ctx, "words", &durable.Snapshot{Codec: "json", Data: []byte(`{"Words":{"x":1}}`)}))
		h := testkit.Start(t, a, nil)
		require.NoError(t, h.Checkpoint(ctx))
		testkit.Memory(t, a).Wipe("words")
		a.Down("save") // out of memory: reads and renewals go on
		require.Error(t, h.Checkpoint(ctx))
		require.True(t, h.Status()[0].Changed)
		require.Error(t, h.Close())
	})
}

func TestP10_AnUnchangedStateIsNotRewrittenButKeptAlive(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := durable.NewMemoryAdapter(&durable.MemoryOptions{TTL: 5 * time.Minute})
		j := &testkit.Journal{}
		h := testkit.Start(t, a, j.Options())
		require.NoError(t, h.Words.Commit(ctx, func(c *testkit.Counts) { c.Words["x"] = 1 }))
		before, err := a.LoadState(ctx, "words")
		require.NoError(t, err)
		time.Sleep(24 * time.Hour)
		after, err := a.LoadState(ctx, "words")
		require.NoError(t, err)
		require.Equal(t, before, after)

		testkit.Memory(t, a).Wipe("words")
		time.Sleep(2 * time.Minute)
		back, err := a.LoadState(ctx, "words")
		require.NoError(t, err, "a vanished copy is written again")
		require.Equal(t, before.Data, back.Data)
		require.Equal(t, 1, j.Count("vanished"))
		require.NoError(t, h.Close())
	})
}

// BenchmarkIdleComponents is one interval of many components of which none changed.
func BenchmarkIdleComponents(b *testing.B) {
	const components = 100_000
	h := crowd(b, durable.NewMemoryAdapter(nil), &durable.Options{Interval: time.Hour, Logger: testkit.Quiet().Logger}, components-1)
	defer h.Close()
	for b.Loop() {
		require.NoError(b, h.Checkpoint(context.Background()))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*components), "ns/component")
}
