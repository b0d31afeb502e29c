package redisstore_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/redisstore"
	"github.com/durablestate/durable/internal/redistest"
	"github.com/durablestate/durable/internal/store"
)

const async = "replication is asynchronous: level memory"

// whole is for tests with many servers that mostly wait.
func whole(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("SKIPPED: -short; it starts sentinels or a cluster")
	}
	t.Parallel()
}

// times returns how often a fault is injected.
func times() int {
	if faultsMode() {
		return 3
	}
	return 1
}

// While a primary that is well is being replaced, it goes on with the replicas
// that have not been told yet. Only a save that all replicas confirmed is one that
// the promoted replica has.
func TestASentinelFailoverIsSurvived(t *testing.T) {
	whole(t)
	g := redistest.StartSentinel(t, 2)
	levels := map[string]string{"memory": async, "replicated:1": "confirmed by the other one of two replicas", "replicated:2": ""}
	writers := map[string]*steady{}
	for level := range levels {
		writers[level] = startSteady(t, g.URL(), redisstore.Options{Prefix: strings.ReplaceAll(level, ":", ""), Durability: level})
	}
	longest := map[string]time.Duration{}
	for range times() {
		old := g.Primary(t)
		g.Failover(t)
		r := promoted(t, g.AwaitPromotion(t, old), slices.Collect(maps.Values(writers))...)
		for level, w := range writers {
			longest[level] = max(longest[level], r.took(w)[0])
		}
		awaitGroup(t, g)
		for _, w := range writers {
			w.awaitAck()
		}
	}
	for level, w := range writers {
		w.end(10, "failover by command, two replicas, "+level, times(), longest[level], levels[level])
	}
}

func TestADeadPrimaryIsReplacedBySentinels(t *testing.T) {
	whole(t)
	g := redistest.StartSentinel(t, 2)
	w := startSteady(t, g.URL(), redisstore.Options{Durability: "replicated:2"})
	m := startSteady(t, g.URL(), redisstore.Options{Prefix: "memory:"})
	var longest, soonest time.Duration
	for range times() {
		old := g.Primary(t)
		old.Kill()
		took := promoted(t, g.AwaitPromotion(t, old), m, w).took(m, w)
		soonest, longest = max(soonest, took[0]), max(longest, took[1])
		old.Restart()
		awaitGroup(t, g)
		w.awaitAck()
	}
	m.end(7, "primary killed, sentinel, memory", times(), soonest, async)
	w.end(7, "primary killed, sentinel, replicated:2 of 2", times(), longest, "")
}

func TestAFrozenPrimaryIsReplacedBySentinels(t *testing.T) {
	whole(t)
	g := redistest.StartSentinel(t, 2)
	w := startSteady(t, g.URL(), redisstore.Options{Durability: "replicated:2"})
	m := startSteady(t, g.URL(), redisstore.Options{Prefix: "memory:"})
	var longest, soonest time.Duration
	for range times() {
		old := g.Primary(t)
		old.Stop()
		took := promoted(t, g.AwaitPromotion(t, old), m, w).took(m, w)
		soonest, longest = max(soonest, took[0]), max(longest, took[1])
		old.Cont() // it still takes itself for the primary, for a while
		awaitGroup(t, g)
		w.awaitAck()
	}
	m.end(18, "primary frozen and thawed, sentinel, memory", times(), soonest, async)
	w.end(18, "primary frozen and thawed, sentinel, replicated:2 of 2", times(), longest, "")
}

// awaitGroup returns once the group is whole again.
func awaitGroup(t *testing.T, g *redistest.Group) {
	t.Helper()
	require.Eventually(t, func() bool {
		c := g.Primary(t).Client(t)
		return strings.Count(c.Info(ctx, "replication").Val(), "state=online") == len(g.Servers)-1
	}, 60*time.Second, 100*time.Millisecond)
}

// A failover that loses acknowledged saves is what level memory allows. It must
// be noticed, and healed by the next save.
func TestSavesThatAFailoverLostAreNoticedAndHealed(t *testing.T) {
	whole(t)
	g := redistest.StartSentinel(t, 1)
	s, err := redisstore.Open(g.URL(), redisstore.Options{})
	require.NoError(t, err)
	defer s.Close()
	first := snap(1, 1, "a", "1")
	require.Eventually(t, func() bool { return s.Save(ctx, "c", first) == nil }, 60*time.Second, 10*time.Millisecond)
	require.NoError(t, g.Client(t).Wait(ctx, 1, time.Minute).Err())
	primary, replica := g.Servers[0], g.Servers[1]
	replica.Stop()
	acked := uint64(1)
	for v := uint64(2); v <= 20; v++ {
		if s.Save(ctx, "c", snap(1, v, "b", content(v))) == nil {
			acked = v
		}
	}
	require.Greater(t, acked, uint64(1))
	primary.Kill()
	replica.Cont()
	g.AwaitPromotion(t, primary)
	require.Eventually(t, func() bool { _, err := s.Load(ctx, "c"); return err == nil }, 60*time.Second, 10*time.Millisecond)
	got := loaded(t, s, "c")
	lost := int(acked - got.Version)
	if lost > 0 { // what was in the replica's socket may have survived
		require.Equal(t, "error", audit(t, s)["rollback"])
	}
	mustSave(t, s, "c", snap(1, acked+1, "c", "healed"))
	require.Equal(t, "healed", string(loaded(t, s, "c").Data))
	report(row{7, "failover to a replica that was behind, memory", 1, int(acked) + 1, lost, 0, 0, async})
}

func TestSentinelsThatAreGoneOrKnowNothingAreAnOutage(t *testing.T) {
	whole(t)
	g := redistest.StartSentinel(t, 0)
	unknown, err := redisstore.Open(strings.Replace(g.URL(), "mymaster", "another", 1), redisstore.Options{})
	require.NoError(t, err)
	defer unknown.Close()
	gone, err := redisstore.Open(g.URL(), redisstore.Options{})
	require.NoError(t, err)
	defer gone.Close()
	for _, s := range g.Sentinels {
		s.Kill()
	}
	for _, s := range []*redisstore.Store{unknown, gone} {
		err := second(s.Load(ctx, "c"))
		require.Error(t, err)
		require.False(t, isAnswer(err), err)
		err = s.Save(ctx, "c", snap(1, 1, "a", "1"))
		require.Error(t, err)
		require.NotErrorIs(t, err, store.ErrNotDurable)
	}
	report(row{6, "sentinels gone, name unknown", 2, 0, 0, 0, 0, ""})
}
