package testkit

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/redistest"
)

// FourMethods hides every optional capability of an adapter.
type FourMethods struct{ durable.StateAdapter }

// OpenRedis opens an adapter that is closed at the end of the test.
func OpenRedis(t testing.TB, url string, opts *durable.RedisOptions) *durable.RedisAdapter {
	t.Helper()
	a, err := durable.OpenRedisAdapter(context.Background(), url, opts)
	require.NoError(t, err)
	t.Cleanup(func() { _ = a.Close() })
	return a
}

// Hanging never answers a save before its context ends.
type Hanging struct{ *durable.MemoryAdapter }

// SaveState implements [durable.StateAdapter].
func (h Hanging) SaveState(ctx context.Context, _ string, _ *durable.Snapshot) error {
	<-ctx.Done()
	return ctx.Err()
}

// OnEveryAdapter runs fn with a function that opens the same store again and
// again: memory, files and a real redis-server.
func OnEveryAdapter(t *testing.T, fn func(t *testing.T, open func() durable.StateAdapter)) {
	t.Run("memory", func(t *testing.T) {
		a := durable.NewMemoryAdapter(nil)
		fn(t, func() durable.StateAdapter { return Reopen(t, a) })
	})
	t.Run("file", func(t *testing.T) {
		dir := t.TempDir()
		fn(t, func() durable.StateAdapter {
			a, err := durable.NewFileAdapter(dir, nil)
			require.NoError(t, err)
			t.Cleanup(func() { a.Close() })
			return a
		})
	})
	t.Run("redis_server", func(t *testing.T) {
		s := redistest.Shared(t)
		prefix := fmt.Sprintf("test:%s:%x:", strings.ToLower(t.Name()), rand.Uint64())
		fn(t, func() durable.StateAdapter {
			a, err := durable.OpenRedisAdapter(t.Context(), s.URL(), &durable.RedisOptions{KeyPrefix: prefix})
			require.NoError(t, err)
			t.Cleanup(func() { a.Close() })
			return a
		})
	})
}
