package durable

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/durablestate/durable/internal/config"
)

// Config is what a state_persistence block says. [Config.Open] opens it; a
// program may first change Options, to add a Logger, OnEvent or a Spill, which
// then takes the place of spill_directory. Printing or marshalling a Config
// shows no secret.
type Config struct {
	Options Options

	block *config.Block // what it says about the adapter; its Options are in the field above
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
	b, err := config.ReadBlock(data, defaultInterval)
	if err != nil {
		text := strings.ReplaceAll(err.Error(), "\n", "\n  ")
		return nil, fmt.Errorf("durable: cannot use %s:\n  %s", name, text)
	}
	return &Config{Options: optionsOf(b), block: b}, nil
}

func optionsOf(b *config.Block) Options {
	o := Options{
		System: b.System, Replica: b.Replica, Holder: b.Holder, Interval: b.Interval, Restore: RestorePolicy(b.Restore),
		SaveTimeout: b.SaveTimeout, CloseTimeout: b.ShutdownTimeout, LeaseTTL: b.LeaseTTL,
		Consistent: b.Consistent, PauseLimit: b.PauseLimit, MaxCrashRestarts: b.MaxCrashRestarts,
	}
	for id, c := range b.Components {
		if o.Components == nil {
			o.Components = make(map[string]ComponentOptions, len(b.Components))
		}
		o.Components[id] = ComponentOptions{Interval: c.Interval, Restore: RestorePolicy(c.Restore)}
	}
	return o
}

// OpenAdapter opens the adapter that the block names; the store need not be up.
// The caller owns it. Only this method links the Redis client into a program.
func (c *Config) OpenAdapter(ctx context.Context) (StateAdapter, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	b := c.block
	switch b.Adapter {
	case "redis":
		return opened(OpenRedisAdapter(ctx, b.RedisURL.Reveal(), &RedisOptions{
			KeyPrefix: b.KeyPrefix, TTL: b.TTL, Keep: b.Keep, Durability: b.Durability, MaxStateBytes: b.MaxStateBytes,
		}))
	case "file":
		a, err := NewFileAdapter(b.Directory, &FileOptions{Keep: b.Keep, MaxStateBytes: b.MaxStateBytes})
		if err == nil && a.Durable() != nil {
			c.logger().Warn("durable: the directory may not keep state through a power cut", "error", a.Durable())
		}
		return opened(a, err)
	default:
		return NewMemoryAdapter(&MemoryOptions{Keep: b.Keep, TTL: b.TTL}), nil
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
	if opts.Spill != nil || c.block.SpillDirectory == "" {
		cp := New(a, &opts)
		cp.engine.CloseWith(a)
		return cp, nil
	}
	spill, err := NewFileAdapter(c.block.SpillDirectory, &FileOptions{MaxStateBytes: c.block.MaxStateBytes})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("durable: spill_directory: %w", err), a.Close())
	}
	opts.Spill = spill
	cp := New(a, &opts)
	cp.engine.CloseWith(a, spill)
	return cp, nil
}

// check looks at what a program may have changed since the block was read.
func (c *Config) check() error {
	if c.block == nil {
		return errors.New("durable: empty Config; use LoadConfig or ParseConfig")
	}
	longest := cmp.Or(c.Options.Interval, defaultInterval)
	for _, o := range c.Options.Components {
		longest = max(longest, o.Interval)
	}
	if text := c.block.TTLProblem(config.RefuseTTLBelow, longest); text != "" {
		return errors.New("durable: ttl: " + text)
	}
	if text := c.block.TTLProblem(config.WarnTTLBelow, longest); text != "" {
		c.logger().Warn("durable: ttl is short: an outage longer than it makes the state expire", "detail", text)
	}
	return nil
}

func (c *Config) logger() *slog.Logger {
	if c.Options.Logger != nil {
		return c.Options.Logger
	}
	return slog.Default()
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
	if b := c.block; b != nil {
		add("adapter", b.Adapter)
		if b.RedisURL.Reveal() != "" {
			add("redis_url", b.RedisURL)
		}
		list = append(list, slog.String("ttl", b.TTL.String()))
		add("key_prefix", b.KeyPrefix)
		add("durability", b.Durability)
		add("directory", b.Directory)
		add("spill_directory", b.SpillDirectory)
		add("keep", b.Keep)
		add("max_state_bytes", b.MaxStateBytes)
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
