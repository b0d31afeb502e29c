package redisstore_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/redisstore"
	"github.com/durablestate/durable/internal/redistest"
)

func TestAClusterFailoverIsSurvived(t *testing.T) {
	whole(t)
	c := redistest.StartCluster(t, 3, true)
	const prefix = "failover:"
	w := startSteady(t, c.URL(), redisstore.Options{Prefix: prefix, Durability: "replicated:1"})
	i := c.PrimaryOf(t, prefix+"c")
	c.Primaries[i].Kill()
	c.AwaitPromotion(t, i)
	again := w.awaitBelow()
	c.Primaries[i].Restart()
	w.awaitAck()
	w.end(8, "primary killed, cluster, replicated:1", 1, again, "")
}

func TestAFrozenClusterPrimaryIsReplaced(t *testing.T) {
	whole(t)
	c := redistest.StartCluster(t, 3, true)
	const prefix = "frozen:"
	w := startSteady(t, c.URL(), redisstore.Options{Prefix: prefix, Durability: "replicated:1"})
	i := c.PrimaryOf(t, prefix+"c")
	c.Primaries[i].Stop()
	c.AwaitPromotion(t, i)
	again := w.awaitBelow()
	c.Primaries[i].Cont()
	w.awaitAck()
	w.end(8, "primary frozen and thawed, cluster, replicated:1", 1, again, "")
}

func TestASlotMovesWhileItsComponentIsSaved(t *testing.T) {
	whole(t)
	c := redistest.StartCluster(t, 3, false)
	const prefix = "moves:"
	w := startSteady(t, c.URL(), redisstore.Options{Prefix: prefix})
	from := c.PrimaryOf(t, prefix+"c")
	var longest time.Duration
	for range times() {
		to := (from + 1) % 3
		c.Migrate(t, prefix+"c", c.Primaries[from], c.Primaries[to], nil)
		longest = max(longest, w.awaitAck())
		from = to
	}
	w.end(9, "slot migration while saving, cluster", times(), longest, "")
}

func TestAHalfMovedComponentIsNeitherMissingNorDamaged(t *testing.T) {
	whole(t)
	c := redistest.StartCluster(t, 3, false)
	const prefix = "half:"
	s, err := redisstore.Open(c.URL(), redisstore.Options{Prefix: prefix})
	require.NoError(t, err)
	defer s.Close()
	mustSave(t, s, "c", snap(1, 1, "a", content(1)), snap(1, 2, "b", content(2)), snap(1, 3, "c", content(3)))
	from := c.PrimaryOf(t, prefix+"c")
	version := uint64(3)
	c.Migrate(t, prefix+"c", c.Primaries[from], c.Primaries[(from+1)%3], func() {
		got, err := s.Load(ctx, "c")
		if err == nil {
			require.Equal(t, content(got.Version), string(got.Data))
			require.Equal(t, version, got.LastVersion)
		} else {
			require.False(t, isAnswer(err), err)
		}
		if err := s.Save(ctx, "c", snap(1, version+1, fmt.Sprint("w", version), content(version+1))); err == nil {
			version++
		} else {
			require.False(t, isAnswer(err), err)
		}
	})
	require.Eventually(t, func() bool { _, err := s.Load(ctx, "c"); return err == nil }, 60*time.Second, 10*time.Millisecond)
	require.GreaterOrEqual(t, loaded(t, s, "c").Version, version)
	infos, err := s.History(ctx, "c")
	require.NoError(t, err)
	for _, i := range infos {
		require.NoError(t, i.Err)
	}
	require.Len(t, infos, 3)
}

func TestTheDocumentedRightsSufficeInACluster(t *testing.T) {
	doc, err := os.ReadFile("../../docs/redis.md")
	require.NoError(t, err)
	require.Contains(t, string(doc), minimalACL)
	require.Contains(t, string(doc), "a Cluster `+cluster|slots`")

	c := redistest.StartCluster(t, 1, false)
	node, prefix := c.Primaries[0].Client(t), "acl:"
	rule := []any{"ACL", "SETUSER", "app", "on", ">pw", "~" + prefix + "*", "~{" + prefix + "*"}
	for _, f := range strings.Fields(strings.ReplaceAll(minimalACL, "+waitaof", "+cluster|slots +info")) {
		rule = append(rule, f)
	}
	require.NoError(t, node.Do(ctx, rule...).Err())
	s, err := redisstore.Open(strings.Replace(c.URL(), "redis://", "redis://app:pw@", 1), redisstore.Options{Prefix: prefix, TTL: time.Hour})
	require.NoError(t, err)
	defer s.Close()
	warm(t, s)
	mustSave(t, s, "c", snap(1, 1, "a", "x"), snap(1, 2, "b", strings.Repeat("x", 100<<10)), touch(1, 2, "b"))
	require.NoError(t, listErr(s))
	audit(t, s)
	log, err := node.Do(ctx, "ACL", "LOG").Slice()
	require.NoError(t, err)
	require.Empty(t, log, "nothing was denied, not even quietly")
}
