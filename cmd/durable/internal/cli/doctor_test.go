package cli_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/redistest"
)

// findings runs doctor and returns what it found by id.
func findings(t *testing.T, args ...string) (code int, byID map[string]map[string]any) {
	t.Helper()
	r := run(t, append([]string{"doctor", "--json"}, args...)...)
	byID = map[string]map[string]any{}
	for line := range strings.Lines(r.out) {
		var f map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &f))
		require.NotEmpty(t, f["evidence"], line)
		require.Contains(t, []any{"error", "warning", "unknown", "info"}, f["severity"])
		if f["severity"] == "error" || f["severity"] == "warning" {
			require.NotEmpty(t, f["remedy"], line)
		}
		byID[f["id"].(string)] = f
	}
	return r.code, byID
}

func TestDoctorOnASoundFileStore(t *testing.T) {
	p := filePlace(t)
	fill(t, p.open(t), 1, 1, "app/c")
	code, found := findings(t, "-c", p.config)
	require.Zero(t, code, found)
	for _, id := range []string{"versions", "file-system", "free-space", "clock", "lease"} {
		require.Equal(t, "info", found[id]["severity"], id)
	}
}

func TestDoctorFindsWhatEndangersState(t *testing.T) {
	p := filePlace(t)
	a := p.open(t)
	fill(t, a, 1, 1, "app/c")
	require.NoError(t, a.SaveState(ctx, "app/ahead", &durable.Snapshot{SavedAt: time.Now().Add(time.Hour), Data: []byte("{}")}))
	require.NoError(t, a.SaveState(ctx, "app/~starts", &durable.Snapshot{Data: []byte(`{"Starts":4}`)}))
	require.NoError(t, a.SaveState(ctx, "~aside/1-1/app/c", &durable.Snapshot{Data: []byte(`{}`)}))
	_, err := a.AcquireLease(ctx, "app", "pod-0", time.Millisecond)
	require.NoError(t, err)
	require.NoError(t, os.Chmod(p.dir, 0o755))
	require.Eventually(t, func() bool {
		_, found := findings(t, "-c", p.config)
		return found["lease"]["severity"] == "warning"
	}, time.Second, time.Millisecond)
	code, found := findings(t, "-c", p.config)
	require.Equal(t, 3, code)
	for id, severity := range map[string]string{"permissions": "warning", "clock": "warning", "crash-restarts": "warning", "set-aside": "info"} {
		require.Equal(t, severity, found[id]["severity"], id)
	}
}

func TestDoctorOnRedis(t *testing.T) {
	p := redisPlace(t)
	fill(t, p.open(t), 1, 1, "app/c")
	require.NoError(t, sharedClient(t).Set(ctx, p.prefix+"app/plain", `{}`, 0).Err())
	code, found := findings(t, "-c", p.config)
	require.Equal(t, 3, code)
	require.Equal(t, "warning", found["persistence"]["severity"], "the server of the tests keeps nothing")
	require.Contains(t, found["server-version"]["evidence"], "redis ")
	require.Contains(t, found["server-clock"]["evidence"], "agrees")
	require.Equal(t, "info", found["unverified"]["severity"])

	short := yaml(t, "adapter: redis\n  redis_url: "+redistest.Shared(t).URL()+"\n  ttl: 4m\n  snapshot_interval: 1m\n  key_prefix: \""+p.prefix+"\"")
	_, found = findings(t, "-c", short)
	require.Equal(t, "warning", found["ttl-interval"]["severity"])
}

func TestDrillRestoresEverythingBesideTheOwner(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		o := p.start(t)
		o.commit(t, 5)
		before := p.picture(t)
		out := object(t, ok(t, "drill", "-c", p.config, "--json"))
		require.EqualValues(t, 1, out["restored"])
		require.Equal(t, before, p.picture(t))
		o.commit(t, 6)

		save(t, p.open(t), "app/liar", 1, 1, "no JSON")
		r := fails(t, 3, "would not come back", "drill", "-c", p.config)
		require.Regexp(t, `app/liar +rejected .*not the JSON`, r.out)
	})
}

func TestWhatCannotBeReadIsNotJudged(t *testing.T) {
	url := strings.Replace(redistest.Start(t, "--requirepass", "right").URL(), "//", "//:wrong@", 1)
	begin := time.Now()
	code, found := findings(t, "--redis-url", url)
	require.Equal(t, 3, code)
	require.Contains(t, found["list"]["evidence"], "check user and password")
	require.NotContains(t, found, "clock", "no state was seen")
	r := run(t, "show", "app/c", "--redis-url", url)
	require.Equal(t, 1, r.code)
	require.Contains(t, r.err, "could not be read")
	require.Contains(t, r.err, "check user and password")
	require.NotContains(t, r.err, "was in", "nobody knows where it is")
	require.Less(t, time.Since(begin), 10*time.Second)
}
