//go:build unix

package handover_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/testkit"
)

func (h *handover) take(e event) {
	h.t.Helper()
	if e.end {
		e.p.ended = true
		if e.p.closed == "" && !e.p.killed {
			require.FailNow(h.t, "a process ended by itself", "%d: %s", e.p.number, e.p.stderr)
		}
		return
	}
	word, rest, _ := strings.Cut(strings.TrimSpace(e.line), " ")
	switch word {
	case "standby":
		e.p.ready = true
	case "restored":
		e.p.ready = true
		require.NoError(h.t, h.restored(e.p.number, rest), e.line)
	case "ack":
		id, n := h.counted(rest)
		e.p.serves = true
		h.commit(e.p.number, id, n, e.at)
	case "made":
		id, n := h.counted(rest)
		e.p.made[id] = n
	case "fenced":
		e.p.fenced = true
	case "closed":
		for id, made := range e.p.made { // Close says so
			for n := 1; n <= made; n++ {
				h.ack(e.p.number, id, n)
			}
		}
		e.p.closed = word
	case "refused":
		e.p.closed = word
		h.refused++
	default:
		require.FailNow(h.t, "unexpected: "+e.line, "%s", e.p.stderr)
	}
}

func (h *handover) counted(rest string) (id string, n int) {
	_, err := fmt.Sscanf(rest, "%s %d", &id, &n)
	require.NoError(h.t, err, rest)
	return id, n
}

// final reads what is stored, without the help of any process.
func (h *handover) final() map[string][]run {
	a, err := testkit.OpenStore(h.store)
	require.NoError(h.t, err)
	defer a.Close()
	states := map[string][]run{}
	for id := range h.records {
		s, err := a.LoadState(context.Background(), "handover/"+id)
		require.NoError(h.t, err)
		require.Zero(h.t, s.LastVersion-s.Version, "%s: the newest generation does not verify", id)
		var l ledger
		require.NoError(h.t, json.Unmarshal(s.Data, &l))
		states[id] = l.Runs
	}
	return states
}
