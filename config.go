package durable

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/durablestate/durable/internal/config"
)

const (
	configBlock      = "state_persistence"
	defaultTTL       = time.Hour // of YAML; in code a zero TTL means none
	refuseTTLBelow   = 3         // times the longest interval
	warnTTLBelow     = 10
	shortestLeaseTTL = time.Second
)

// Config is what a state_persistence block says. [Config.Open] opens it; a
// program may first change Options, to add a Logger, OnEvent or a Spill, which
// then takes the place of spill_directory. Printing or marshalling a Config
// shows no secret.
type Config struct {
	Options Options

	settings *settings
}

// settings is what a Config says about the adapter.
type settings struct {
	adapter   string
	redisURL  config.Secret // with redis_mode and redis_master as parameters
	ttl       time.Duration
	redis     RedisOptions
	file      FileOptions
	directory string
	spill     string
}

// LoadConfig reads the YAML file path. See docs/configuration.md for its keys.
// The error lists everything that is wrong with it, each with its line, and
// holds no value of redis_url and none that came from the environment.
func LoadConfig(path string) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("durable: cannot read the configuration: %w", err)
	}
	return parseConfig(path, data)
}

// ParseConfig is LoadConfig for the text of a file. It does not keep data.
func ParseConfig(data []byte) (*Config, error) {
	return parseConfig("configuration", data)
}

func parseConfig(name string, data []byte) (*Config, error) {
	c := &Config{settings: &settings{}}
	if err := config.Decode(data, configBlock, os.LookupEnv, c.read); err != nil {
		text := strings.ReplaceAll(err.Error(), "\n", "\n  ")
		return nil, fmt.Errorf("durable: cannot use %s:\n  %s", name, text)
	}
	return c, nil
}

// OpenAdapter opens the adapter that the block names; the store need not be up.
// The caller owns it. Only this method links the Redis client into a program.
func (c *Config) OpenAdapter(ctx context.Context) (StateAdapter, error) {
	s, err := c.checked()
	if err != nil {
		return nil, err
	}
	c.warn()
	switch s.adapter {
	case "redis":
		opts := s.redis
		return opened(OpenRedisAdapter(ctx, s.redisURL.Reveal(), &opts))
	case "file":
		opts := s.file
		a, err := NewFileAdapter(s.directory, &opts)
		if err == nil && a.Durable() != nil {
			c.logger().Warn("durable: the directory may not keep state through a power cut", "error", a.Durable())
		}
		return opened(a, err)
	default:
		return NewMemoryAdapter(&MemoryOptions{Keep: s.redis.Keep, TTL: s.ttl}), nil
	}
}

// opened keeps a nil adapter from becoming a StateAdapter that is not nil.
func opened[A StateAdapter](a A, err error) (StateAdapter, error) {
	if err != nil {
		return nil, err
	}
	return a, nil
}

// Open opens the adapter and returns a Checkpointer on it, which closes the
// adapter when it is closed. The store need not be up.
func (c *Config) Open(ctx context.Context) (*Checkpointer, error) {
	a, err := c.OpenAdapter(ctx)
	if err != nil {
		return nil, err
	}
	opts := c.Options
	if opts.Spill != nil || c.settings.spill == "" {
		cp := New(a, &opts)
		cp.closeWith(a)
		return cp, nil
	}
	spill, err := NewFileAdapter(c.settings.spill, &FileOptions{MaxStateBytes: c.settings.file.MaxStateBytes})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("durable: spill_directory: %w", err), a.Close())
	}
	opts.Spill = spill
	cp := New(a, &opts)
	cp.closeWith(a, spill)
	return cp, nil
}

// checked returns the settings after checking what a program may have changed
// since they were read.
func (c *Config) checked() (*settings, error) {
	if c.settings == nil {
		return nil, errors.New("durable: empty Config; use LoadConfig or ParseConfig")
	}
	if text := c.ttlProblem(refuseTTLBelow); text != "" {
		return nil, errors.New("durable: ttl: " + text)
	}
	return c.settings, nil
}

func (c *Config) logger() *slog.Logger {
	if c.Options.Logger != nil {
		return c.Options.Logger
	}
	return slog.Default()
}

func (c *Config) warn() {
	if text := c.ttlProblem(warnTTLBelow); text != "" {
		c.logger().Warn("durable: ttl is short: an outage longer than it makes the state expire", "detail", text)
	}
}

// ttlProblem says that the ttl is below factor times the longest interval.
func (c *Config) ttlProblem(factor int64) string {
	s := c.settings
	longest := longestInterval(&c.Options)
	if s.adapter == "file" || s.ttl == 0 || int64(s.ttl)/factor >= int64(longest) {
		return ""
	}
	return fmt.Sprintf("%s is below %d times the longest snapshot_interval (%s); raise it, or use 0 to keep state until it is deleted",
		s.ttl, factor, longest)
}

func longestInterval(o *Options) time.Duration {
	longest := o.Interval
	if longest == 0 {
		longest = defaultInterval
	}
	for _, c := range o.Components {
		longest = max(longest, c.Interval)
	}
	return longest
}

// String describes c without its secrets.
func (c Config) String() string {
	var b strings.Builder
	for i, a := range c.describe() {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s: %s", a.Key, a.Value)
	}
	return "durable.Config{" + b.String() + "}"
}

// Format writes String, whatever the verb.
func (c Config) Format(f fmt.State, _ rune) { fmt.Fprint(f, c.String()) }

// LogValue describes c without its secrets.
func (c Config) LogValue() slog.Value { return slog.GroupValue(c.describe()...) }

// MarshalJSON describes c without its secrets. The result is for people and
// cannot be read back.
func (c Config) MarshalJSON() ([]byte, error) {
	m := map[string]string{}
	for _, a := range c.describe() {
		m[a.Key] = a.Value.String()
	}
	return json.Marshal(m)
}

// describe lists by its YAML key what is set and no secret.
func (c *Config) describe() []slog.Attr {
	var list []slog.Attr
	add := func(key string, value any) {
		if text := fmt.Sprint(value); text != "" && text != "0" && text != "0s" && text != "false" {
			list = append(list, slog.String(key, text))
		}
	}
	if s := c.settings; s != nil {
		add("adapter", s.adapter)
		if s.redisURL.Reveal() != "" {
			add("redis_url", s.redisURL)
		}
		list = append(list, slog.String("ttl", s.ttl.String()))
		add("key_prefix", s.redis.KeyPrefix)
		add("durability", s.redis.Durability)
		add("directory", s.directory)
		add("spill_directory", s.spill)
		add("keep", s.file.Keep)
		add("max_state_bytes", s.file.MaxStateBytes)
	}
	o := &c.Options
	add("snapshot_interval", o.Interval)
	add("system", o.System)
	add("replica", o.Replica)
	add("holder", o.Holder)
	add("save_timeout", o.SaveTimeout)
	add("shutdown_timeout", o.CloseTimeout)
	if o.LeaseTTL < 0 {
		add("lease_ttl", "off")
	} else {
		add("lease_ttl", o.LeaseTTL)
	}
	add("max_crash_restarts", o.MaxCrashRestarts)
	add("consistent", o.Consistent)
	if o.PauseLimit < 0 {
		add("pause_limit", "off")
	} else {
		add("pause_limit", o.PauseLimit)
	}
	add("restore", o.Restore)
	for _, id := range slices.Sorted(maps.Keys(o.Components)) {
		add("components."+id+".snapshot_interval", o.Components[id].Interval)
		add("components."+id+".restore", o.Components[id].Restore)
	}
	return list
}
