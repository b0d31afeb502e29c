package main_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/redistest"
	"github.com/durablestate/durable/internal/trial"
)

// answer is what /invariants says.
type answer struct {
	CleanShutdown bool
	Predecessor   string
	Components    map[string]state
	Violations    string
}

type state struct {
	Outcome           string
	Restored, Version uint64
	First, Total      int64
}

// harness is one process.
type harness struct {
	t      testing.TB
	cmd    *exec.Cmd
	base   string           // URL
	probes string           // URL, with -probes
	log    []map[string]any // complete once the process has ended
	done   chan struct{}
}

// program is the compiled program: what counts is the process from outside.
var program string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "harness-test-")
	if err != nil {
		panic(err)
	}
	program = filepath.Join(dir, "harness.exe")
	out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput()
	code := 1
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s%v\n", out, err)
	} else {
		code = trial.Main(m)
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// start starts the program with the configuration that is built in.
func start(t testing.TB, env []string, args ...string) *harness {
	t.Helper()
	h := &harness{t: t, done: make(chan struct{})}
	h.cmd = exec.Command(program, append([]string{"-listen", "127.0.0.1:0", "-rate", "3000"}, args...)...)
	h.cmd.Env = append(append(os.Environ(), "SNAPSHOT_INTERVAL=100ms", "POD_NAME=pod-0", "REDIS_URL=", "SPILL_DIRECTORY="), env...)
	out, err := h.cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, h.cmd.Start())
	t.Cleanup(func() { _ = h.cmd.Process.Kill(); <-h.done })
	address := make(chan string, 1)
	go h.read(out, address)
	select {
	case a := <-address:
		h.base = "http://" + a
	case <-h.done:
		require.FailNow(t, "it ended by itself", "%v", h.log)
	}
	return h
}

func (h *harness) read(out io.Reader, address chan<- string) {
	defer close(h.done)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		line := map[string]any{}
		if json.Unmarshal(lines.Bytes(), &line) != nil {
			line["msg"] = lines.Text() // of the runtime: a panic, a race
		}
		h.log = append(h.log, line)
		if line["msg"] == "listening for probes" { // before the other
			h.probes = "http://" + line["address"].(string)
		}
		if line["msg"] == "listening" {
			address <- line["address"].(string)
		}
	}
	_ = h.cmd.Wait()
}

func (h *harness) get(path string) (status int, body string) {
	return h.answer(http.Get(h.base + path))
}

func (h *harness) answer(r *http.Response, err error) (status int, body string) {
	h.t.Helper()
	require.NoError(h.t, err)
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	require.NoError(h.t, err)
	return r.StatusCode, strings.TrimSpace(string(b))
}

// until asks path until the answer is good.
func (h *harness) until(path string, good func(status int, body string) bool) {
	h.t.Helper()
	var last string
	require.Eventually(h.t, func() bool {
		status, body := h.get(path)
		last = body
		return good(status, body)
	}, time.Minute, 10*time.Millisecond, "%s: %s", path, &last)
}

func (h *harness) ready() {
	h.t.Helper()
	h.until("/readyz", func(status int, body string) bool { return status == 200 && body == "ready" })
}

func TestOnlyProbesAreAnsweredWhereOthersMayAsk(t *testing.T) {
	h := start(t, []string{"STATE_DIRECTORY=" + t.TempDir()}, "-probes", "127.0.0.1:0")
	h.ready()
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/invariants": 404, "/rules": 404, "/": 404} {
		status, body := h.answer(http.Get(h.probes + path))
		require.Equal(t, want, status, "%s: %s", path, body)
	}
	status, _ := h.answer(http.Post(h.probes+"/rules?block=eve", "", nil))
	require.Equal(t, 404, status)
	require.EqualValues(t, 1, h.block("eve"), "and is where it was")
}

