//go:build unix

package main_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/redistest"
)

const rolloutConfig = `state_persistence:
  adapter: redis
  redis_url: %s
  durability: fsync
  snapshot_interval: 100ms
  system: fraud-detection
  consistent: true
  holder: ${POD_NAME}
  lease_ttl: 1s
`

// A rollout replaces the program while it works: its successor waits as a ready
// standby, and then the program is told to end, killed, or put to sleep and woken
// up when it is too late.
func TestHarness_a_rollout_in_every_way_keeps_the_invariants(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	config := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, rolloutConfig, server.URL()), 0o600))
	pod := func(n int) *harness {
		return start(t, []string{fmt.Sprintf("POD_NAME=pod-%d", n)}, "-config", config)
	}
	old := pod(0)
	old.ready()
	ways := []syscall.Signal{syscall.SIGSTOP, syscall.SIGTERM, syscall.SIGKILL}
	if testing.Short() {
		ways = ways[:1]
	}
	for i, way := range ways {
		next := pod(i + 1)
		next.until("/readyz", func(status int, body string) bool { return status == http.StatusOK && body == "standby" })
		stored := old.worked()
		rules := old.block(fmt.Sprintf("user-000%d", i))
		var closed map[string]int64
		if way == syscall.SIGTERM {
			closed = old.terminate()
		} else {
			require.NoError(t, old.cmd.Process.Signal(way))
		}
		next.ready()
		now := next.invariants()
		require.Equal(t, fmt.Sprintf("pod-%d", i), now.Predecessor)
		require.Equal(t, way == syscall.SIGTERM, now.CleanShutdown)
		next.tookOver(now, stored, rules, closed)
		if way == syscall.SIGSTOP {
			next.worked()
			require.NoError(t, old.cmd.Process.Signal(syscall.SIGCONT))
			<-old.done
			require.Equal(t, 1, old.cmd.ProcessState.ExitCode())
			require.Contains(t, old.log[len(old.log)-1]["error"], "newer owner", "%v", old.log)
		}
		old = next
	}
	totals := old.terminate()
	last := start(t, []string{"POD_NAME=pod-9"}, "-config", config)
	last.ready()
	for id, c := range last.invariants().Components {
		require.Equal(t, totals[id], c.First, "%s: a late write of a sleeper", id)
	}
}

// tookOver checks what h restored against what its predecessor had stored, its
// rules, and what it said when it closed, nil if it could not.
func (h *harness) tookOver(now, stored answer, rules int64, closed map[string]int64) {
	t := h.t
	t.Helper()
	for id, c := range now.Components {
		require.Equal(t, "restored", c.Outcome, id)
		require.GreaterOrEqual(t, c.Restored, stored.Components[id].Version, "%s: its version went back", id)
		switch {
		case id == "rule_engine":
			require.Equal(t, rules, c.First, "rules that were acknowledged")
		case closed != nil:
			require.Equal(t, closed[id], c.First, "%s: the last changes are lost", id)
		default:
			require.GreaterOrEqual(t, c.First, stored.Components[id].Total, "%s: what was saved is lost", id)
		}
	}
}
