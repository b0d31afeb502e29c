package redisstore

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/durablestate/durable/internal/store"
)

// A Finding is one thing that an audit has to say.
type Finding struct {
	ID       string // names the kind, for alarms and suppressions
	Severity string // Error, Warning, Info or Unknown
	Server   string // its address; empty when it is about the client
	Evidence string
	Remedy   string
}

// The severities. Unknown is a check that could not be made.
const (
	Error   = "error"
	Warning = "warning"
	Info    = "info"
	Unknown = "unknown"
)

// auditTime is how long an audit without a deadline may take.
const auditTime = 10 * time.Second

// Audit looks at the client, at what this store remembers, and at every primary.
func (s *Store) Audit(ctx context.Context) ([]Finding, error) {
	ctx, cancel := bound(ctx, auditTime, 0)
	defer cancel()
	if s.ctx.Err() != nil {
		return nil, store.ErrClosed
	}
	found := append(s.auditClient(), s.auditSettings()...)
	servers, err := await(ctx, s, func() ([]Finding, error) { return s.auditServers(ctx), ctx.Err() })
	if err != nil {
		return nil, err
	}
	found = append(found, servers...)
	slices.SortStableFunc(found, func(a, b Finding) int { return strings.Compare(a.Server+a.ID, b.Server+b.ID) })
	return found, nil
}

func (s *Store) auditServers(ctx context.Context) (found []Finding) {
	c, isCluster := s.client.(*redis.ClusterClient)
	if !isCluster {
		return s.auditServer(ctx, s.client, "")
	}
	var mu sync.Mutex
	add := func(list []Finding) {
		mu.Lock()
		defer mu.Unlock()
		found = append(found, list...)
	}
	if err := c.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error {
		return s.contain(func() error { add(s.auditServer(ctx, c, c.Options().Addr)); return nil })
	}); err != nil {
		add([]Finding{s.unreachable("", err)})
	}
	return found
}

func (s *Store) unreachable(server string, err error) Finding {
	return Finding{"unreachable", Error, server, s.word(err).Error(), "components keep running and save again when it is back; look at the server and the network"}
}

// auditServer judges what INFO says.
func (s *Store) auditServer(ctx context.Context, c redis.Cmdable, server string) []Finding {
	text, err := c.Info(ctx).Result()
	switch {
	case err != nil && classify(err) != refused:
		return []Finding{s.unreachable(server, err)}
	case err != nil:
		return []Finding{{"info", Unknown, server, s.word(err).Error(), "allow +info to have role, persistence, memory and replicas checked"}}
	}
	i := parseInfo(text)
	var found []Finding
	for _, check := range []func(facts) *Finding{
		s.auditRole, auditLoading, s.auditPersistence, auditAOFWrite, auditRDBSave, auditRewrite, auditDelayed,
		auditEviction, auditMemory, auditEvicted, s.auditReplicas, s.auditMinReplicas, s.auditMode,
	} {
		if f := check(i); f != nil {
			f.Server = server
			found = append(found, *f)
		}
	}
	return append(found, i.missing(server)...)
}

// facts are the fields of INFO.
type facts map[string]string

func parseInfo(text string) facts {
	i := facts{}
	for line := range strings.SplitSeq(text, "\n") {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			i[k] = v
		}
	}
	return i
}

func (i facts) number(field string) int64 {
	n, _ := strconv.ParseInt(i[field], 10, 64)
	return n
}

// evidence shows fields as the server does.
func (i facts) evidence(fields ...string) string {
	var b []string
	for _, f := range fields {
		b = append(b, f+":"+i[f])
	}
	return strings.Join(b, " ")
}

// missing says which subjects the server is silent about.
func (i facts) missing(server string) []Finding {
	var found []Finding
	for id, field := range map[string]string{"role": "role", "persistence": "aof_enabled", "memory": "maxmemory_policy"} {
		if _, ok := i[field]; !ok {
			found = append(found, Finding{id, Unknown, server, "INFO has no " + field, "see in the documentation of this server whether it keeps what Redis would"})
		}
	}
	return found
}

func (s *Store) auditRole(i facts) *Finding {
	if r := i["role"]; r == "" || r == "master" {
		return nil
	}
	return &Finding{ID: "role", Severity: Error, Evidence: i.evidence("role", "master_host"), Remedy: "connect to the primary; a replica is refused"}
}

func auditLoading(i facts) *Finding {
	if i["loading"] != "1" && i["async_loading"] != "1" {
		return nil
	}
	return &Finding{ID: "loading", Severity: Warning, Evidence: i.evidence("loading", "async_loading"), Remedy: "wait: the server is still reading its data"}
}

// auditPersistence tells persistence that is off, or was never seen to work.
func (s *Store) auditPersistence(i facts) *Finding {
	if i["aof_enabled"] != "0" {
		return nil
	}
	f := &Finding{ID: "persistence", Evidence: i.evidence("aof_enabled", "rdb_saves", "rdb_last_save_time", "uptime_in_seconds"),
		Remedy: "set appendonly yes: without it a restart of the server loses what was saved since its last RDB file, or everything"}
	switch {
	case s.level.kind == fsync:
		f.Severity = Error
	case i.number("rdb_saves") == 0:
		f.Severity = Warning
	default:
		f.Severity = Info
	}
	return f
}

func auditAOFWrite(i facts) *Finding { return auditStatus(i, "aof-write", "aof_last_write_status") }
func auditRDBSave(i facts) *Finding  { return auditStatus(i, "rdb-save", "rdb_last_bgsave_status") }
func auditRewrite(i facts) *Finding {
	return auditStatus(i, "aof-rewrite", "aof_last_bgrewrite_status")
}

