package config

import (
	"cmp"
	"os"
	"path/filepath"
	"time"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/limits"
)

const (
	blockName  = "state_persistence"
	defaultTTL = time.Hour // in code a zero TTL means none
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

// ReadBlock reads the block from the text of a file. interval is the time between
// checkpoints where the block says none. The error is an *Error.
func ReadBlock(data []byte, interval time.Duration) (*Block, error) {
	b := &Block{}
	return b, Decode(data, blockName, os.LookupEnv, func(s *Section) {
		b.readAdapter(s)
		b.readRedis(s)
		b.readOptions(s)
		of := b.readComponents(s)
		for p := range b.together(interval).Problems(func(key string) string { return key }) {
			cmp.Or(of[p.Component], s).Refuse(p.Key, "%s", p.Text)
		}
	})
}

// together returns what must go with each other. interval is that of components for
// which the block says none.
func (b *Block) together(interval time.Duration) limits.Together {
	t := limits.Together{
		System: b.System, Replica: b.Replica, TTL: b.TTL, Interval: cmp.Or(b.Interval, interval), Consistent: b.Consistent,
		Intervals: make(map[string]time.Duration, len(b.Components)),
	}
	if b.Adapter == "file" {
		t.TTL = 0
	}
	for id, c := range b.Components {
		t.Intervals[id] = c.Interval
	}
	return t
}

func (b *Block) readAdapter(s *Section) {
	b.Adapter = s.Checked(limits.Of("adapter", ""))
	of := func(key string) *limits.Limit { return limits.Of(key, b.Adapter) }
	if s.Missing("adapter") {
		s.Refuse("adapter", "is missing; it must be %s", of("adapter").Choices())
	}
	b.Directory = s.Checked(of("directory"))
	b.SpillDirectory = s.Checked(of("spill_directory"))
	b.Keep = int(s.Number(of("keep")))
	b.MaxStateBytes = s.Number(of("max_state_bytes"))
	if b.Adapter == "file" {
		if s.Missing("directory") {
			s.Refuse("directory", "is missing; adapter file needs one")
		} else if b.SpillDirectory != "" && filepath.Clean(b.SpillDirectory) == filepath.Clean(b.Directory) {
			s.Refuse("spill_directory", "must not be the directory itself")
		}
	}
	b.TTL = defaultTTL
	if ttl, ok := s.Duration(of("ttl")); ok {
		b.TTL = ttl
	}
}

func (b *Block) readRedis(s *Section) {
	b.RedisURL = s.RedisAddress()
	b.KeyPrefix = s.Checked(limits.Of("key_prefix", ""))
	b.Durability = s.Checked(limits.Of("durability", ""))
	if b.Adapter == "redis" && s.Missing("redis_url") {
		s.Refuse("redis_url", "is missing; adapter redis needs one, such as ${REDIS_URL}")
	}
}

func (b *Block) readOptions(s *Section) {
	of := func(key string) *limits.Limit { return limits.Of(key, b.Adapter) }
	b.Interval, _ = s.Duration(of("snapshot_interval"))
	b.System = s.Checked(of("system"))
	b.Replica = s.Checked(of("replica"))
	b.Holder = s.Checked(of("holder"))
	b.SaveTimeout, _ = s.Duration(of("save_timeout"))
	b.ShutdownTimeout, _ = s.Duration(of("shutdown_timeout"))
	b.LeaseTTL, _ = s.Duration(of("lease_ttl"))
	b.MaxCrashRestarts = int(s.Number(of("max_crash_restarts")))
	b.Consistent = s.Checked(of("consistent")) == "true"
	b.PauseLimit, _ = s.Duration(of("pause_limit"))
	b.Restore = s.Checked(of("restore"))
}

// readComponents returns the sections of the components.
func (b *Block) readComponents(s *Section) map[string]*Section {
	of := map[string]*Section{}
	for id, entry := range s.Sections("components") {
		if envelope.CheckPart(id) != nil {
			entry.Refuse("", "is no component id: it %s", limits.Of("system", "").WrongText(id))
		}
		var c Component
		c.Interval, _ = entry.Duration(limits.Of("snapshot_interval", ""))
		c.Restore = entry.Checked(limits.Of("restore", ""))
		if b.Components == nil {
			b.Components = map[string]Component{}
		}
		b.Components[id], of[id] = c, entry
	}
	return of
}
