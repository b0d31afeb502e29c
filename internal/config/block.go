package config

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"regexp"
	"time"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
)

const (
	blockName        = "state_persistence"
	defaultTTL       = time.Hour // in code a zero TTL means none
	shortestLeaseTTL = time.Second
)

// Block is what a state_persistence block says. Zero fields were not set, except
// for TTL, which has its default then; -1 is "off". docs/configuration.md says what
// the keys mean.
type Block struct {
	Adapter        string
	RedisURL       Secret // with redis_mode and redis_master as parameters
	KeyPrefix      string
	Durability     string
	Directory      string
	SpillDirectory string
	TTL            time.Duration
	Keep           int
	MaxStateBytes  int64

	System, Replica, Holder string
	Interval                time.Duration
	SaveTimeout             time.Duration
	ShutdownTimeout         time.Duration
	LeaseTTL, PauseLimit    time.Duration
	MaxCrashRestarts        int
	Consistent              bool
	Restore                 string
	Components              map[string]Component
}

// Component is what the block says about one component.
type Component struct {
	Interval time.Duration
	Restore  string
}

// A ttl below so many times the longest snapshot_interval is refused, or warned of.
const (
	RefuseTTLBelow = 3
	WarnTTLBelow   = 10
)

// ReadBlock reads the block from the text of a file. interval is the time between
// checkpoints where the block says none. The error is an *Error.
func ReadBlock(data []byte, interval time.Duration) (*Block, error) {
	b := &Block{}
	return b, Decode(data, blockName, os.LookupEnv, func(s *Section) {
		b.readAdapter(s)
		b.readRedis(s)
		b.readOptions(s)
		b.readComponents(s)
		if text := b.TTLProblem(RefuseTTLBelow, interval); text != "" {
			s.Refuse("ttl", "%s", text)
		}
	})
}

// TTLProblem says that the ttl is below factor times the longest interval; it is
// empty if not. interval is that of components for which the block says none.
func (b *Block) TTLProblem(factor int64, interval time.Duration) string {
	longest := cmp.Or(b.Interval, interval)
	for _, c := range b.Components {
		longest = max(longest, c.Interval)
	}
	if b.Adapter == "file" || b.TTL == 0 || int64(b.TTL)/factor >= int64(longest) {
		return ""
	}
	return fmt.Sprintf("%s is below %d times the longest snapshot_interval (%s); raise it, or use 0 to keep state until it is deleted",
		b.TTL, factor, longest)
}

func (b *Block) readAdapter(s *Section) {
	b.Adapter = s.Choice("adapter", "redis", "file", "memory")
	if s.Missing("adapter") {
		s.Refuse("adapter", "is missing; it must be redis, file or memory")
	}
	b.Directory = s.Text("directory")
	b.SpillDirectory = s.Text("spill_directory")
	b.Keep = int(s.Int("keep", 1, math.MaxInt32))
	b.MaxStateBytes = s.Int("max_state_bytes", 1, math.MaxInt64)
	if b.Adapter == "file" {
		if s.Missing("directory") {
			s.Refuse("directory", "is missing; adapter file needs one")
		} else if b.SpillDirectory != "" && b.SpillDirectory == b.Directory {
			s.Refuse("spill_directory", "must not be the directory itself")
		}
	}
	b.TTL = defaultTTL
	if ttl, ok := s.Duration("ttl", 0); ok {
		b.TTL = ttl
	}
}

var durabilityLevel = regexp.MustCompile(`^(memory|fsync|replicated:[1-9][0-9]{0,3})$`)

func (b *Block) readRedis(s *Section) {
	b.RedisURL = s.RedisAddress()
	b.KeyPrefix = s.Text("key_prefix")
	b.Durability = s.Text("durability")
	if b.Durability != "" && !durabilityLevel.MatchString(b.Durability) {
		s.Refuse("durability", "must be memory, replicated:N (N replicas confirm, such as replicated:1) or fsync, not %s", s.Shown("durability"))
	}
	if b.Adapter == "redis" && s.Missing("redis_url") {
		s.Refuse("redis_url", "is missing; adapter redis needs one, such as ${REDIS_URL}")
	}
}

func (b *Block) readOptions(s *Section) {
	b.Interval, _ = s.Duration("snapshot_interval", time.Millisecond)
	b.System = namespace(s, "system")
	b.Replica = namespace(s, "replica")
	if !s.Missing("replica") && s.Missing("system") {
		s.Refuse("replica", "needs system beside it")
	}
	b.Holder = s.Text("holder")
	b.SaveTimeout, _ = s.Duration("save_timeout", time.Millisecond)
	b.ShutdownTimeout, _ = s.Duration("shutdown_timeout", time.Millisecond)
	b.LeaseTTL = durationOrOff(s, "lease_ttl", shortestLeaseTTL)
	b.MaxCrashRestarts = int(s.Int("max_crash_restarts", 0, math.MaxInt32))
	b.Consistent = s.Bool("consistent")
	b.PauseLimit = durationOrOff(s, "pause_limit", time.Millisecond)
	b.Restore = restorePolicy(s)
}

func durationOrOff(s *Section, key string, least time.Duration) time.Duration {
	d, off := s.DurationOr(key, least, "off")
	if off {
		return -1
	}
	return d
}

// namespace reads a part of the names that components have in the store.
func namespace(s *Section, key string) string {
	v := s.Text(key)
	if v != "" && envelope.CheckPart(v) != nil {
		s.Refuse(key, "must be at most 255 bytes, without / and without ~ at its start")
	}
	return v
}

func restorePolicy(s *Section) string {
	return s.Choice("restore", string(store.FreshIfAbsent), string(store.RestoreRequired), string(store.FreshIfUnreadable))
}

func (b *Block) readComponents(s *Section) {
	for id, entry := range s.Sections("components") {
		if envelope.CheckPart(id) != nil {
			entry.Refuse("", "is no component id: it must be 1 to 255 bytes, without / and without ~ at its start")
		}
		var c Component
		c.Interval, _ = entry.Duration("snapshot_interval", time.Millisecond)
		c.Restore = restorePolicy(entry)
		if b.Consistent && c.Interval != 0 {
			entry.Refuse("snapshot_interval", "must not be set per component together with consistent: true, which saves all of them at once")
		}
		if b.Components == nil {
			b.Components = map[string]Component{}
		}
		b.Components[id] = c
	}
}
