package config

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"
)

// describe lists by its key what is set and no secret.
func (b Block) describe() []slog.Attr {
	var list []slog.Attr
	add := func(key string, value any) {
		if text := fmt.Sprint(value); text != "" && text != "0" && text != "0s" && text != "false" {
			list = append(list, slog.String(key, text))
		}
	}
	addOrOff := func(key string, d time.Duration) {
		if d < 0 {
			add(key, "off")
		} else {
			add(key, d)
		}
	}
	if b.Adapter != "" {
		add("adapter", b.Adapter)
		if b.RedisURL.Reveal() != "" {
			add("redis_url", b.RedisURL)
		}
		list = append(list, slog.String("ttl", b.TTL.String())) // also 0: it is not the default
		add("key_prefix", b.KeyPrefix)
		add("durability", b.Durability)
		add("directory", b.Directory)
		add("spill_directory", b.SpillDirectory)
		add("keep", b.Keep)
		add("max_state_bytes", b.MaxStateBytes)
	}
	add("snapshot_interval", b.Interval)
	add("system", b.System)
	add("replica", b.Replica)
	add("holder", b.Holder)
	add("save_timeout", b.SaveTimeout)
	add("shutdown_timeout", b.ShutdownTimeout)
	addOrOff("lease_ttl", b.LeaseTTL)
	add("max_crash_restarts", b.MaxCrashRestarts)
	add("consistent", b.Consistent)
	addOrOff("pause_limit", b.PauseLimit)
	add("restore", b.Restore)
	for _, id := range slices.Sorted(maps.Keys(b.Components)) {
		add("components."+id+".snapshot_interval", b.Components[id].Interval)
		add("components."+id+".restore", b.Components[id].Restore)
	}
	return list
}

// String describes b without its secrets.
func (b Block) String() string {
	var said []string
	for _, a := range b.describe() {
		said = append(said, a.Key+": "+a.Value.String())
	}
	return strings.Join(said, ", ")
}

// LogValue describes b without its secrets.
func (b Block) LogValue() slog.Value { return slog.GroupValue(b.describe()...) }

// MarshalJSON describes b without its secrets. The result cannot be read back.
func (b Block) MarshalJSON() ([]byte, error) {
	m := map[string]string{}
	for _, a := range b.describe() {
		m[a.Key] = a.Value.String()
	}
	return json.Marshal(m)
}
