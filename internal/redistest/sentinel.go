package redistest

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Master is the name that sentinels know their primary by.
const Master = "mymaster"

// settled bounds how long servers may take to find each other.
const settled = 60 * time.Second

// Group is one primary and its replicas, watched by three sentinels.
type Group struct {
	Servers   []*Server // the first is the primary at the start
	Sentinels []*Server
}

// StartSentinel starts a primary with replicas and three sentinels, and waits
// until they know each other. serverArgs are for the servers.
func StartSentinel(t testing.TB, replicas int, serverArgs ...string) *Group {
	t.Helper()
	g := &Group{}
	for range replicas + 1 {
		args := serverArgs
		if len(g.Servers) > 0 {
			host, port, _ := net.SplitHostPort(g.Servers[0].Addr)
			args = append(append([]string{}, args...), "--replicaof", host, port)
		}
		g.Servers = append(g.Servers, Start(t, args...))
	}
	g.awaitReplicas(t, replicas)
	for range 3 {
		g.Sentinels = append(g.Sentinels, startSentinel(t, g.Servers[0].Addr))
	}
	g.awaitSentinels(t, replicas)
	return g
}

func (g *Group) awaitReplicas(t testing.TB, n int) {
	c := g.Servers[0].Client(t)
	await(t, "replicas", func() bool {
		return strings.Count(c.Info(context.Background(), "replication").Val(), "state=online") == n
	})
}

func (g *Group) awaitSentinels(t testing.TB, replicas int) {
	for _, s := range g.Sentinels {
		c := sentinelClient(t, s)
		await(t, "sentinels", func() bool {
			m := c.Master(context.Background(), Master).Val()
			return m["num-slaves"] == fmt.Sprint(replicas) && m["num-other-sentinels"] == "2" && m["flags"] == "master"
		})
	}
}

func startSentinel(t testing.TB, primary string) *Server {
	t.Helper()
	host, port, _ := net.SplitHostPort(primary)
	var err error
	for range 5 {
		s := &Server{Addr: freeAddr(t), Dir: t.TempDir(), t: t}
		_, own, _ := net.SplitHostPort(s.Addr)
		s.sentinel = s.Path("sentinel.conf")
		conf := fmt.Sprintf("bind 127.0.0.1\nport %s\ndir %s\nsentinel monitor %s %s %s 2\n"+
			"sentinel down-after-milliseconds %s 1000\nsentinel failover-timeout %s 2000\nsentinel parallel-syncs %s 2\n",
			own, s.Dir, Master, host, port, Master, Master, Master)
		if err = os.WriteFile(s.sentinel, []byte(conf), 0o600); err != nil {
			break
		}
		if err = s.launch(); err == nil {
			t.Cleanup(s.Kill)
			return s
		}
	}
	t.Fatalf("a sentinel did not start: %v", err)
	return nil
}

func sentinelClient(t testing.TB, s *Server) *redis.SentinelClient {
	c := redis.NewSentinelClient(&redis.Options{Addr: s.Addr, Protocol: 2, DisableIdentity: true})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// URL returns the redis:// URL that names all sentinels.
func (g *Group) URL() string {
	q := url.Values{"mode": {"sentinel"}, "master_name": {Master}}
	for _, s := range g.Sentinels[1:] {
		q.Add("addr", s.Addr)
	}
	return "redis://" + g.Sentinels[0].Addr + "?" + q.Encode()
}

// Client returns a client of whichever server is the primary.
func (g *Group) Client(t testing.TB) *redis.Client {
	o := &redis.FailoverOptions{MasterName: Master, Protocol: 2, DisableIdentity: true}
	for _, s := range g.Sentinels {
		o.SentinelAddrs = append(o.SentinelAddrs, s.Addr)
	}
	c := redis.NewFailoverClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// Primary returns the server that the sentinels take for the primary now.
func (g *Group) Primary(t testing.TB) *Server {
	t.Helper()
	for _, s := range g.Sentinels {
		addr, err := sentinelClient(t, s).GetMasterAddrByName(context.Background(), Master).Result()
		if err != nil {
			continue
		}
		for _, s := range g.Servers {
			if s.Addr == net.JoinHostPort(addr[0], addr[1]) {
				return s
			}
		}
	}
	t.Fatal("no sentinel knows a primary")
	return nil
}

// AwaitPromotion returns the server that has become primary in the place of old.
func (g *Group) AwaitPromotion(t testing.TB, old *Server) *Server {
	t.Helper()
	var found *Server
	await(t, "a promotion", func() bool {
		for _, s := range g.Servers {
			if s != old && isPrimary(t, s) {
				found = s
				return true
			}
		}
		return false
	})
	return found
}

// Failover has the sentinels promote a replica of a primary that is well.
func (g *Group) Failover(t testing.TB) {
	t.Helper()
	c := sentinelClient(t, g.Sentinels[0])
	await(t, "a failover to begin", func() bool { return c.Failover(context.Background(), Master).Err() == nil })
}

// isPrimary asks on a connection of its own, since the server may be frozen or dead.
func isPrimary(t testing.TB, s *Server) bool {
	c := redis.NewClient(&redis.Options{Addr: s.Addr, Protocol: 2, DisableIdentity: true, MaxRetries: -1, DialerRetries: 1, ContextTimeoutEnabled: true})
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return strings.Contains(c.Info(ctx, "replication").Val(), "role:master")
}

// await polls until ready, for a generous time.
func await(t testing.TB, what string, ready func() bool) {
	t.Helper()
	for end := time.Now().Add(settled); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if ready() {
			return
		}
	}
	t.Fatalf("waited %s for %s", settled, what)
}
