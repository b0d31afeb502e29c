package cli_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/cmd/durable/internal/cli"
	"github.com/durablestate/durable/internal/redistest"
)

var ctx = context.Background()

// asProgram makes the test binary the program, for what only a process shows.
const asProgram = "DURABLE_TEST_AS_PROGRAM=1"

func TestMain(m *testing.M) {
	if slices.Contains(os.Environ(), asProgram) {
		os.Exit(cli.Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// process returns a process of the program that was not started.
func process(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram)
	return cmd
}

// result is what a run of the program left.
type result struct {
	code     int
	out, err string
}

// run runs the program.
func run(t *testing.T, args ...string) result {
	t.Helper()
	var out, errOut bytes.Buffer
	code := cli.Main(ctx, args, strings.NewReader(""), &out, &errOut)
	return result{code, out.String(), errOut.String()}
}

// ok runs the program, which must succeed, and returns what it wrote.
func ok(t *testing.T, args ...string) string {
	t.Helper()
	r := run(t, args...)
	require.Zero(t, r.code, "durable %s: %s%s", strings.Join(args, " "), r.out, r.err)
	return r.out
}

// fails runs the program, which must end with code and say text.
func fails(t *testing.T, code int, text string, args ...string) result {
	t.Helper()
	r := run(t, args...)
	require.Equal(t, code, r.code, "durable %s: %s%s", strings.Join(args, " "), r.out, r.err)
	require.Contains(t, r.err, text)
	return r
}

// object reads one line of JSON.
func object(t *testing.T, line string) map[string]any {
	t.Helper()
	var m map[string]any
	require.NoError(t, json.Unmarshal([]byte(line), &m), line)
	return m
}

// place is a store that tests fill through the library and look at through the
// program.
type place struct {
	config string // a YAML file
	dir    string // of a file store
	url    string // of Redis
	prefix string
}

func filePlace(t *testing.T) *place {
	dir := filepath.Join(t.TempDir(), "store")
	return &place{dir: dir, config: yaml(t, "adapter: file\n  directory: "+dir)}
}

func redisPlace(t *testing.T) *place {
	url := redistest.Shared(t).URL()
	prefix := "cli:" + rand.Text() + ":"
	p := &place{url: url, prefix: prefix}
	p.config = yaml(t, fmt.Sprintf("adapter: redis\n  redis_url: %s\n  ttl: 0\n  key_prefix: %q", url, prefix))
	return p
}

// everywhere runs a test on each kind of store.
func everywhere(t *testing.T, test func(t *testing.T, p *place)) {
	t.Run("file", func(t *testing.T) { test(t, filePlace(t)) })
	t.Run("redis", func(t *testing.T) { test(t, redisPlace(t)) })
}

func yaml(t *testing.T, block string) string {
	f, err := os.CreateTemp(t.TempDir(), "*.yaml")
	require.NoError(t, err)
	_, err = f.WriteString("state_persistence:\n  " + block + "\n")
	require.NoError(t, err)
	require.NoError(t, f.Close())
	return f.Name()
}

func (p *place) open(t testing.TB) adapter {
	cfg, err := durable.LoadConfig(p.config)
	require.NoError(t, err)
	a, err := cfg.OpenAdapter(ctx)
	require.NoError(t, err)
	t.Cleanup(func() { a.Close() })
	return a.(adapter)
}

// openKeeping opens the store as a program does that keeps so many generations.
func (p *place) openKeeping(t testing.TB, keep int) adapter {
	text, err := os.ReadFile(p.config)
	require.NoError(t, err)
	q := *p
	q.config = filepath.Join(t.TempDir(), "keeping.yaml")
	require.NoError(t, os.WriteFile(q.config, fmt.Appendf(text, "  keep: %d\n", keep), 0o600))
	return q.open(t)
}

type adapter interface {
	durable.StateAdapter
	durable.Owner
	durable.Historian
}

// fill saves versions 1 to n of each id under the epoch.
func fill(t testing.TB, a adapter, epoch uint64, n int, ids ...string) {
	for _, id := range ids {
		for v := 1; v <= n; v++ {
			save(t, a, id, epoch, uint64(v), fmt.Sprintf(`{"id":%q,"version":%d}`, id, v))
		}
	}
}

func save(t testing.TB, a adapter, id string, epoch, version uint64, data string) {
	require.NoError(t, a.SaveState(ctx, id, &durable.Snapshot{Epoch: epoch, Version: version, Codec: "json", Schema: 2,
		SavedAt: time.Now().Add(-time.Hour), Data: []byte(data)}))
}

// picture is everything that a store holds: sizes and contents of files, or keys
// and values.
func (p *place) picture(t *testing.T) map[string]string {
	m := map[string]string{}
	if p.dir != "" {
		entries, err := os.ReadDir(p.dir)
		require.NoError(t, err)
		for _, e := range entries {
			b, err := os.ReadFile(filepath.Join(p.dir, e.Name()))
			require.NoError(t, err)
			info, err := e.Info()
			require.NoError(t, err)
			m[e.Name()] = info.ModTime().String() + string(b)
		}
		return m
	}
	c := redistest.Shared(t).Client(t)
	keys, err := c.Keys(ctx, "*"+p.prefix+"*").Result()
	require.NoError(t, err)
	for _, k := range keys {
		v, err := c.Dump(ctx, k).Result()
		require.NoError(t, err)
		m[k] = v
	}
	return m
}

// saveSet saves a consistent set of components that say their names.
func saveSet(t testing.TB, a adapter, id string, epoch, version uint64, members ...string) {
	var payload []byte
	for _, m := range members {
		b, err := durable.EncodeSnapshot(m, &durable.Snapshot{Epoch: epoch, Version: version, WriteID: "w", Codec: "json", Data: fmt.Appendf(nil, `{"is":%q}`, m)})
		require.NoError(t, err)
		payload = append(payload, b...)
	}
	require.NoError(t, a.SaveState(ctx, id, &durable.Snapshot{Epoch: epoch, Version: version, Codec: "set", SavedAt: time.Now().Add(-time.Hour), Data: payload}))
}

func uitoa(n uint64) string { return strconv.FormatUint(n, 10) }
