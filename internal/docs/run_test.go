package docs_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/redistest"
)

var variable = regexp.MustCompile(`\$\{([A-Z_]+)`)

func TestConfigurationsAreAccepted(t *testing.T) {
	each(t, "yaml", func(t *testing.T, b block) {
		if !strings.Contains(b.text, "state_persistence:") {
			var any any
			require.NoError(t, yaml.Unmarshal([]byte(b.text), &any))
			return
		}
		for _, v := range variable.FindAllStringSubmatch(b.text, -1) {
			t.Setenv(v[1], "a-value")
		}
		t.Setenv("REDIS_URL", "redis://localhost:6379/0")
		_, err := durable.ParseConfig([]byte(b.text))
		require.NoError(t, err)
	})
}

func TestJSONIsRead(t *testing.T) {
	each(t, "json", func(t *testing.T, b block) {
		require.True(t, json.Valid([]byte(b.text)))
	})
}

// run executes a program, with the text as its input, in the root of the
// repository.
func run(t *testing.T, env []string, text string, program ...string) {
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, program[0], program[1:]...)
	cmd.Dir, cmd.Stdin, cmd.Env = root, strings.NewReader(text), append(os.Environ(), env...)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s\nsays:\n%s", text, out)
	t.Logf("%s", out)
}

// need skips loudly where a program is missing.
func need(t *testing.T, program string) {
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("SKIPPED: needs %s in PATH", program)
	}
}

func TestPythonBlocksRun(t *testing.T) {
	each(t, "python", func(t *testing.T, b block) {
		need(t, "python3")
		run(t, nil, b.text, "python3", "-")
	})
}

func TestCommandsRun(t *testing.T) {
	each(t, "sh", func(t *testing.T, b block) {
		need(t, "bash")
		env := []string{"OUT=" + t.TempDir(), "STATE_DIR=" + stateDir(t)}
		if strings.Contains(b.text, "SPILL_DIR") {
			env = append(env, "SPILL_DIR="+stateDir(t))
		}
		if strings.Contains(b.text, "redis-cli") {
			need(t, "redis-cli")
		}
		if strings.Contains(b.text, "REDIS_URL") {
			env = append(env, "REDIS_URL="+redisURL(t))
		}
		run(t, env, "set -euo pipefail\ndurable() { go run ./cmd/durable \"$@\"; }\n"+b.text, "bash")
	})
}

// stateDir returns the directory of a file store with the component
// word_counter in three versions.
func stateDir(t *testing.T) string {
	dir := filepath.Join(t.TempDir(), "state")
	a, err := durable.NewFileAdapter(dir, nil)
	require.NoError(t, err)
	fill(t, a)
	return dir
}

// redisURL returns the URL of a server with the same.
func redisURL(t *testing.T) string {
	s := redistest.Start(t)
	a, err := durable.OpenRedisAdapter(t.Context(), s.URL(), nil)
	require.NoError(t, err)
	fill(t, a)
	return s.URL()
}

func fill(t *testing.T, a durable.StateAdapter) {
	words := durable.NewStatefulComponent(map[string]int{})
	cp := durable.New(a, nil)
	require.NoError(t, cp.Register("word_counter", words))
	_, err := cp.Restore(t.Context())
	require.NoError(t, err)
	for range 3 {
		require.NoError(t, words.Commit(t.Context(), func(w *map[string]int) { (*w)["hello"]++ }))
	}
	require.NoError(t, cp.Close())
	require.NoError(t, a.Close())
}
