package saver_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/testkit"
)

func TestStatusTellsOfTheLastDurableVersionUntilTheNextOneIs(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := &unconfirmed{MemoryAdapter: durable.NewMemoryAdapter(nil)}
		h := testkit.Prepare(t, a, nil) // not started: no tick falls in between
		defer h.Close()
		_, err := h.Restore(ctx)
		require.NoError(t, err)
		h.Words.Add("a")
		require.NoError(t, h.Checkpoint(ctx))
		first := h.Status()[0]
		require.WithinDuration(t, time.Now(), first.SavedAt, 0)

		time.Sleep(time.Second)
		a.short.Store(true)
		for range 3 {
			h.Words.Add("another")
			require.ErrorIs(t, h.Checkpoint(ctx), durable.ErrNotDurable)
		}
		s := h.Status()[0]
		require.Equal(t, first.Version, s.Version)
		require.True(t, first.SavedAt.Equal(s.SavedAt))
		require.Equal(t, first.Bytes, s.Bytes)
		require.EqualValues(t, 3, s.Failures)
		require.Equal(t, time.Second, s.Age)

		time.Sleep(time.Second)
		a.short.Store(false)
		require.NoError(t, h.Checkpoint(ctx))
		s = h.Status()[0]
		require.Equal(t, first.Version+3, s.Version)
		require.WithinDuration(t, time.Now(), s.SavedAt, 0)
		require.Greater(t, s.Bytes, first.Bytes)
		require.NoError(t, s.Err)
		require.Zero(t, s.Age)
	})
}

func TestStatusTellsAgeChangesAndFailures(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := testkit.NewFlaky()
		h := testkit.Start(t, a, nil)
		require.NoError(t, h.Words.Commit(t.Context(), func(c *testkit.Counts) { c.Words["x"] = 1 }))
		s := h.Status()[0]
		require.False(t, s.Changed)
		require.EqualValues(t, 1, s.Version)
		require.Equal(t, len(`{"Words":{"x":1}}`), s.Bytes)
		a.Down("save", "refresh")
		h.Words.Add("y")
		time.Sleep(10 * time.Minute)
		s = h.Status()[0]
		require.True(t, s.Changed)
		require.Equal(t, 10*time.Minute, s.Age)
		require.Positive(t, s.Failures)
		require.ErrorIs(t, s.Err, testkit.ErrDown)
		a.Up("save", "refresh")
		require.NoError(t, h.Close())
	})
}
