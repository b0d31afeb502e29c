package redisstore

import (
	"context"
	"crypto/tls"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/durablestate/durable/internal/redact"
)

const (
	dialTimeout = 2 * time.Second
	poolSize    = 4
	poolTimeout = 2 * time.Second
	idleTime    = 5 * time.Minute
	lifetime    = 45 * time.Minute // then credentials are presented anew
	lifeJitter  = 10 * time.Minute
	redirects   = 3
	stateReload = 5 * time.Second // the library's minute delays recovery from a failover by a minute
	protocol    = 2               // works with every server; push messages are not needed
)

var errParameters = errURL("is not what the client reads; check its parameters")

// client builds the client of the target. A command may take timeout; every one
// has a context with a nearer deadline. The client does not repeat commands
// itself, this package does, where it can tell copies apart.
func (t target) client(timeout time.Duration) (redis.UniversalClient, error) {
	switch t.Mode {
	case "sentinel":
		return t.sentinel(timeout)
	case "cluster":
		return t.cluster(timeout)
	}
	o, err := redis.ParseURL(t.URL.String())
	if err != nil {
		return nil, errParameters
	}
	o.Protocol, o.ContextTimeoutEnabled, o.MaxRetries, o.DialerRetries = protocol, true, -1, 1
	defaults(&o.DialTimeout, &o.ReadTimeout, &o.WriteTimeout, &o.PoolTimeout, timeout)
	lifetimes(&o.ConnMaxIdleTime, &o.ConnMaxLifetime, &o.ConnMaxLifetimeJitter, &o.PoolSize)
	o.DisableIdentity, o.PipelinePoolSize, o.MaintNotificationsConfig = true, -1, noMaintenance()
	o.OnConnect = refuseReplica
	t.tls(o.TLSConfig)
	return redis.NewClient(o), nil
}

// sentinel reads the URL's user and password as those of the servers, like
// everywhere else; go-redis would give them to the sentinels.
func (t target) sentinel(timeout time.Duration) (redis.UniversalClient, error) {
	o, err := redis.ParseFailoverURL(t.URL.String())
	if err != nil {
		return nil, errParameters
	}
	o.Username, o.Password, o.SentinelUsername, o.SentinelPassword = t.User, t.Password, t.SentinelUser, t.SentinelPassword
	o.Protocol, o.ContextTimeoutEnabled, o.MaxRetries, o.DialerRetries = protocol, true, -1, 1
	defaults(&o.DialTimeout, &o.ReadTimeout, &o.WriteTimeout, &o.PoolTimeout, timeout)
	lifetimes(&o.ConnMaxIdleTime, &o.ConnMaxLifetime, &o.ConnMaxLifetimeJitter, &o.PoolSize)
	o.DisableIdentity, o.PipelinePoolSize = true, -1
	o.OnConnect = refuseReplica // sentinels say "sentinel" and pass
	t.tls(o.TLSConfig)
	return redis.NewFailoverClient(o), nil
}

func (t target) cluster(timeout time.Duration) (redis.UniversalClient, error) {
	o, err := redis.ParseClusterURL(t.URL.String())
	if err != nil {
		return nil, errParameters
	}
	o.Protocol, o.ContextTimeoutEnabled, o.MaxRedirects, o.DialerRetries = protocol, true, redirects, 1
	defaults(&o.DialTimeout, &o.ReadTimeout, &o.WriteTimeout, &o.PoolTimeout, timeout)
	lifetimes(&o.ConnMaxIdleTime, &o.ConnMaxLifetime, &o.ConnMaxLifetimeJitter, &o.PoolSize)
	o.DisableIdentity, o.PipelinePoolSize, o.MaintNotificationsConfig = true, -1, noMaintenance()
	o.ClusterStateReloadInterval = stateReload
	t.tls(o.TLSConfig)
	return bounded(redis.NewClusterClient(o)), nil
}

// tls completes the configuration that go-redis made, if any. It names the first
// address in certificates of all servers; without a name each server's own is used.
func (t target) tls(c *tls.Config) {
	if c == nil {
		return
	}
	c.MinVersion, c.InsecureSkipVerify = tls.VersionTLS12, t.SkipVerify
	if t.Mode != "" {
		c.ServerName = ""
	}
}

func noMaintenance() *maintnotifications.Config {
	return &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
}

func defaults(dial, read, write, pool *time.Duration, timeout time.Duration) {
	orDefault(dial, dialTimeout)
	orDefault(read, timeout)
	orDefault(write, timeout)
	orDefault(pool, poolTimeout)
}

func lifetimes(idle, life, jitter *time.Duration, size *int) {
	orDefault(idle, idleTime)
	if *life == 0 {
		*life, *jitter = lifetime, lifeJitter
	}
	orDefault(size, poolSize)
}

func orDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

var errReplica = errors.New("READONLY the server is a replica, which may be behind its primary")

// refuseReplica keeps a connection from being used that would read old state.
// What cannot or may not tell its role is taken for a primary: a replica refuses
// writes in any case.
func refuseReplica(ctx context.Context, c *redis.Conn) error {
	if isReplica(c.Do(ctx, "ROLE")) {
		return errReplica
	}
	return nil
}

func isReplica(role *redis.Cmd) bool {
	v, err := role.Slice()
	return err == nil && len(v) > 0 && (v[0] == "slave" || v[0] == "replica")
}

// know takes in what a client was made with. It is prompt when it watches the
// deadlines of contexts.
func (s *Store) know(tls bool, password string, prompt bool) {
	s.tls, s.secrets, s.prompt = tls, redact.New(password), prompt
}
