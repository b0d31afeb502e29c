package redistest

import (
	"context"
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// Slots is how many hash slots a cluster has.
const Slots = 16384

// Cluster is a Redis Cluster whose slots are shared out evenly.
type Cluster struct {
	Primaries []*Server
	Replicas  []*Server // of the primary with the same index, if there are any
}

// StartCluster starts primaries and, if replicas is true, one replica for each,
// and waits until all agree.
func StartCluster(t testing.TB, primaries int, replicas bool, serverArgs ...string) *Cluster {
	t.Helper()
	args := append([]string{"--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-replica-validity-factor", "0"}, serverArgs...)
	c, ctx := &Cluster{}, context.Background()
	for i := range primaries {
		s := Start(t, args...)
		c.Primaries = append(c.Primaries, s)
		must(t, s.Client(t).Do(ctx, "CLUSTER", "ADDSLOTSRANGE", i*Slots/primaries, (i+1)*Slots/primaries-1).Err())
		must(t, s.Client(t).Do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", i+1).Err())
	}
	if replicas {
		for range primaries {
			c.Replicas = append(c.Replicas, Start(t, args...))
		}
	}
	host, port, _ := net.SplitHostPort(c.Primaries[0].Addr)
	for _, s := range c.nodes()[1:] {
		must(t, s.Client(t).ClusterMeet(ctx, host, port).Err())
	}
	c.awaitNodes(t)
	for i, r := range c.Replicas {
		id := c.Primaries[i].Client(t).ClusterMyID(ctx).Val()
		await(t, "a replica to know its primary", func() bool { return r.Client(t).ClusterReplicate(ctx, id).Err() == nil })
	}
	c.awaitReplicas(t)
	return c
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (c *Cluster) nodes() []*Server {
	return append(append([]*Server{}, c.Primaries...), c.Replicas...)
}

func (c *Cluster) awaitNodes(t testing.TB) {
	for _, s := range c.nodes() {
		client := s.Client(t)
		await(t, "the nodes of a cluster", func() bool {
			lines := strings.Split(strings.TrimSpace(client.ClusterNodes(context.Background()).Val()), "\n")
			return len(lines) == len(c.nodes()) && c.ok(client)
		})
	}
}

func (c *Cluster) ok(client *redis.Client) bool {
	info := client.ClusterInfo(context.Background()).Val()
	return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_slots_ok:16384")
}

func (c *Cluster) awaitReplicas(t testing.TB) {
	for i := range c.Replicas {
		client := c.Primaries[i].Client(t)
		await(t, "the replica of a node", func() bool {
			return strings.Contains(client.Info(context.Background(), "replication").Val(), "state=online")
		})
	}
	for _, s := range c.nodes() { // all must know, or a failover finds no votes
		client := s.Client(t)
		await(t, "all to know the replicas", func() bool {
			return strings.Count(client.ClusterNodes(context.Background()).Val(), "slave ") == len(c.Replicas) && c.ok(client)
		})
	}
}

// URL returns the redis:// URL that names all nodes.
func (c *Cluster) URL() string {
	q := url.Values{"mode": {"cluster"}}
	for _, s := range c.nodes()[1:] {
		q.Add("addr", s.Addr)
	}
	return "redis://" + c.Primaries[0].Addr + "?" + q.Encode()
}

// Client returns a client of the whole cluster.
func (c *Cluster) Client(t testing.TB) *redis.ClusterClient {
	o := &redis.ClusterOptions{Protocol: 2, DisableIdentity: true}
	for _, s := range c.nodes() {
		o.Addrs = append(o.Addrs, s.Addr)
	}
	client := redis.NewClusterClient(o)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// PrimaryOf returns which of the primaries had the slot of key at the start.
func (c *Cluster) PrimaryOf(t testing.TB, key string) int {
	t.Helper()
	slot, err := c.Primaries[0].Client(t).ClusterKeySlot(context.Background(), key).Result()
	must(t, err)
	for i := range c.Primaries {
		if int(slot) < (i+1)*Slots/len(c.Primaries) {
			return i
		}
	}
	return 0
}

// AwaitPromotion returns once the replica of primary i has taken its place.
func (c *Cluster) AwaitPromotion(t testing.TB, i int) {
	t.Helper()
	await(t, "the promotion of a node", func() bool { return isPrimary(t, c.Replicas[i]) })
}

// Migrate moves the slot of key, and what is in it, from one primary to another.
// between, which may be nil, runs after the slot was opened on both sides and
// before each key moves.
func (c *Cluster) Migrate(t testing.TB, key string, from, to *Server, between func()) {
	t.Helper()
	ctx := context.Background()
	f, g := from.Client(t), to.Client(t)
	slot := f.ClusterKeySlot(ctx, key).Val()
	fromID, toID := f.ClusterMyID(ctx).Val(), g.ClusterMyID(ctx).Val()
	must(t, g.Do(ctx, "CLUSTER", "SETSLOT", slot, "IMPORTING", fromID).Err())
	must(t, f.Do(ctx, "CLUSTER", "SETSLOT", slot, "MIGRATING", toID).Err())
	host, port, _ := net.SplitHostPort(to.Addr)
	for {
		keys, err := f.ClusterGetKeysInSlot(ctx, int(slot), 1).Result()
		must(t, err)
		if between != nil {
			between()
		}
		if len(keys) == 0 {
			break
		}
		must(t, f.Migrate(ctx, host, port, keys[0], 0, settled).Err())
	}
	for _, s := range append([]*Server{to, from}, c.Primaries...) {
		must(t, s.Client(t).Do(ctx, "CLUSTER", "SETSLOT", slot, "NODE", toID).Err())
	}
}
