package redisstore_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/redisstore"
)

func TestAValueThatAppearsBehindAnEmptyFenceIsNotReplaced(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		s := e.open(redisstore.Options{})
		require.NoError(t, s.Claim(ctx, "c", 0))
		e.set(e.key("c"), "neither a snapshot nor JSON")
		require.ErrorContains(t, s.Save(ctx, "c", snap(0, 1, "a", "1")), "left alone")
		require.Equal(t, "neither a snapshot nor JSON", e.get(e.key("c")))
	})
}

func TestAStateWhoseFenceVanishedIsNoRollback(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		mustSave(t, e.open(redisstore.Options{}), "c", snap(1, 1, "a", "1"))
		require.NoError(t, e.client.Del(ctx, e.side("c", "f")).Err())
		s := e.open(redisstore.Options{})
		require.Equal(t, "1", string(loaded(t, s, "c").Data))
		mustSave(t, s, "c", snap(1, 2, "b", "2"))
		require.Empty(t, s.Rollback("c"), "version 1 was there all the time")
		require.Zero(t, s.Losses())
	})
}
