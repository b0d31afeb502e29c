package redisstore_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/redisstore"
	"github.com/durablestate/durable/internal/redistest"
	"github.com/durablestate/durable/internal/store"
)

// All of a cluster stands behind one address, as with some managed services: there
// a call must stay in one slot, and a batch must not fail because of its company.
func TestABatchDoesNotFailWhereCallsMustStayInOneSlot(t *testing.T) {
	t.Parallel()
	node := redistest.StartCluster(t, 1, false).Primaries[0]
	for _, level := range []string{"", "fsync"} {
		if level == "fsync" {
			require.NoError(t, node.Client(t).ConfigSet(ctx, "appendonly", "yes").Err())
			require.NoError(t, node.Client(t).ConfigSet(ctx, "appendfsync", "always").Err())
		}
		t.Run("durability "+level, func(t *testing.T) {
			e := newEnv(t, node.URL(), nil)
			s := e.open(redisstore.Options{Durability: level})
			ids := make([]string, 200)
			for i := range ids {
				ids[i] = fmt.Sprint("c", i)
			}
			together := func(do func(id string) error) {
				t.Helper()
				var wg sync.WaitGroup
				for _, id := range ids {
					wg.Go(func() { require.NoError(t, do(id)) })
				}
				wg.Wait()
			}
			together(func(id string) error { return s.Claim(ctx, id, 1) })
			together(func(id string) error { return s.Save(ctx, id, snap(1, 1, "a", id)) })
			together(func(id string) error { return s.Save(ctx, id, touch(1, 1, "a")) })
			together(func(id string) error { _, err := s.Load(ctx, id); return err })

			next := e.open(redisstore.Options{Durability: level}) // knows nothing yet
			require.Len(t, next.TakeOver(ctx, ids[:64], 2), 64)
			_, err := next.AcquireLease(ctx, "app", "pod-1", time.Minute, 2)
			require.NoError(t, err)
			listed := 0
			for _, err := range next.List(ctx) {
				require.NoError(t, err)
				listed++
			}
			require.Equal(t, len(ids), listed)
			together(func(id string) error { return next.Claim(ctx, id, 2) })
			together(func(id string) error {
				got, err := next.Load(ctx, id)
				if err == nil && string(got.Data) != id {
					return fmt.Errorf("%s has %s", id, got.Data)
				}
				return err
			})
			together(func(id string) error { return next.Save(ctx, id, snap(2, 2, "b", id)) })
			together(func(id string) error { return next.Delete(ctx, id) })
		})
	}
}

func TestTheSlotsAreLearnedOnce(t *testing.T) {
	t.Parallel()
	node := redistest.StartCluster(t, 1, false).Primaries[0]
	e := newEnv(t, node.URL(), nil)
	s := e.open(redisstore.Options{})
	save := func(version uint64) {
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() { require.NoError(t, s.Save(ctx, fmt.Sprint("c", i), snap(1, version, "a", "1"))) })
		}
		wg.Wait()
	}
	save(1)
	stats := node.Client(t).Info(ctx, "errorstats").Val()
	require.Contains(t, stats, "errorstat_CROSSSLOT")
	save(2)
	require.Equal(t, stats, node.Client(t).Info(ctx, "errorstats").Val(), "asked once, not with every batch")
}

func TestAClientThatDoesNotWatchDeadlinesDelaysNoCall(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	cluster := redistest.StartCluster(t, 1, false).Primaries[0]
	plain := redis.NewClient(&redis.Options{Addr: srv.Addr})
	many := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{cluster.Addr}})
	for name, c := range map[string]struct {
		client redis.UniversalClient
		server *redistest.Server
	}{"client": {plain, srv}, "cluster": {many, cluster}} {
		t.Run(name, func(t *testing.T) {
			s, err := redisstore.New(c.client, redisstore.Options{Prefix: "late:"})
			require.NoError(t, err)
			require.NoError(t, s.Save(ctx, "c", snap(1, 1, "a", "1")))
			l, err := s.AcquireLease(ctx, "app", "pod-1", time.Minute, 1)
			require.NoError(t, err)
			c.server.Stop()
			thaw := sync.OnceFunc(c.server.Cont)
			defer thaw()
			for op, do := range map[string]func(context.Context) error{
				"save":    func(ctx context.Context) error { return s.Save(ctx, "c", snap(1, 2, "b", "2")) },
				"load":    func(ctx context.Context) error { _, err := s.Load(ctx, "c"); return err },
				"claim":   func(ctx context.Context) error { return s.Claim(ctx, "c", 2) },
				"delete":  func(ctx context.Context) error { return s.Delete(ctx, "d") },
				"history": func(ctx context.Context) error { _, err := s.History(ctx, "c"); return err },
				"lease":   func(ctx context.Context) error { _, err := s.RenewLease(ctx, l); return err },
				"audit":   func(ctx context.Context) error { _, err := s.Audit(ctx); return err },
				"list": func(ctx context.Context) error {
					for _, err := range s.List(ctx) {
						return err
					}
					return nil
				},
				"takeover": func(ctx context.Context) error { s.TakeOver(ctx, []string{"c"}, 2); return context.DeadlineExceeded },
			} {
				limited, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
				begin := time.Now()
				err := do(limited)
				cancel()
				require.ErrorIs(t, err, context.DeadlineExceeded, op)
				require.Less(t, time.Since(begin), 2*time.Second, op)
			}
			thaw()
			require.Eventually(t, func() bool { return s.Claim(ctx, "c", 3) == nil }, 30*time.Second, 10*time.Millisecond)
			got, err := s.Load(ctx, "c")
			require.NoError(t, err)
			require.Contains(t, []uint64{1, 2}, got.Version, "the late save came, or it did not")
			require.ErrorIs(t, s.Save(ctx, "c", snap(1, 3, "c", "3")), store.ErrFenced)
			require.NoError(t, s.Close())
			require.NoError(t, c.client.Close())
		})
	}
}

func TestAClientThatNeverGivesUpDoesNotHoldCloseUp(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	c := redis.NewClient(&redis.Options{Addr: srv.Addr, ReadTimeout: -1, WriteTimeout: -1, MaxRetries: 1000, PoolSize: 1})
	s, err := redisstore.New(c, redisstore.Options{})
	require.NoError(t, err)
	require.NoError(t, s.Save(ctx, "c", snap(1, 1, "a", "1")))
	srv.Stop()
	defer srv.Cont()
	limited, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, s.Save(limited, "c", snap(1, 2, "b", "2")), context.DeadlineExceeded)
	begin := time.Now()
	require.NoError(t, s.Close())
	require.Less(t, time.Since(begin), 10*time.Second)
	require.NoError(t, c.Close(), "it is the caller's, and ends what is under way")
}

func TestAClientThatMayShowOldStateIsRefused(t *testing.T) {
	for name, c := range map[string]redis.UniversalClient{
		"ring":       redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": "localhost:1"}}),
		"read only":  redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"localhost:1"}, ReadOnly: true}),
		"by latency": redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"localhost:1"}, RouteByLatency: true}),
		"randomly":   redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"localhost:1"}, RouteRandomly: true}),
		"failover":   redis.NewFailoverClusterClient(&redis.FailoverOptions{MasterName: "m", SentinelAddrs: []string{"localhost:1"}, RouteRandomly: true}),
	} {
		t.Run(name, func(t *testing.T) {
			defer c.Close()
			_, err := redisstore.New(c, redisstore.Options{})
			require.Error(t, err)
			require.Regexp(t, "replicas|ring", err.Error())
		})
	}
}
