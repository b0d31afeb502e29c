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
