package saver_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/redistest"
	"github.com/durablestate/durable/internal/testkit"
)

func TestAComponentThatAlwaysFailsDoesNotHideAnOutageFromTheLog(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a, j := testkit.NewFlaky(), &testkit.Journal{}
		h := testkit.Prepare(t, a, j.Options())
		bad := durable.NewStatefulComponent(math.NaN())
		require.NoError(t, h.Register("bad", bad))
		_, err := h.Restore(t.Context())
		require.NoError(t, err)
		require.NoError(t, h.Start())
		time.Sleep(time.Hour)
		require.Equal(t, 1, j.LineCount("component cannot be saved"), "said once")
		require.Zero(t, j.LineCount("state cannot be saved or read"))
		a.Down("save", "refresh")
		time.Sleep(time.Hour)
		require.Equal(t, 1, j.LineCount("state cannot be saved or read"))
		a.Up("save", "refresh")
		time.Sleep(time.Hour)
		require.Equal(t, 1, j.LineCount("all state can be saved and read again"))
		bad.Update(func(f *float64) { *f = 1 })
		time.Sleep(time.Hour)
		require.Equal(t, 1, j.LineCount("every component can be saved again"))
		require.NoError(t, h.Close())
	})
}

// A server that restarts without its data, or a failover, takes acknowledged
// saves back: whoever watches the events learns of it, once for each loss.
func TestAServerThatWentBackIsAnEventAndHealed(t *testing.T) {
	srv := redistest.Start(t)
	var j testkit.Journal
	h := testkit.Start(t, testkit.OpenRedis(t, srv.URL(), nil), j.Options())
	defer h.Close()
	save := func() {
		h.Words.Add("hello")
		require.NoError(t, h.Words.CheckpointState(t.Context()))
	}
	save()
	save()
	require.Zero(t, j.Count("rollback"))

	srv.Client(t).FlushAll(t.Context())
	save()
	require.Equal(t, 1, j.Count("rollback"))
	require.Contains(t, j.Text(), "was at version 2, and then the server knew only 0")
	save()
	require.Equal(t, 1, j.Count("rollback"))
	require.NoError(t, h.Close())

	again := testkit.Start(t, testkit.OpenRedis(t, srv.URL(), nil), j.Options())
	defer again.Close()
	require.Equal(t, 4, again.Words.Count("hello"), "healed")
	srv.Client(t).FlushAll(t.Context())
	_, err := again.Restore(t.Context(), "words")
	require.NoError(t, err)
	require.Equal(t, 2, j.Count("rollback"), "found by a restore")
}

func TestP8_AnOutageIsNotAnAccident(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := testkit.NewFlaky()
		j := &testkit.Journal{}
		cp := durable.New(a, j.Options())
		var all []*testkit.WordCounter
		for i := range 100 {
			all = append(all, &testkit.WordCounter{})
			require.NoError(t, cp.Register(fmt.Sprintf("c%d", i), all[i]))
		}
		_, err := cp.Restore(ctx)
		require.NoError(t, err)
		require.NoError(t, cp.Start())
		time.Sleep(2 * time.Minute)
		require.NoError(t, cp.Health())

		a.Down("save", "refresh", "renew")
		for range 10 {
			for _, w := range all {
				w.Add("x")
			}
			time.Sleep(time.Minute)
		}
		require.ErrorIs(t, cp.Health(), testkit.ErrDown)
		require.Equal(t, 1, j.LineCount("cannot be saved"), "one line for the outage, not one for each component")

		a.Up("save", "refresh", "renew")
		time.Sleep(time.Minute + time.Second)
		require.NoError(t, cp.Health())
		require.Equal(t, 1, j.LineCount("can be saved and read again"))
		for i := range all {
			s, err := a.LoadState(ctx, fmt.Sprintf("c%d", i))
			require.NoError(t, err)
			require.Contains(t, string(s.Data), `"x":10`)
		}
		require.NoError(t, cp.Close())
	})
}
