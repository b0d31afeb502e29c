package redisstore_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/redisstore"
	"github.com/durablestate/durable/internal/redistest"
	"github.com/durablestate/durable/internal/store"
)

// audit returns the severities by id.
func audit(t *testing.T, s *redisstore.Store) map[string]string {
	t.Helper()
	list, err := s.Audit(ctx)
	require.NoError(t, err)
	found := map[string]string{}
	for _, f := range list {
		found[f.ID] = f.Severity
		require.NotEmpty(t, f.Evidence, f.ID)
		require.NotEmpty(t, f.Remedy, f.ID)
	}
	return found
}

func TestASoundServerHasNoFindings(t *testing.T) {
	srv := redistest.Start(t, "--appendonly", "yes", "--maxmemory", "100mb", "--maxmemory-policy", "noeviction")
	require.Empty(t, audit(t, newEnv(t, srv.URL(), nil).open(redisstore.Options{})))
}

func TestTheAuditFindsWhatEndangersState(t *testing.T) {
	t.Parallel()
	primary := redistest.Start(t, "--maxmemory", "6mb", "--maxmemory-policy", "allkeys-lru")
	e := newEnv(t, primary.URL(), nil)
	s := e.open(redisstore.Options{TTL: time.Minute, Durability: "replicated:1"})
	found := audit(t, s)
	require.Equal(t, "warning", found["persistence"])
	require.Equal(t, "error", found["eviction"])
	require.Equal(t, "error", found["replicas"])
	require.Equal(t, "warning", found["ttl"])
	require.NotContains(t, found, "evicted")
	for i := range 200 {
		require.NoError(t, e.client.Set(ctx, fmt.Sprint(i), strings.Repeat("x", 100<<10), 0).Err())
	}
	found = audit(t, s)
	require.Equal(t, "warning", found["evicted"])
	require.Equal(t, "warning", found["memory"])
	require.NoError(t, e.client.ConfigSet(ctx, "maxmemory-policy", "volatile-lru").Err())
	require.Equal(t, "warning", audit(t, s)["eviction"])

	replica := startReplica(t, primary)
	found = audit(t, s)
	require.NotContains(t, found, "replicas")
	require.Equal(t, "info", found["min-replicas"])
	require.NoError(t, e.client.ConfigSet(ctx, "min-replicas-to-write", "1").Err())
	require.NotContains(t, audit(t, s), "min-replicas")

	c := replica.Client(t) // one that does not refuse replicas
	on, err := redisstore.New(c, redisstore.Options{})
	require.NoError(t, err)
	defer on.Close()
	require.Equal(t, "error", audit(t, on)["role"])
}

func TestTheAuditFindsAServerThatCannotPersist(t *testing.T) {
	srv := redistest.Start(t)
	e := newEnv(t, srv.URL(), nil)
	s := e.open(redisstore.Options{})
	breakRDB(t, srv)
	require.Equal(t, "error", audit(t, s)["rdb-save"])
	require.Equal(t, "error", audit(t, e.open(redisstore.Options{Durability: "fsync"}))["persistence"])
}

func TestWhatCannotBeAskedIsUnknown(t *testing.T) {
	mini := audit(t, onMini(t).open(redisstore.Options{}))
	require.Equal(t, "unknown", mini["role"])
	require.Equal(t, "unknown", mini["persistence"])

	srv := redistest.Start(t)
	e := newEnv(t, srv.URL(), nil)
	require.NoError(t, e.client.Do(ctx, "ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all", "-info").Err())
	s, err := redisstore.Open(strings.Replace(srv.URL(), "redis://", "redis://app:pw@", 1), redisstore.Options{})
	require.NoError(t, err)
	defer s.Close()
	require.Equal(t, map[string]string{"info": "unknown"}, audit(t, s))

	srv.Kill()
	require.Equal(t, "error", audit(t, s)["unreachable"])
	require.NoError(t, s.Close())
	require.ErrorIs(t, second(s.Audit(ctx)), store.ErrClosed)
}

