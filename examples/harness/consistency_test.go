package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/redistest"
	"github.com/durablestate/durable/internal/trial"
)

// The consistency tests kill the program at random moments and damage the newest
// set now and then. Whatever it restores, all components must agree about it: the
// program itself refuses to start when they do not, and the test adds up what it
// tells. At the end its windows are compared with those of a program that was
// never killed. DURABLE_CONSISTENCY_KILLS sets the number of kills for each store.

func TestConsistency_file(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	(&consistency{t: trial.Begin(t), store: "file", env: []string{"STATE_ADAPTER=file", "STATE_DIRECTORY=" + dir},
		damage: func() { damageNewestSet(t, dir) }}).run()
}

func TestConsistency_redis_server(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client := server.Client(t)
	(&consistency{t: trial.Begin(t), store: "redis", env: []string{"STATE_ADAPTER=redis", "REDIS_URL=" + server.URL()},
		damage: func() { damageNewestKey(t, client) }}).run()
}

// consistency is one such test.
type consistency struct {
	t      *trial.Trial
	store  string
	env    []string
	damage func()

	kills, early, restores, older int
	version                       float64 // of the set restored last: as many cuts were taken
	consumed                      int64   // in it
	damaged                       bool    // since then
}

func (c *consistency) run() {
	kills := 8
	if testing.Short() {
		kills = 3
	}
	if text := os.Getenv("DURABLE_CONSISTENCY_KILLS"); text != "" {
		var err error
		kills, err = strconv.Atoi(text)
		require.NoError(c.t, err)
	}
	c.env = append(c.env, "SNAPSHOT_INTERVAL=10ms")
	begin := time.Now()
	for c.kills < kills {
		c.life()
		if c.kills%10 == 4 && c.version > 2 {
			c.damage()
			c.damaged = true
		}
	}
	until := c.consumed/64 + 5000
	killed := c.toTheEnd(c.env, until)
	reference := c.toTheEnd([]string{"STATE_ADAPTER=memory", "CONSISTENT=false"}, until)
	require.Equal(c.t, reference, killed, "windows and totals differ from those of a program that was never killed")
	require.Positive(c.t, c.restores)
	// A violation has failed the test before.
	c.t.Logf("consistency, %s: kills=%d before_a_restore=%d cuts=%.0f restores=%d from_an_older_set=%d transactions=%d violations=0 seconds=%.0f seed=%d",
		c.store, c.kills, c.early, c.version, c.restores, c.older, until*64, time.Since(begin).Seconds(), c.t.Seed)
}

// life runs the program for a while and kills it.
func (c *consistency) life() {
	h := start(c.t, c.env, "-rate", "20000")
	if c.t.Random.IntN(4) > 0 {
		h.ready()
	}
	time.Sleep(time.Duration(c.t.Random.IntN(int(150 * time.Millisecond))))
	h.kill()
	c.kills++
	c.judge(h)
}

// judge compares what the program told of its restore.
func (c *consistency) judge(h *harness) {
	restored := false
	outcomes := map[any]bool{}
	for _, line := range h.log {
		require.NotEqual(c.t, "failed", line["msg"], "%v", line)
		if id, ok := line["component"]; ok && line["outcome"] != nil {
			outcomes[line["outcome"]] = true
			require.Len(c.t, outcomes, 1, "%s is from another cut", id)
			c.version = max(c.version, line["version"].(float64))
		}
		if line["msg"] != "restored" {
			continue
		}
		restored = true
		n := func(id string) int64 { return int64(line["totals"].(map[string]any)[id].(float64)) }
		require.Equal(c.t, n("kafka_consumer"), n("validator"), "offsets and validator")
		for _, id := range []string{"fraud_scorer", "risk_aggregator", "transaction_store", "metrics"} {
			require.Equal(c.t, n("accepted"), n(id), id)
		}
		if !c.damaged {
			require.GreaterOrEqual(c.t, n("kafka_consumer"), c.consumed, "the restored cut is older than the one before")
		}
		c.consumed, c.damaged = n("kafka_consumer"), false
	}
	if !restored {
		c.early++
		return
	}
	c.restores++
	if outcomes["fell-back"] {
		c.older++
	}
}

// toTheEnd runs the program until all partitions are read up to an offset, and
// returns what it says at its end and what does not depend on the order of work.
func (c *consistency) toTheEnd(env []string, until int64) string {
	h := start(c.t, append(env, "POD_NAME=pod-0"), "-rate", "0", "-until", fmt.Sprint(until))
	totals := h.ended()
	last := h.log[len(h.log)-1]
	require.Equal(c.t, until*64, totals["kafka_consumer"])
	return fmt.Sprint(last["windows"], totals["validator"], totals["accepted"], totals["fraud_scorer"], totals["metrics"])
}

// damageNewestSet flips the last byte of the newest file that holds the set.
func damageNewestSet(t *testing.T, dir string) {
	files, err := filepath.Glob(filepath.Join(dir, "c-*"))
	require.NoError(t, err)
	sort.Strings(files)
	best, version := "", uint64(0)
	for _, f := range files {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		for len(b) > 0 {
			h, err := envelope.ParseHeader(b)
			if err != nil || h.Len() > len(b) {
				break
			}
			if h.ID == "fraud-detection/~set" && h.Kind == envelope.Snapshot && h.Version > version && h.Len() == len(b) {
				best, version = f, h.Version
			}
			b = b[h.Len():]
		}
	}
	if best == "" {
		return
	}
	b, err := os.ReadFile(best)
	require.NoError(t, err)
	b[len(b)-1] ^= 1
	require.NoError(t, os.WriteFile(best, b, 0o600))
}

func damageNewestKey(t *testing.T, client redis.UniversalClient) {
	const key = "autocoder:state:fraud-detection/~set"
	n, err := client.StrLen(t.Context(), key).Result()
	require.NoError(t, err)
	if n > 0 {
		require.NoError(t, client.SetRange(t.Context(), key, n-1, "\x00").Err())
	}
}
