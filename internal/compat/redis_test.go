package compat_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/redistest"
)

// redisStores are all Redis stores ever written, by format, as fileStores are.
var redisStores = []string{"redis-1", "redis-2"}

const (
	lifetime = 99 * 365 * 24 * time.Hour // a golden store must not expire
	prefix   = "autocoder:state:"
)

func openRedis(t *testing.T, url string, ttl time.Duration) adapter {
	a, err := durable.OpenRedisAdapter(ctx, url, &durable.RedisOptions{Keep: keep, TTL: ttl})
	require.NoError(t, err)
	t.Cleanup(func() { _ = a.Close() })
	return a
}

func TestRedisStoresOfEveryFormatStayReadableAndWritable(t *testing.T) {
	for _, name := range redisStores {
		golden := filepath.Join(storesDir, name)
		t.Run(name+" in redis-server", func(t *testing.T) {
			s := redistest.Start(t)
			if _, err := os.Stat(golden); err != nil && writing() {
				writeRedisStore(t, s, golden)
				require.NoError(t, s.Client(t).FlushAll(ctx).Err())
			}
			checkRedis(t, golden, s.URL(), s.Client(t))
		})
		t.Run(name+" in miniredis", func(t *testing.T) {
			s := miniredis.RunT(t)
			s.ClockTTL(true)
			checkRedis(t, golden, "redis://"+s.Addr(), redis.NewClient(&redis.Options{Addr: s.Addr()}))
		})
	}
}

func checkRedis(t *testing.T, golden, url string, c *redis.Client) {
	defer c.Close()
	replay(t, c, golden)
	readExpectation(t, golden+".json").check(t, func(t *testing.T) adapter { return openRedis(t, url, lifetime) })
}

func writeRedisStore(t *testing.T, server *redistest.Server, golden string) {
	s := tellRedis(t, server)
	require.NoError(t, os.MkdirAll(storesDir, 0o755))
	require.NoError(t, os.WriteFile(golden, dump(t, server.Client(t)), 0o644))
	s.want.write(t, golden+".json")
}

// tellRedis adds to the story what only Redis can hold.
func tellRedis(t *testing.T, server *redistest.Server) *story {
	c := server.Client(t)
	s := tell(t, openRedis(t, server.URL(), lifetime))
	for _, id := range []string{"fell-back", "corrupt"} {
		s.damage(id, func() {
			require.NoError(t, c.SetRange(ctx, prefix+id, c.StrLen(ctx, prefix+id).Val()-1, "\x00").Err())
		})
	}
	s.change("corrupt", func(c *component) { c.Answer = "corrupt" })

	s.save("lost", 1, "json", []byte(`{"n":1}`))
	require.NoError(t, c.Del(ctx, prefix+"lost").Err())
	s.change("lost", func(c *component) { c.Answer, c.Generations = "lost", nil })

	s.a = openRedis(t, server.URL(), 0)
	s.save("for ever", 1, "json", []byte(`{"n":1}`))
	s.a = openRedis(t, server.URL(), 50*time.Millisecond)
	s.save("expired", 1, "json", []byte(`{"n":1}`))
	require.Eventually(t, func() bool { return c.Exists(ctx, prefix+"expired").Val() == 0 }, 5*time.Second, 10*time.Millisecond)
	s.change("expired", func(c *component) { c.Answer, c.Generations = "expired", nil })

	plain := []byte(`{"written": "by a SETEX of old"}`)
	require.NoError(t, c.Set(ctx, prefix+"plain", plain, lifetime).Err())
	s.want.Components["plain"] = component{Generations: []generation{{Codec: "json", Bytes: len(plain), SHA256: sum(plain)}}}
	return s
}

// keyShape is what a program that reads the store must know: the kinds of keys,
// how a string begins and which fields a hash has.
func keyShape(dump []byte) []string {
	var list []string
	for line := range strings.Lines(string(dump)) {
		f := strings.Split(strings.TrimSpace(line), `" "`)
		kind := "state"
		if _, side, ok := strings.Cut(f[1], "}:"); ok {
			kind, _, _ = strings.Cut(side, ":")
		}
		kind = strings.Trim(f[0], `"`) + " " + kind
		switch {
		case strings.HasPrefix(f[2], "DURABLE "):
			kind += " " + f[2][:len("DURABLE 01")]
		case strings.Contains(f[0], "HSET"):
			for i := 2; i < len(f); i += 2 {
				kind += " " + f[i]
				if f[i] == "format" {
					kind += "=" + strings.Trim(f[i+1], `"`)
				}
			}
		}
		list = append(list, kind)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func TestTheNewestRedisStoreIsWhatTodaysProgramWrites(t *testing.T) {
	server := redistest.Start(t)
	tellRedis(t, server)
	golden, err := os.ReadFile(filepath.Join(storesDir, redisStores[len(redisStores)-1]))
	require.NoError(t, err)
	require.Subset(t, keyShape(golden), keyShape(dump(t, server.Client(t))),
		"the layout of the keys has changed: add a store of the new layout to redisStores, and keep the old ones")
}
