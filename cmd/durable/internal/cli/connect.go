package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/cmd/durable/internal/survey"
	"github.com/durablestate/durable/internal/config"
	"github.com/durablestate/durable/internal/limits"
	"github.com/durablestate/durable/internal/store"
)

// connection says where the state is.
type connection struct {
	config, adapter, redisURL, directory, keyPrefix string
	system, replica                                 string

	say         func(format string, args ...any) // nil: nobody listens
	allReplicas bool                             // which replica the configuration means is not known here
}

func (c *connection) flags(f *pflag.FlagSet) {
	f.StringVarP(&c.config, "config", "c", "", "YAML `file` with a state_persistence block")
	f.StringVar(&c.adapter, "adapter", "", "redis or file, where it cannot be told from the other flags")
	f.StringVar(&c.redisURL, "redis-url", "", "`URL` of Redis; the environment variable REDIS_URL shows it to nobody else")
	f.StringVar(&c.directory, "directory", "", "`directory` of the file adapter")
	f.StringVar(&c.keyPrefix, "key-prefix", "", "what Redis keys begin with (default autocoder:state:)")
	f.StringVar(&c.system, "system", "", "look at the components of this system only")
	f.StringVar(&c.replica, "replica", "", "look at the components of this replica of the system only")
}

// settings is what a configuration says, secrets left out.
type settings struct {
	Adapter   string `json:"adapter"`
	Directory string `json:"directory"`
	KeyPrefix string `json:"key_prefix"`
	Spill     string `json:"spill_directory"`
	TTL       string `json:"ttl"`
	Keep      string `json:"keep"`
}

// opened is a store that is open, with its configuration.
type opened struct {
	*survey.Store
	cfg *durable.Config
	set settings
}

// check says everything that is wrong with the flags, by their names.
func (c *connection) check() error {
	names := map[string]string{
		"adapter": "--adapter", "redis_url": "--redis-url", "directory": "--directory", "key_prefix": "--key-prefix", "system": "--system", "replica": "--replica",
	}
	address := c.redisURL
	if address == "" && c.config == "" && c.directory == "" {
		address, names["redis_url"] = os.Getenv("REDIS_URL"), "the environment variable REDIS_URL"
	}
	w := &limits.Check{Name: func(l *limits.Limit) string { return names[l.Key] }}
	w.Text("adapter", c.adapter)
	w.Text("redis_url", address)
	w.Text("directory", c.directory)
	w.Text("key_prefix", c.keyPrefix)
	w.Text("system", c.system)
	w.Text("replica", c.replica)
	return w.Err()
}

// load returns the configuration that the flags name.
func (c *connection) load() (*durable.Config, settings, error) {
	if err := c.check(); err != nil {
		return nil, settings{}, &failure{exitUsage, err}
	}
	cfg, err := c.parse()
	if err != nil {
		return nil, settings{}, &failure{exitUsage, err}
	}
	if c.system != "" {
		cfg.Options.System, cfg.Options.Replica = c.system, ""
	}
	if c.replica != "" {
		cfg.Options.Replica = c.replica
	}
	cfg.Options.Logger = slog.New(slog.DiscardHandler) // what it would say, doctor finds
	var set settings
	shown, err := json.Marshal(cfg)
	if err == nil {
		err = json.Unmarshal(shown, &set)
	}
	if err == nil && set.Adapter == "memory" {
		err = errors.New("adapter memory keeps state inside of the program only; there is nothing to look at")
	}
	if err == nil && cfg.Options.Replica != "" && cfg.Options.System == "" {
		err = errors.New("--replica needs --system")
	}
	if err != nil {
		return nil, set, &failure{exitUsage, err}
	}
	return cfg, set, nil
}

func (c *connection) parse() (*durable.Config, error) {
	if c.config != "" {
		if c.adapter != "" || c.redisURL != "" || c.directory != "" || c.keyPrefix != "" {
			return nil, errors.New("--config says where the state is; leave --adapter, --redis-url, --directory and --key-prefix out")
		}
		return c.file()
	}
	block, err := c.block()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(map[string]any{"state_persistence": block}) // JSON is YAML
	if err != nil {
		return nil, err
	}
	return durable.ParseConfig(text)
}

// programs are the keys of a configuration that only the program needs. The others
// say where the state is and how it is stored.
var programs = []string{"holder", "replica", "spill_directory", "snapshot_interval", "save_timeout", "shutdown_timeout", "lease_ttl", "pause_limit",
	"max_crash_restarts", "consistent", "restore", "components"}