func TestTheAuditFindsDangerousOptionsOfAClient(t *testing.T) {
	srv := redistest.Start(t, "--appendonly", "yes", "--cluster-enabled", "yes")
	single := redis.NewClient(&redis.Options{Addr: srv.Addr, Protocol: 2})
	defer single.Close()
	s, err := redisstore.New(single, redisstore.Options{})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"client-timeout": "warning", "client-cluster": "error"}, audit(t, s))

	cluster := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{srv.Addr}, Protocol: 2, MaxRedirects: -1})
	defer cluster.Close()
	c, err := redisstore.New(cluster, redisstore.Options{})
	require.NoError(t, err)
	found := audit(t, c)
	require.Equal(t, "warning", found["client-timeout"])
	require.Equal(t, "warning", found["client-reload"])

	own, err := redisstore.Open(srv.URL()+"?mode=cluster", redisstore.Options{})
	require.NoError(t, err)
	defer own.Close()
	for id := range audit(t, own) {
		require.NotContains(t, id, "client")
	}
}

func TestARollbackOfTheServerIsNoticedAndHealed(t *testing.T) {
	srv := redistest.Start(t, "--appendonly", "yes") // restarted without its file
	e := newEnv(t, srv.URL(), nil)
	s := e.open(redisstore.Options{})
	mustSave(t, s, "c", snap(1, 1, "a", "1"), snap(1, 5, "b", "5"))
	mustSave(t, s, "d", snap(1, 1, "a", "1"))
	require.NotContains(t, audit(t, s), "rollback")
	srv.Kill()
	srv.Restart("--appendonly", "no")
	require.Eventually(t, func() bool { return s.Save(ctx, "c", touch(1, 5, "b")) != nil && e.client.Ping(ctx).Err() == nil }, 20*time.Second, time.Millisecond)
	require.Eventually(t, func() bool { return s.Save(ctx, "c", snap(1, 6, "c", "6")) == nil }, 20*time.Second, time.Millisecond)
	require.Equal(t, "6", string(loaded(t, s, "c").Data))
	list, err := s.Audit(ctx)
	require.NoError(t, err)
	require.Contains(t, fmt.Sprint(list), `{rollback error  1 times, last: component "c" was at version 5, and then the server knew only 0`)
	require.ErrorIs(t, second(s.Load(ctx, "d")), store.ErrNotFound)
	list, err = s.Audit(ctx)
	require.NoError(t, err)
	require.Contains(t, fmt.Sprint(list), "2 times", "and by a load")
	require.Equal(t, "error", audit(t, s)["rollback"])
}

func TestDeletionsAndConcurrentCallsAreNoRollback(t *testing.T) {
	e := onReal(t)
	s := e.open(redisstore.Options{})
	mustSave(t, s, "c", snap(1, 1, "a", "1"))
	require.NoError(t, s.Delete(ctx, "c"))
	require.ErrorIs(t, second(s.Load(ctx, "c")), store.ErrNotFound)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for v := uint64(2); v < 300; v++ {
			_ = s.Save(ctx, "c", snap(2, v, "w", "x"))
		}
	}()
	for range 200 {
		_, _ = s.Load(ctx, "c")
	}
	<-done
	require.NotContains(t, audit(t, s), "rollback")
}

func TestOpenRefusesALevelThatAReachableServerCannotGive(t *testing.T) {
	e := newEnv(t, redistest.Start(t).URL(), nil)
	s := e.open(redisstore.Options{Durability: "fsync"})
	require.ErrorContains(t, s.Check(ctx), "appendonly yes")
	require.NoError(t, e.open(redisstore.Options{Durability: "replicated:3"}).Check(ctx), "replicas come and go")
	require.NoError(t, e.client.Do(ctx, "ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all", "-wait").Err())
	u := strings.Replace(e.url, "redis://", "redis://app:pw@", 1)
	app, err := redisstore.Open(u, redisstore.Options{Durability: "replicated:1"})
	require.NoError(t, err)
	defer app.Close()
	require.ErrorContains(t, app.Check(ctx), "WAIT")
	down, err := redisstore.Open("redis://127.0.0.1:1", redisstore.Options{Durability: "fsync"})
	require.NoError(t, err)
	defer down.Close()
	require.NoError(t, down.Check(ctx), "that it is down is no error")
}

// breakRDB makes the server fail to write its file, so that it refuses writes.
// Root may write anywhere, so the directory is taken away instead.
func breakRDB(t *testing.T, srv *redistest.Server) {
	t.Helper()
	c := srv.Client(t)
	require.NoError(t, c.ConfigSet(ctx, "save", "3600 1").Err())
	require.NoError(t, os.RemoveAll(srv.Dir))
	require.Eventually(t, func() bool {
		_ = c.BgSave(ctx).Err()
		return strings.Contains(c.Info(ctx, "persistence").Val(), "rdb_last_bgsave_status:err")
	}, 20*time.Second, 10*time.Millisecond)
}