// invariants asks the process, which must have nothing to complain about.
func (h *harness) invariants() (a answer) {
	h.t.Helper()
	status, body := h.get("/invariants")
	require.Equal(h.t, http.StatusOK, status, body)
	require.NoError(h.t, json.Unmarshal([]byte(body), &a))
	require.Empty(h.t, a.Violations)
	require.Len(h.t, a.Components, 8)
	return a
}

// block adds a rule and returns the version that is durable then.
func (h *harness) block(user string) int64 {
	h.t.Helper()
	status, body := h.answer(http.Post(h.base+"/rules?block="+user, "", nil))
	require.Equal(h.t, http.StatusOK, status, body)
	version, err := strconv.ParseInt(body, 10, 64)
	require.NoError(h.t, err)
	return version
}

// worked waits until each component has changed and been saved since, and returns
// what is stored at least. The rules are left out: they change seldom, and save
// themselves then.
func (h *harness) worked() (stored answer) {
	h.t.Helper()
	changed := h.all(func(id string, c state) bool { return c.Total > c.First })
	last := h.all(func(id string, c state) bool {
		return c.Version >= changed.Components[id].Version+2 // of two saves the second began later
	})
	for id, c := range last.Components {
		c.Total = changed.Components[id].Total
		last.Components[id] = c
	}
	return last
}

// all waits until each component but the rules is good.
func (h *harness) all(good func(id string, c state) bool) (a answer) {
	h.t.Helper()
	h.until("/invariants", func(int, string) bool {
		a = h.invariants()
		for id, c := range a.Components {
			if id != "rule_engine" && !good(id, c) {
				return false
			}
		}
		return true
	})
	return a
}

func (h *harness) kill() {
	require.NoError(h.t, h.cmd.Process.Kill())
	<-h.done
}

// terminate ends the process as an operator does, and returns the totals that it
// closed with.
func (h *harness) terminate() map[string]int64 {
	h.t.Helper()
	require.NoError(h.t, h.cmd.Process.Signal(syscall.SIGTERM))
	return h.ended()
}

func (h *harness) ended() map[string]int64 {
	h.t.Helper()
	<-h.done
	require.Equal(h.t, 0, h.cmd.ProcessState.ExitCode(), "%v", h.log)
	last := h.log[len(h.log)-1]
	require.Equal(h.t, "closed", last["msg"])
	totals := map[string]int64{}
	for id, total := range last["totals"].(map[string]any) {
		totals[id] = int64(total.(float64))
	}
	return totals
}

// survive kills the program several times and then ends it in an orderly way.
func survive(t *testing.T, env []string) {
	var before answer // what the life before had stored
	var rules int64
	lives := 4
	if testing.Short() {
		lives = 2
	}
	for life := range lives {
		h := start(t, env)
		h.ready()
		now := h.invariants()
		require.False(t, now.CleanShutdown)
		for id, c := range now.Components {
			if life == 0 {
				require.Equal(t, "first-boot", c.Outcome, id)
				continue
			}
			require.Equal(t, "restored", c.Outcome, id)
			require.GreaterOrEqual(t, c.Restored, before.Components[id].Version, "%s: its version went back", id)
			if id != "rule_engine" {
				require.GreaterOrEqual(t, c.First, before.Components[id].Total, "%s: what was saved is lost", id)
			}
		}
		require.Equal(t, rules, now.Components["rule_engine"].First, "rules that were acknowledged")
		before = h.worked()
		rules = h.block("user-000" + strconv.Itoa(life))
		require.EqualValues(t, life+1, rules)
		h.kill()
	}
	h := start(t, env)
	h.ready()
	h.worked()
	totals := h.terminate()
	requireContinued(t, start(t, env, "-max", "500"), totals)
}