// file reads the program's configuration. What this machine lacks of what only the
// program needs, such as ${POD_NAME}, is left out.
func (c *connection) file() (*durable.Config, error) {
	cfg, err := durable.LoadConfig(c.config)
	if err == nil {
		return cfg, nil
	}
	data, unread := os.ReadFile(c.config)
	if unread != nil {
		return nil, err
	}
	text, missing := config.Lenient(data, time.Minute, func(key string) bool {
		return slices.Contains(programs, key) || key == "system" && c.system != ""
	})
	if len(missing) == 0 {
		return nil, err
	}
	if cfg, unread = durable.ParseConfig(text); unread != nil {
		return nil, err
	}
	c.allReplicas = slices.Contains(missing, "replica") && c.system == "" && c.replica == ""
	if c.allReplicas && c.say != nil {
		c.say("the configuration does not tell here which replica is meant: these are all of %q; --replica chooses one", cfg.Options.System)
	}
	return cfg, nil
}

// named reports that a flag says where the state is.
func (c *connection) named() bool {
	return c.config != "" || c.adapter != "" || c.redisURL != "" || c.directory != "" || c.keyPrefix != ""
}

// block is the flags as a configuration.
func (c *connection) block() (map[string]any, error) {
	redisURL, adapter := c.redisURL, c.adapter
	switch {
	case c.redisURL != "" && c.directory != "":
		return nil, errors.New("--redis-url and --directory name two stores; keep one")
	case adapter == "" && c.directory != "":
		adapter = "file"
	case adapter == "" && (redisURL != "" || os.Getenv("REDIS_URL") != ""):
		adapter = "redis"
	case adapter == "":
		return nil, errors.New("where is the state? Give --config, --redis-url (or set REDIS_URL) or --directory")
	}
	if adapter == "redis" && redisURL == "" {
		redisURL = os.Getenv("REDIS_URL")
	}
	switch {
	case adapter == "file" && (c.keyPrefix != "" || c.redisURL != ""):
		return nil, errors.New("--key-prefix and --redis-url belong to Redis, and a file store is named")
	case adapter == "redis" && c.directory != "":
		return nil, errors.New("--directory belongs to a file store, and --adapter says redis")
	}
	block := map[string]any{"adapter": adapter, "ttl": 0}
	for key, value := range map[string]string{"redis_url": redisURL, "directory": c.directory, "key_prefix": c.keyPrefix} {
		if value != "" {
			block[key] = strings.ReplaceAll(value, "$", "$$")
		}
	}
	return block, nil
}

// reading opens the store for looking at it: nothing is created.
func (c *connection) reading(ctx context.Context) (context.Context, *opened, error) {
	cfg, set, err := c.load()
	if err == nil && set.Adapter == "file" {
		err = checkStore(set.Directory)
	}
	if err != nil {
		return ctx, nil, err
	}
	o, err := c.openConfig(ctx, cfg, set)
	return store.Observe(ctx), o, err
}

// changing opens an existing store for changing it.
func (c *connection) changing(ctx context.Context) (*opened, error) {
	_, o, err := c.reading(ctx)
	return o, err
}

// receiving opens a store that may still have to be made.
func (c *connection) receiving(ctx context.Context) (*opened, error) {
	cfg, set, err := c.load()
	if err != nil {
		return nil, err
	}
	return c.openConfig(ctx, cfg, set)
}

func (c *connection) openConfig(ctx context.Context, cfg *durable.Config, set settings) (*opened, error) {
	adapter, err := cfg.OpenAdapter(ctx)
	if err != nil {
		return nil, err
	}
	s, err := survey.New(adapter, namespace(cfg))
	if err != nil {
		return nil, errors.Join(err, adapter.Close())
	}
	s.Say = c.say
	return &opened{s, cfg, set}, nil
}

func namespace(cfg *durable.Config) string {
	return store.Namespace(cfg.Options.System, cfg.Options.Replica)
}

// checkStore tells a store from a directory that is missing or something else,
// such as the place where a volume should be mounted.
func checkStore(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fail(exitNotFound, "there is no directory %s; is its volume mounted?", dir)
	case err != nil:
		return err
	case !info.IsDir():
		return fail(exitNotFound, "%s is not a directory", dir)
	}
	if _, err := os.Stat(filepath.Join(dir, "FORMAT")); errors.Is(err, fs.ErrNotExist) {
		commits, _ := filepath.Glob(filepath.Join(dir, "c-*"))
		if len(commits) == 0 {
			return fail(exitNotFound, "the directory %s holds no store; is its volume mounted?", dir)
		}
	} else if err != nil {
		return err
	}
	return nil
}

// where names the store without secrets.
func (o *opened) where() string {
	if o.set.Adapter == "file" {
		return "file " + o.set.Directory
	}
	prefix := o.set.KeyPrefix
	if prefix == "" {
		prefix = "autocoder:state:"
	}
	return fmt.Sprintf("redis %s*", prefix+o.Namespace)
}

// passwords returns what must not be shown of a URL.
func passwords(address string) []string {
	u, err := url.Parse(address)
	if err != nil || address == "" {
		return nil
	}
	var list []string
	if p, ok := u.User.Password(); ok {
		list = append(list, p)
	}
	if p := u.Query().Get("sentinel_password"); p != "" {
		list = append(list, p)
	}
	return list
}
