package cli

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/durablestate/durable/cmd/durable/internal/ui"
	"github.com/durablestate/durable/internal/config"
)

// address returns the URL of the configured Redis, empty if it cannot be told.
func (c *connection) address() (url string) {
	if c.config == "" {
		return cmp.Or(c.redisURL, os.Getenv("REDIS_URL"))
	}
	if data, err := os.ReadFile(c.config); err == nil {
		// The configuration was read before; what this error says about its
		// other keys is of no interest.
		_ = config.Decode(data, "state_persistence", os.LookupEnv, func(s *config.Section) {
			url = s.Secret("redis_url").Reveal()
		})
	}
	return url
}

// server asks a single Redis for its version and its clock, which the audit does
// not look at.
func (c *connection) server(ctx context.Context) []finding {
	opts, err := redis.ParseURL(c.address())
	if err != nil { // sentinels, a cluster
		return []finding{{"server-version", "unknown", "server", "only a server by itself is asked for its version and clock", ""}}
	}
	opts.DialTimeout, opts.ContextTimeoutEnabled, opts.Protocol, opts.DisableIdentity = 2*time.Second, true, 2, true
	client := redis.NewClient(opts)
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return append(serverVersion(ctx, client), serverClock(ctx, client)...)
}

func serverVersion(ctx context.Context, client *redis.Client) []finding {
	text, err := client.Info(ctx, "server").Result()
	if err != nil {
		return []finding{{"server-version", "unknown", "server", err.Error(), "allow +info"}}
	}
	f := finding{"server-version", "info", "server", "", ""}
	for line := range strings.Lines(text) {
		if name, version, ok := strings.Cut(strings.TrimSpace(line), "_version:"); ok && (name == "redis" || name == "valkey") {
			f.Evidence = name + " " + version
			if name == "redis" && olderThan(version, 6, 2) {
				f.Severity, f.Remedy = "error", "run Redis 6.2 or newer"
			}
		}
	}
	return []finding{f}
}

func olderThan(version string, major, minor int) bool {
	var a, b int
	if _, err := fmt.Sscanf(version, "%d.%d", &a, &b); err != nil {
		return false
	}
	return a < major || a == major && b < minor
}

// serverClock compares clocks to the precision of a round trip.
func serverClock(ctx context.Context, client *redis.Client) []finding {
	if err := client.Ping(ctx).Err(); err != nil { // connects
		return nil
	}
	sent := time.Now()
	there, err := client.Time(ctx).Result()
	if err != nil {
		return []finding{{"server-clock", "unknown", "server", err.Error(), "allow +time"}}
	}
	trip := time.Since(sent)
	ahead := there.Sub(sent.Add(trip / 2))
	f := finding{"server-clock", "info", "server", "the server's clock agrees with this machine's within " + max(trip, time.Millisecond).Round(time.Millisecond).String(), ""}
	if off := max(ahead, -ahead) - trip; off > time.Second {
		which := "ahead of"
		if ahead < 0 {
			which = "behind"
		}
		f.Severity, f.Evidence = "warning", fmt.Sprintf("the server's clock is %s %s this machine's", ui.Age(max(ahead, -ahead)), which)
		f.Remedy = "keep clocks by NTP: the server judges TTLs and leases, and ages are shown by this machine's clock"
	}
	return []finding{f}
}
