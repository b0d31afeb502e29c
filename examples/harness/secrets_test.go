package main_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/redistest"
)

const password = "h4rness-pa55w0rd"

// personal is what the keys of the harness's states begin with: its users.
const personal = "user-0"

// shown returns how text shows the password or a key of a state.
func shown(text string) (found []string) {
	for _, word := range []string{password, personal} {
		b := []byte(word)
		for _, s := range []string{word, hex.EncodeToString(b), base64.StdEncoding.EncodeToString(b[:len(b)/3*3]), strings.Trim(fmt.Sprint(b), "[]")} {
			if strings.Contains(text, s) {
				found = append(found, s)
			}
		}
	}
	return found
}

func buildCommand(t *testing.T) string {
	t.Helper()
	exe := filepath.Join(t.TempDir(), "durable.exe")
	build := exec.Command("go", "build", "-o", exe, ".")
	build.Dir = filepath.Join("..", "..", "cmd", "durable")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return exe
}

// The whole output of a run that meets what can go wrong, and that of the command
// beside it, has neither the password nor a key of a state.
func TestHarness_no_output_shows_a_secret_or_a_state(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--requirepass", password)
	client := redis.NewClient(&redis.Options{Addr: server.Addr, Password: password, PoolSize: 1})
	t.Cleanup(func() { client.Close() })
	command := buildCommand(t)
	dir := t.TempDir()
	config := filepath.Join(dir, "config.yaml")
	write := func(pass, more string) {
		require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `state_persistence:
  adapter: redis
  redis_url: redis://default:%s@%s
  snapshot_interval: 100ms
  save_timeout: 1s
  shutdown_timeout: 2s
  lease_ttl: 1s
  system: fraud-detection
%s`, pass, server.Addr, more), 0o600))
	}
	var output strings.Builder
	inspect := func() {
		for _, args := range [][]string{{"doctor"}, {"ls", "--all"}, {"verify"}, {"history", "fraud_scorer"}, {"lease", "show"}, {"drill"}, {"--json", "doctor"}, {"--json", "ls"}} {
			out, _ := exec.Command(command, append(args, "-c", config)...).CombinedOutput()
			output.Write(out)
		}
	}
	end := func(h *harness) {
		_ = h.cmd.Process.Signal(syscall.SIGTERM)
		<-h.done
		b, err := json.Marshal(h.log)
		require.NoError(t, err)
		output.Write(b)
	}
	asks := func(h *harness) {
		for _, path := range []string{"/readyz", "/status"} {
			if r, err := http.Get(h.base + path); err == nil {
				_, body := h.answer(r, nil)
				output.WriteString(body)
			}
		}
	}
	run := func(break_ func()) {
		h := start(t, nil, "-config", config)
		if break_ != nil {
			h.ready()
			h.until("/status", func(_ int, body string) bool { return strings.Contains(body, `"saves":1`) })
			break_()
		}
		time.Sleep(1500 * time.Millisecond) // saves meet it, and the lease ends
		asks(h)
		inspect()
		end(h)
	}
	set := func(args ...any) { require.NoError(t, client.Do(t.Context(), args...).Err()) }
	state := "autocoder:state:fraud-detection/fraud_scorer"

	write(password, "")
	run(func() {
		set("CONFIG", "SET", "requirepass", "another")
		set("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	})
	run(nil) // the password is wrong from the start
	set("CONFIG", "SET", "requirepass", password)
	if !testing.Short() {
		run(func() { set("SET", state, "foreign "+personal+"001 "+password) })
		run(nil) // it meets a foreign value
		set("FLUSHALL")
	}
	run(func() { set("SETRANGE", state, 200, personal+"001") })
	run(nil) // and a damaged state
	write(password, "  max_state_bytes: 100\n")
	run(nil) // and one that is too large
	write(password+"@", "  key_prefix: 'other:'\n")
	inspect()

	for _, met := range []string{"WRONGPASS", "corrupt", "too large"} {
		require.Contains(t, output.String(), met, "every fault was met")
	}
	require.Empty(t, shown(output.String()))
	require.NotEmpty(t, shown(output.String()+" redis://default:"+password+"@h"), "the search finds what is planted")
	require.NotEmpty(t, shown(fmt.Sprint([]byte(`{"`+personal+`001":1}`))))
}