// requireContinued checks that h goes on exactly where its predecessor closed.
func requireContinued(t *testing.T, h *harness, totals map[string]int64) {
	t.Helper()
	var now answer
	h.until("/invariants", func(status int, body string) bool {
		return status == http.StatusOK && json.Unmarshal([]byte(body), &now) == nil
	})
	require.True(t, now.CleanShutdown)
	require.Equal(t, "pod-0", now.Predecessor)
	for id, c := range now.Components {
		require.Equal(t, "restored", c.Outcome, id)
		require.Equal(t, totals[id], c.First, "%s: the last changes are lost", id)
	}
	require.Equal(t, totals["kafka_consumer"]+500, h.ended()["kafka_consumer"])
}

func TestHarness_invariants_hold_across_kills_and_SIGTERM_loses_nothing_on_files(t *testing.T) {
	t.Parallel()
	survive(t, []string{"STATE_ADAPTER=file", "STATE_DIRECTORY=" + t.TempDir()})
}

func TestHarness_invariants_hold_across_kills_and_SIGTERM_loses_nothing_on_Redis(t *testing.T) {
	t.Parallel()
	survive(t, []string{"STATE_ADAPTER=redis", "REDIS_URL=" + redistest.Start(t).URL()})
}

func TestHarness_a_successor_waits_as_a_standby_and_takes_over(t *testing.T) {
	t.Parallel()
	env := []string{"STATE_DIRECTORY=" + t.TempDir()}
	old := start(t, env)
	old.ready()
	next := start(t, append(env, "POD_NAME=pod-1"), "-max", "500")
	next.until("/readyz", func(status int, body string) bool { return status == 200 && body == "standby" })
	status, _ := next.get("/healthz")
	require.Equal(t, http.StatusOK, status)
	status, body := next.answer(http.Post(next.base+"/rules?block=user-0001", "", nil))
	require.Equal(t, http.StatusServiceUnavailable, status, body)
	old.worked()
	requireContinued(t, next, old.terminate())
}

func TestHarness_a_process_that_was_superseded_ends_and_changes_nothing(t *testing.T) {
	t.Parallel()
	env := []string{"STATE_DIRECTORY=" + t.TempDir()}
	old := start(t, env)
	old.ready()
	stored := old.worked()
	rules := old.block("user-0001")
	next := start(t, env) // by mistake under the same name, which takes the lease at once
	<-old.done
	require.Equal(t, 1, old.cmd.ProcessState.ExitCode())
	require.Contains(t, old.log[len(old.log)-1]["error"], "newer owner", "%v", old.log)
	next.ready()
	for id, c := range next.invariants().Components {
		require.Equal(t, "restored", c.Outcome, id)
		if id != "rule_engine" {
			require.GreaterOrEqual(t, c.First, stored.Components[id].Total, id)
		}
	}
	require.Equal(t, rules, next.invariants().Components["rule_engine"].First)
	next.worked()
	next.terminate()
}

func TestHarness_SIGTERM_ends_a_process_that_waits(t *testing.T) {
	t.Parallel()
	h := start(t, []string{"STATE_ADAPTER=redis", "REDIS_URL=redis://127.0.0.1:1"})
	h.until("/readyz", func(status int, body string) bool { return status == http.StatusServiceUnavailable })
	status, _ := h.get("/healthz")
	require.Equal(t, http.StatusOK, status)
	h.terminate()
}

func TestHarness_says_what_is_wrong_with_flags_and_configuration(t *testing.T) {
	t.Parallel()
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	require.NoError(t, os.WriteFile(bad, []byte("state_persistence:\n  adapter: file\n  directory: x\n  components:\n    rule_engin: {snapshot_interval: 1s}\n"), 0o600))
	for text, args := range map[string][]string{
		"loopback":   {"-listen", "0.0.0.0:0"},
		"rule_engin": {"-config", bad, "-listen", "127.0.0.1:0"},
		"no such":    {"-config", bad + "x"},
	} {
		cmd := exec.Command(program, args...)
		cmd.Dir = t.TempDir()
		out, err := cmd.CombinedOutput()
		require.Error(t, err)
		require.Contains(t, string(out), text)
	}
}
