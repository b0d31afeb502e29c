package durable_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/adaptertest"
	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/redistest"
)

func TestConformance_file(t *testing.T) {
	var dirs sync.Map // adapter -> directory
	open := func(t *testing.T, dir string) durable.StateAdapter {
		a, err := durable.NewFileAdapter(dir, nil)
		require.NoError(t, err)
		dirs.Store(a, dir)
		return a
	}
	dirOf := func(a durable.StateAdapter) string {
		dir, _ := dirs.Load(a)
		return dir.(string)
	}
	adaptertest.Run(t, adaptertest.Store{
		Open:   func(t *testing.T) durable.StateAdapter { return open(t, t.TempDir()) },
		Reopen: func(t *testing.T, a durable.StateAdapter) durable.StateAdapter { return open(t, dirOf(a)) },
		Wipe: func(t *testing.T, a durable.StateAdapter, id string) {
			for _, f := range commitFiles(t, dirOf(a), id) {
				require.NoError(t, os.Remove(f))
			}
		},
		Corrupt: func(t *testing.T, a durable.StateAdapter, id string) {
			newest := commitFiles(t, dirOf(a), id)[0]
			b, err := os.ReadFile(newest)
			require.NoError(t, err)
			b[len(b)-1] ^= 1
			require.NoError(t, os.WriteFile(newest, b, 0o600))
		},
	})
}

// commitFiles returns the files that hold generations of id, newest first. The
// suite saves one component at a time, so each holds one envelope.
func commitFiles(t *testing.T, dir, id string) (found []string) {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "c-*"))
	require.NoError(t, err)
	for i := len(all) - 1; i >= 0; i-- {
		b, err := os.ReadFile(all[i])
		require.NoError(t, err)
		if h, err := envelope.ParseHeader(b); err == nil && h.ID == id && h.Kind == envelope.Snapshot {
			found = append(found, all[i])
		}
	}
	return found
}

func TestConformance_miniredis(t *testing.T) {
	s := miniredis.RunT(t)
	s.ClockTTL(true)
	conformRedis(t, redis.NewClient(&redis.Options{Addr: s.Addr(), ContextTimeoutEnabled: true}), "redis://"+s.Addr())
}

func TestConformance_redis_server(t *testing.T) {
	s := redistest.Shared(t)
	conformRedis(t, s.Client(t), s.URL())
}

// conformRedis runs the suite with a key prefix of its own.
func conformRedis(t *testing.T, behind redis.UniversalClient, url string) {
	t.Cleanup(func() { behind.Close() })
	ctx := context.Background()
	prefix := "test:" + strings.ToLower(t.Name()) + ":"
	open := func(t *testing.T) durable.StateAdapter {
		a, err := durable.OpenRedisAdapter(ctx, url, &durable.RedisOptions{KeyPrefix: prefix})
		require.NoError(t, err)
		return a
	}
	key := func(id string) string { return prefix + id } // the suite's own ids need no escaping here
	adaptertest.Run(t, adaptertest.Store{
		Open:   open,
		Reopen: func(t *testing.T, _ durable.StateAdapter) durable.StateAdapter { return open(t) },
		Expire: func(t *testing.T, _ durable.StateAdapter, id string) { redistest.Expire(t, behind, key(id)) },
		Wipe: func(t *testing.T, _ durable.StateAdapter, id string) {
			node := redis.Cmdable(behind)
			if c, ok := behind.(*redis.ClusterClient); ok {
				m, err := c.MasterForKey(ctx, key(id))
				require.NoError(t, err)
				node = m
			}
			gens, err := node.Keys(ctx, "{"+key(id)+"}:g:*").Result()
			require.NoError(t, err)
			require.NoError(t, behind.Del(ctx, append(gens, key(id))...).Err())
		},
		Corrupt: func(t *testing.T, _ durable.StateAdapter, id string) {
			n, err := behind.StrLen(ctx, key(id)).Result()
			require.NoError(t, err)
			require.NoError(t, behind.SetRange(ctx, key(id), n-1, "\x00").Err())
		},
	})
}

func TestConformance_sentinel(t *testing.T) {
	g := redistest.StartSentinel(t, 1)
	conformRedis(t, g.Client(t), g.URL())
}

func TestConformance_cluster(t *testing.T) {
	c := redistest.StartCluster(t, 3, false)
	conformRedis(t, c.Client(t), c.URL())
}
