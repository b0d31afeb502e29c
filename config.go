package durable

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
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
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("durable: cannot read the configuration: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil {
		return nil, fmt.Errorf("durable: cannot read the configuration: %w", err)
	}
	return parseConfig(path, data)
}

// ParseConfig is LoadConfig for the text of a file. It does not keep data.
func ParseConfig(data []byte) (*Config, error) {
	return parseConfig("configuration", data)
}

// maxConfig bounds the file that a configuration is read from, in bytes.
const maxConfig = 4 << 20

func parseConfig(name string, data []byte) (*Config, error) {
	if len(data) > maxConfig {
		return nil, fmt.Errorf("durable: %s: more than %d bytes: is it the configuration?", name, maxConfig)
	}
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
	if err := c.check(); err != nil {
		return nil, err
	}
	a, err := c.OpenAdapter(ctx)
	opts, owned := c.Options, []io.Closer{}
	if err == nil {
		owned = append(owned, a)
	}
	if opts.Spill == nil && c.block.SpillDirectory != "" {
		spill, wrong := NewFileAdapter(c.block.SpillDirectory, &FileOptions{MaxStateBytes: c.block.MaxStateBytes})
		if wrong != nil {
			err = errors.Join(err, fmt.Errorf("durable: spill_directory: %w", wrong))
		} else {
			opts.Spill, owned = spill, append(owned, spill)
		}
	}
	if err != nil { // of both, if neither can be opened
		for _, o := range owned {
			err = errors.Join(err, o.Close())
		}
		return nil, err
	}
	cp := New(a, &opts)
	cp.in().CloseWith(owned...)
	return cp, nil
}

// check looks at what a program may have changed since the block was read.
func (c *Config) check() error {
	if c == nil || c.block == nil {
		return errors.New("durable: empty Config; use LoadConfig or ParseConfig")
	}
	ttl := c.block.TTL
	if c.block.Adapter == "file" { // where state does not expire
		ttl = 0
	}
	if err := errors.Join(c.Options.check().Err(), c.Options.shortTTL(ttl)); err != nil {
		return &Error{Op: "configure", Err: err}
	}
	return nil
}

func (c *Config) logger() *slog.Logger { return cmp.Or(c.Options.Logger, slog.Default()) }

// String describes c without its secrets.
func (c Config) String() string { return "durable.Config{" + c.current().String() + "}" }

// Format writes String, whatever the verb.
func (c Config) Format(f fmt.State, _ rune) { fmt.Fprint(f, c.String()) }

// LogValue describes c without its secrets.
func (c Config) LogValue() slog.Value { return c.current().LogValue() }

// MarshalJSON describes c without its secrets. The result is for people and
// cannot be read back.
func (c Config) MarshalJSON() ([]byte, error) { return c.current().MarshalJSON() }

// current returns the block as it would have to be to say the same as c does now.
func (c *Config) current() config.Block {
	var b config.Block
	if c.block != nil {
		b = *c.block
	}
	o := &c.Options
	b.System, b.Replica, b.Holder, b.Interval, b.Restore = o.System, o.Replica, o.Holder, o.Interval, string(o.Restore)
	b.SaveTimeout, b.ShutdownTimeout, b.LeaseTTL = o.SaveTimeout, o.CloseTimeout, o.LeaseTTL
	b.Consistent, b.PauseLimit, b.MaxCrashRestarts = o.Consistent, o.PauseLimit, o.MaxCrashRestarts
	b.Components = make(map[string]config.Component, len(o.Components))
	for id, x := range o.Components {
		b.Components[id] = config.Component{Interval: x.Interval, Restore: string(x.Restore)}
	}
	return b
}
