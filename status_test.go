package durable_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
)

func TestStatusTellsOfTheLastDurableVersionUntilTheNextOneIs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := &unconfirmed{MemoryAdapter: durable.NewMemoryAdapter(nil)}
		h := start(t, a, nil)
		defer h.Close()
		h.words.add("a")
		require.NoError(t, h.Checkpoint(ctx))
		first := h.Status()[0]
		require.WithinDuration(t, time.Now(), first.SavedAt, 0)

		time.Sleep(time.Second)
		a.short.Store(true)
		for range 3 {
			h.words.add("another")
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