func auditStatus(i facts, id, field string) *Finding {
	if v := i[field]; v == "" || v == "ok" {
		return nil
	}
	return &Finding{ID: id, Severity: Error, Evidence: i.evidence(field),
		Remedy: "look at the server's log and disk: what it acknowledges may not outlive it, and it may refuse writes (MISCONF)"}
}

func auditDelayed(i facts) *Finding {
	if i.number("aof_delayed_fsync") == 0 {
		return nil
	}
	return &Finding{ID: "aof-delayed", Severity: Warning, Evidence: i.evidence("aof_delayed_fsync"), Remedy: "the server's disk is slower than appendfsync everysec needs: more than a second of saves can be lost"}
}

func auditEviction(i facts) *Finding {
	policy := i["maxmemory_policy"]
	if i.number("maxmemory") == 0 || policy == "noeviction" || policy == "" {
		return nil
	}
	f := &Finding{ID: "eviction", Severity: Warning, Evidence: i.evidence("maxmemory", "maxmemory_policy"),
		Remedy: "set maxmemory-policy noeviction, or keep state on a server of its own"}
	if strings.HasPrefix(policy, "allkeys") {
		f.Severity = Error // fences too
	}
	return f
}

func auditMemory(i facts) *Finding {
	used, most := i.number("used_memory"), i.number("maxmemory")
	if most == 0 || used*10 < most*9 {
		return nil
	}
	return &Finding{ID: "memory", Severity: Warning, Evidence: i.evidence("used_memory", "maxmemory"), Remedy: "raise maxmemory or free memory: a full server refuses saves"}
}

func auditEvicted(i facts) *Finding {
	if i.number("evicted_keys") == 0 {
		return nil
	}
	return &Finding{ID: "evicted", Severity: Warning, Evidence: i.evidence("evicted_keys"), Remedy: "set maxmemory-policy noeviction: what was evicted may have been state"}
}

func (s *Store) auditReplicas(i facts) *Finding {
	if s.level.kind != replicated || i["role"] != "master" || i.number("connected_slaves") >= int64(s.level.replicas) {
		return nil
	}
	return &Finding{ID: "replicas", Severity: Error, Evidence: i.evidence("connected_slaves"),
		Remedy: fmt.Sprintf("durability replicated:%d needs as many replicas: until then every save is below its level", s.level.replicas)}
}

// auditMinReplicas reads a field that is shown only when the limit is set.
func (s *Store) auditMinReplicas(i facts) *Finding {
	if _, set := i["min_slaves_good_slaves"]; set || i.number("connected_slaves") == 0 {
		return nil
	}
	return &Finding{ID: "min-replicas", Severity: Info, Evidence: i.evidence("connected_slaves") + ", min-replicas-to-write is not set",
		Remedy: "set min-replicas-to-write 1: it bounds what a primary accepts that was cut off from its replicas and will be demoted"}
}

// auditMode finds a client that does not know that its server is part of a cluster.
func (s *Store) auditMode(i facts) *Finding {
	c, ok := s.client.(*redis.Client)
	if !ok || i["cluster_enabled"] != "1" {
		return nil
	}
	f := &Finding{ID: "client-cluster", Severity: Error, Evidence: i.evidence("cluster_enabled"), Remedy: "use mode=cluster or a redis.ClusterClient"}
	if c.Options().DB != 0 {
		f.Evidence += fmt.Sprintf(" and DB %d", c.Options().DB)
	}
	return f
}

// auditSettings judges what the store was told and what it has seen.
func (s *Store) auditSettings() []Finding {
	var found []Finding
	if s.ttl > 0 {
		f := Finding{ID: "ttl", Severity: Info, Evidence: "TTL " + s.ttl.String(),
			Remedy: "the time runs on while program or server are down: state is gone after an outage as long as this; 0 keeps it"}
		if s.ttl < 10*time.Minute {
			f.Severity = Warning
		}
		found = append(found, f)
	}
	if n, last := s.acked.rollbacks(); n > 0 {
		found = append(found, Finding{ID: "rollback", Severity: Error, Evidence: fmt.Sprintf("%d times, last: %s", n, last),
			Remedy: "a failover or restart lost saves that were acknowledged; the next save of a running owner restores them; use durability replicated:N or fsync"})
	}
	return found
}

// auditClient judges the options of a client, which the caller may have made.
func (s *Store) auditClient() []Finding {
	var found []Finding
	add := func(bad bool, id, severity, evidence, remedy string) {
		if bad {
			found = append(found, Finding{id, severity, "", evidence, remedy})
		}
	}
	timeout := func(enabled bool) {
		add(!enabled, "client-timeout", Warning, "ContextTimeoutEnabled is false", "set it: a command goes on after its call's deadline without it, and holds up others")
	}
	switch c := s.client.(type) {
	case *redis.Client:
		timeout(c.Options().ContextTimeoutEnabled)
	case *redis.ClusterClient:
		o := c.Options()
		timeout(o.ContextTimeoutEnabled)
		add(o.ClusterStateReloadInterval == 0 || o.ClusterStateReloadInterval > stateReload, "client-reload", Warning,
			"ClusterStateReloadInterval is "+o.ClusterStateReloadInterval.String(), "set 5s or less: a failover may not be noticed before")
	default:
		add(true, "client-type", Unknown, fmt.Sprintf("the client is a %T", c), "use redis.Client or redis.ClusterClient")
	}
	return found
}
