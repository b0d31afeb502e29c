package redisstore_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/redisstore"
	"github.com/durablestate/durable/internal/redistest"
)

// TestALargeSaveLetsOthersIn saves 32 MiB again and again while a client probes
// the server, and reports the longest wait that a save caused. It is a figure of
// the long mode and not asserted: a busy machine makes everybody wait.
func TestALargeSaveLetsOthersIn(t *testing.T) {
	if !faultsMode() {
		t.Skip("SKIPPED: a measurement; set DURABLE_FAULTS=1")
	}
	e := newEnv(t, redistest.Start(t).URL(), nil)
	s := e.open(redisstore.Options{})
	state := snap(1, 1, "a", "")
	state.Data = bytes.Repeat([]byte("x"), 32<<20)
	idle := e.probe(t, func() { time.Sleep(2 * time.Second) })
	var worst []time.Duration
	for v := range uint64(9) {
		state.Version, state.WriteID = v+1, fmt.Sprint("w", v)
		worst = append(worst, e.probe(t, func() { require.NoError(t, s.Save(ctx, "c", state)) }))
	}
	slices.Sort(worst)
	report(row{19, fmt.Sprintf("32 MiB save: others wait median %d, at most %d ms (idle %d)",
		worst[len(worst)/2].Milliseconds(), worst[len(worst)-1].Milliseconds(), idle.Milliseconds()), 9, 9, 0, 0, 0, ""})
}

// probe returns the longest that a ping took while during ran.
func (e *env) probe(t *testing.T, during func()) (worst time.Duration) {
	t.Helper()
	done, probed := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			begin := time.Now()
			err := e.client.Ping(ctx).Err()
			worst = max(worst, time.Since(begin))
			select {
			case <-done:
				probed <- err
				return
			case <-time.After(time.Millisecond):
			}
			if err != nil {
				probed <- err
				return
			}
		}
	}()
	during()
	close(done)
	require.NoError(t, <-probed)
	return worst
}
