package durable

import (
	"math"
	"regexp"
	"strings"
	"time"

	"github.com/durablestate/durable/internal/config"
	"github.com/durablestate/durable/internal/envelope"
)

// read fills c from the block. Every key the block may have is asked for here.
func (c *Config) read(s *config.Section) {
	c.readAdapter(s)
	c.readRedis(s)
	c.readOptions(s)
	c.readComponents(s)
	if text := c.ttlProblem(refuseTTLBelow); text != "" {
		s.Refuse("ttl", "%s", text)
	}
}

func (c *Config) readAdapter(s *config.Section) {
	set := c.settings
	set.adapter = s.Choice("adapter", "redis", "file", "memory")
	if s.Missing("adapter") {
		s.Refuse("adapter", "is missing; it must be redis, file or memory")
	}
	set.directory = s.Text("directory")
	set.spill = s.Text("spill_directory")
	set.file.Keep = int(s.Int("keep", 1, math.MaxInt32))
	set.file.MaxStateBytes = s.Int("max_state_bytes", 1, math.MaxInt64)
	if set.adapter == "file" {
		if s.Missing("directory") {
			s.Refuse("directory", "is missing; adapter file needs one")
		} else if set.spill != "" && set.spill == set.directory {
			s.Refuse("spill_directory", "must not be the directory itself")
		}
	}
	set.ttl = defaultTTL
	if ttl, ok := s.Duration("ttl", 0); ok {
		set.ttl = ttl
	}
}

var durabilityLevel = regexp.MustCompile(`^(memory|fsync|replicated:[1-9][0-9]{0,3})$`)

func (c *Config) readRedis(s *config.Section) {
	set := c.settings
	set.redisURL = s.RedisAddress()
	set.redis = RedisOptions{
		KeyPrefix:     s.Text("key_prefix"),
		TTL:           set.ttl,
		Keep:          set.file.Keep,
		Durability:    s.Text("durability"),
		MaxStateBytes: set.file.MaxStateBytes,
	}
	if d := set.redis.Durability; d != "" && !durabilityLevel.MatchString(d) {
		s.Refuse("durability", "must be memory, replicated:N (N replicas confirm, such as replicated:1) or fsync, not %s", s.Shown("durability"))
	}
	if set.adapter == "redis" && s.Missing("redis_url") {
		s.Refuse("redis_url", "is missing; adapter redis needs one, such as ${REDIS_URL}")
	}
}

func (c *Config) readOptions(s *config.Section) {
	o := &c.Options
	o.Interval, _ = s.Duration("snapshot_interval", time.Millisecond)
	o.System = namespace(s, "system")
	o.Replica = namespace(s, "replica")
	if !s.Missing("replica") && s.Missing("system") {
		s.Refuse("replica", "needs system beside it")
	}
	o.Holder = s.Text("holder")
	o.SaveTimeout, _ = s.Duration("save_timeout", time.Millisecond)
	o.CloseTimeout, _ = s.Duration("shutdown_timeout", time.Millisecond)
	lease, off := s.DurationOr("lease_ttl", shortestLeaseTTL, "off")
	o.LeaseTTL = lease
	if off {
		o.LeaseTTL = -1
	}
	o.MaxCrashRestarts = int(s.Int("max_crash_restarts", 0, math.MaxInt32))
	o.Consistent = s.Bool("consistent")
	pause, never := s.DurationOr("pause_limit", time.Millisecond, "off")
	o.PauseLimit = pause
	if never {
		o.PauseLimit = -1
	}
	o.Restore = restorePolicy(s)
}

// namespace reads a part of the names that components have in the store.
func namespace(s *config.Section, key string) string {
	v := s.Text(key)
	if v != "" && !validName(v) {
		s.Refuse(key, "must be at most 255 bytes, without / and without ~ at its start")
	}
	return v
}

func validName(v string) bool {
	return envelope.ValidID(v) && !strings.Contains(v, "/") && !strings.HasPrefix(v, "~")
}

func restorePolicy(s *config.Section) RestorePolicy {
	return RestorePolicy(s.Choice("restore", string(FreshIfAbsent), string(RestoreRequired), string(FreshIfUnreadable)))
}

func (c *Config) readComponents(s *config.Section) {
	for id, entry := range s.Sections("components") {
		if !validName(id) {
			entry.Refuse("", "is no component id: it must be 1 to 255 bytes, without / and without ~ at its start")
		}
		var o ComponentOptions
		o.Interval, _ = entry.Duration("snapshot_interval", time.Millisecond)
		o.Restore = restorePolicy(entry)
		if c.Options.Consistent && o.Interval != 0 {
			entry.Refuse("snapshot_interval", "must not be set per component together with consistent: true, which saves all of them at once")
		}
		if c.Options.Components == nil {
			c.Options.Components = map[string]ComponentOptions{}
		}
		c.Options.Components[id] = o
	}
}
