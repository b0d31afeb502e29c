package cli_test

import (
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/redistest"
)

func sharedClient(t *testing.T) *redis.Client { return redistest.Shared(t).Client(t) }

func TestWrongUsage(t *testing.T) {
	t.Setenv("REDIS_URL", "")
	for _, c := range []struct {
		say  string
		args []string
	}{
		{"where is the state", []string{"ls"}},
		{"unknown command", []string{"list"}},
		{"unknown flag", []string{"ls", "--nope"}},
		{"two stores", []string{"ls", "--directory", "x", "--redis-url", "redis://h"}},
		{"--config says where", []string{"ls", "-c", "x", "--directory", "y"}},
		{"cannot read the configuration", []string{"ls", "-c", "absent.yaml"}},
		{"memory", []string{"ls", "--adapter", "memory"}},
		{"redis_url", []string{"ls", "--adapter", "redis"}},
		{"must begin with", []string{"ls", "--redis-url", "http://h"}},
		{"needs --system", []string{"ls", "--directory", "x", "--replica", "r"}},
		{"durable show takes", []string{"show"}},
		{"durable diff takes", []string{"diff", "a", "1"}},
		{"--sort", []string{"ls", "--directory", "x", "--sort", "colour"}},
		{"needs --from and --to", []string{"copy"}},
		{"needs the name of a file", []string{"export"}},
		{"control characters", []string{"show", "a\x01b", "-c", filePlaceWith(t, "x").config}},
	} {
		t.Run(strings.Join(c.args, "_"), func(t *testing.T) { fails(t, 2, c.say, c.args...) })
	}
}

func filePlaceWith(t *testing.T, id string) *place {
	p := filePlace(t)
	fill(t, p.open(t), 1, 1, id)
	return p
}

func TestUnreachableServer(t *testing.T) {
	const url = "redis://user:sesame@127.0.0.1:1/0?dial_timeout=200ms&max_retries=1"
	t.Setenv("REDIS_URL", url)
	file := filepath.Join(t.TempDir(), "backup")
	there := filePlace(t)
	fill(t, there.open(t), 1, 2, "app/c")
	archive := filepath.Join(t.TempDir(), "archive")
	ok(t, "export", archive, "-c", there.config)
	before := there.picture(t)
	gone := yaml(t, "adapter: redis\n  redis_url: "+url+"\n  ttl: 0")
	for _, args := range [][]string{{"ls"}, {"show", "x"}, {"history", "x"}, {"diff", "x", "1", "2"}, {"verify"}, {"lease", "show"}, {"lease", "release", "x", "--yes"},
		{"delete", "x", "--yes"}, {"rollback", "x", "1", "--yes"}, {"export", file}, {"drill"}, {"watch", "-n", "1"}, {"import", archive},
		{"copy", "--from", gone, "--to", there.config}, {"copy", "--from", there.config, "--to", gone}} {
		t.Run(strings.Join(args[:min(2, len(args))], "_"), func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			r := fails(t, 1, "refused", args...)
			require.NotContains(t, r.err+r.out, "sesame")
			require.Less(t, time.Since(start), 30*time.Second)
		})
	}
	t.Run("doctor", func(t *testing.T) {
		t.Parallel()
		r := fails(t, 3, "to look at", "doctor")
		require.Contains(t, r.out, "unreachable")
		require.NotContains(t, r.err+r.out, "sesame")
	})
	t.Cleanup(func() {
		require.NoFileExists(t, file)
		require.Equal(t, before, there.picture(t))
	})
}

func TestMissingRightsOnRedis(t *testing.T) {
	p := redisPlace(t)
	fill(t, p.open(t), 1, 2, "app/c")
	c := sharedClient(t)
	require.NoError(t, c.Do(ctx, "ACL", "SETUSER", "nobody", "on", ">sesame", "resetchannels", "-@all", "+ping").Err())
	t.Cleanup(func() { c.Do(ctx, "ACL", "DELUSER", "nobody") })
	url := strings.Replace(p.url, "redis://", "redis://nobody:sesame@", 1)
	archive := filepath.Join(t.TempDir(), "archive")
	ok(t, "export", archive, "-c", filePlaceWith(t, "app/c").config)
	before := p.picture(t)
	for _, args := range [][]string{{"ls"}, {"show", "app/c"}, {"verify"}, {"delete", "app/c", "--yes"}, {"rollback", "app/c", "1", "--yes"},
		{"export", filepath.Join(t.TempDir(), "x")}, {"import", archive}, {"drill"}} {
		r := fails(t, 1, "NOPERM", append(args, "--redis-url", url, "--key-prefix", p.prefix)...)
		require.NotContains(t, r.err+r.out, "sesame")
	}
	wrong := strings.Replace(p.url, "redis://", "redis://nobody:swordfish@", 1)
	r := fails(t, 1, "WRONGPASS", "ls", "--redis-url", wrong)
	require.NotContains(t, r.err, "swordfish")
	require.Equal(t, before, p.picture(t))
}

func TestURLsInWrongPlacesAreMasked(t *testing.T) {
	r := fails(t, 2, "takes", "ls", "redis://u:sesame@h:1")
	require.NotContains(t, r.err, "sesame")
	r = fails(t, 2, "unknown command", "redis://u:sesame@h:1")
	require.NotContains(t, r.err, "sesame")
}

func TestStoresOfAnotherVersion(t *testing.T) {
	p := filePlace(t)
	a := p.open(t)
	fill(t, a, 1, 2, "app/c")
	require.NoError(t, a.Close())
	format := filepath.Join(p.dir, "FORMAT")
	b, err := os.ReadFile(format)
	require.NoError(t, err)
	line := strings.Replace(string(b[:len(b)-9]), "FILES 01", "FILES 02", 1)
	sum := crc32.Checksum([]byte(line), crc32.MakeTable(crc32.Castagnoli))
	require.NoError(t, os.WriteFile(format, fmt.Appendf(nil, "%s%08x\n", line, sum), 0o600))
	before := p.picture(t)
	for _, args := range [][]string{{"ls"}, {"show", "app/c"}, {"history", "app/c"}, {"verify"}, {"drill"}, {"delete", "app/c", "--yes"},
		{"rollback", "app/c", "1", "--yes"}, {"export", filepath.Join(t.TempDir(), "x")}} {
		fails(t, 3, "newer", append(args, "-c", p.config)...)
	}
	from := filePlace(t)
	fill(t, from.open(t), 1, 2, "app/c")
	fails(t, 3, "newer", "copy", "--from", from.config, "--to", p.config)
	require.Equal(t, before, p.picture(t))

	q := redisPlace(t)
	fill(t, q.open(t), 1, 2, "app/c")
	fence := "{" + q.prefix + "app/c}:f"
	newer, err := sharedClient(t).Get(ctx, fence).Result()
	require.NoError(t, err)
	require.NoError(t, sharedClient(t).Set(ctx, fence, strings.Replace(newer, "FENCE 2 ", "FENCE 3 ", 1), 0).Err())
	fails(t, 3, "not sound", "verify", "-c", q.config)
	fails(t, 3, "newer", "show", "app/c", "-c", q.config)
}
