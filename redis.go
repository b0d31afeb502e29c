package durable

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/durablestate/durable/internal/adapter"
	"github.com/durablestate/durable/internal/limits"
	"github.com/durablestate/durable/internal/redisstore"
)

// RedisAdapter keeps state in Redis 6.2 or newer, or in Valkey: standalone, behind
// Sentinel or as a Cluster. It implements [Owner] and [Historian] and is safe for
// concurrent use; calls that come in together share a pipeline.
//
// A component's newest state is the value of <prefix><id>, one header line and
// then the state as it is. Keys beside it begin with {<prefix><id>}: and hold the
// fence (which has no TTL and must not be evicted), older generations, bytes that
// did not verify, and the lease. Use maxmemory-policy noeviction.
//
// Every change is one atomic script that recognises its own copies, so a retry
// after a lost reply is not a second save, and a copy that arrives late does
// nothing. A plain JSON object at the key, as SETEX writers leave it, is read as
// state of Version 0 and replaced by the next save; any other foreign value is
// never overwritten.
//
// What an acknowledged save survives is the server's doing: with Durability
// "memory" whatever its persistence saves, "replicated:N" the loss of the primary
// if a replica that confirmed is promoted (to be sure, let N be all replicas),
// "fsync" a power cut. The page docs/redis.md has a table. A user with these
// rights suffices (for the prefix "autocoder:state:"); Audit also needs +info, and
// "fsync" before Redis 7.2 +config|get:
//
//	on >password resetchannels -@all +ping +select +role +eval +evalsha +get +mget +getrange +setrange
//	  +strlen +bitcount +exists +set +mset +rename +del +pexpireat +persist +pttl +hmget +time +scan +wait +waitaof
//	  ~autocoder:state:* ~{autocoder:state:*
type RedisAdapter struct {
	storeAdapter
	redis func() *redisstore.Store // out of reach, because it holds passwords
}

// RedisOptions are the settings of a RedisAdapter. Zero fields mean the defaults
// named here.
type RedisOptions struct {
	KeyPrefix string        // "autocoder:state:"; printable ASCII without spaces, braces and * ? [ ] \
	TTL       time.Duration // after which an unsaved, unrefreshed state expires; no expiry
	Keep      int           // generations of a component that each save of it leaves; 3

	// Durability is what a save waits for: "memory" (the default), "fsync", or
	// "replicated:N" for N replicas. A shortfall is ErrNotDurable. "fsync" needs
	// Redis 7.2, or appendfsync always and the right to CONFIG GET it; it is
	// refused by the first save where the server cannot give it.
	Durability string

	MaxStateBytes int64 // more is refused before anything is sent; 32 MiB, at most 128 MiB
}

// NewRedisAdapter returns an adapter on a client that the caller keeps: Close
// does not close it. It sends nothing. Set ContextTimeoutEnabled on the client,
// and for a cluster a short ClusterStateReloadInterval. A client that may show old
// state is refused: one that reads from replicas, a Ring, one with a cache.
func NewRedisAdapter(client redis.UniversalClient, opts *RedisOptions) (*RedisAdapter, error) {
	o := given(opts)
	c := o.check()
	if isNil(client) {
		c.Refuse("client", "must not be nil")
	}
	if err := c.Err(); err != nil {
		return newRedisAdapter(nil, err)
	}
	return newRedisAdapter(redisstore.New(client, o.store()))
}

// OpenRedisAdapter returns an adapter with a client of its own. The server need
// not be up: with Durability "memory" nothing is sent before the first use. Other
// levels are refused at once where a server that can be reached within two
// seconds cannot give them. The URL is one of
//
//	redis://user:password@host:6379/0    rediss:// is the same over TLS 1.2 or newer
//	unix://user:password@/path/to/socket?db=0
//	redis://user:password@sentinel1:26379/0?mode=sentinel&master_name=mymaster&addr=sentinel2:26379
//	redis://user:password@node1:6379?mode=cluster&addr=node2:6379
//
// The parameter addr may be repeated. User and password are those of the
// servers; sentinels have sentinel_username and sentinel_password. skip_verify=true
// turns off the check of certificates. Timeouts and pool_size are spelled as in
// go-redis. Percent-encode special characters in the password. No error shows
// the URL.
func OpenRedisAdapter(ctx context.Context, url string, opts *RedisOptions) (*RedisAdapter, error) {
	if err := ctx.Err(); err != nil {
		return newRedisAdapter(nil, err)
	}
	o := given(opts)
	c := o.check()
	c.TextAs("url", "redis_url", url)
	if url == "" {
		c.Refuse("url", "is empty")
	}
	if err := c.Err(); err != nil {
		return newRedisAdapter(nil, err)
	}
	s, err := redisstore.Open(url, o.store())
	if err == nil {
		if err = s.Check(ctx); err != nil {
			_ = s.Close()
		}
	}
	return newRedisAdapter(s, err)
}

// A Finding is one thing that an audit has to say about a server, a client or a
// setting.
type Finding struct {
	ID       string // names the kind, for alarms: "persistence", "eviction", "replicas", ...
	Severity string // "error", "warning" or "info", and "unknown" for a check that could not be made
	Server   string // its address in a cluster; empty otherwise
	Evidence string // what was seen
	Remedy   string // what to do
}

// Audit looks at the servers and at the adapter's client and settings, and says
// what endangers state: a replica instead of a primary, persistence that is off
// or fails, an eviction policy, memory that runs out, replicas that the
// configured durability lacks, dangerous options of a client, saves that a
// failover lost. It changes nothing and needs +info to be of much use; what
// cannot be asked is a finding of severity "unknown", and a server that cannot be
// reached is a finding too. The error is that of ctx, or ErrClosed.
func (a *RedisAdapter) Audit(ctx context.Context) ([]Finding, error) {
	if a.redis == nil {
		return nil, a.fail("audit", "", a.in().Unusable())
	}
	found, err := a.redis().Audit(ctx)
	if err != nil {
		return nil, a.fail("audit", "", err)
	}
	return convert(found, func(f redisstore.Finding) Finding { return Finding(f) }), nil
}

func newRedisAdapter(s *redisstore.Store, err error) (*RedisAdapter, error) {
	if err != nil {
		return nil, &Error{Op: "open", Adapter: "redis", Err: err}
	}
	a := &RedisAdapter{redis: func() *redisstore.Store { return s }}
	a.over("redis", &adapter.Adapter{Store: s, MaxBytes: s.MaxBytes(), TTL: s.TTL()}, a)
	return a, nil
}

// check gathers what is wrong with o.
func (o *RedisOptions) check() *limits.Check {
	c := limits.Fields("RedisOptions", "redis")
	c.Text("key_prefix", o.KeyPrefix)
	c.Number("ttl", int64(o.TTL))
	c.Number("keep", int64(o.Keep))
	c.Text("durability", o.Durability)
	c.Number("max_state_bytes", o.MaxStateBytes)
	return c
}

func (o RedisOptions) store() redisstore.Options {
	return redisstore.Options{Prefix: o.KeyPrefix, TTL: o.TTL, Keep: o.Keep, Durability: o.Durability, MaxBytes: o.MaxStateBytes}
}
