package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/redisstore"
	"github.com/durablestate/durable/internal/redistest"
	"github.com/durablestate/durable/internal/store"
)

func TestAClusterFailoverIsSurvived(t *testing.T) {
	whole(t)
	c := redistest.StartCluster(t, 3, true)
	const prefix = "failover:"
	w := startSteady(t, c.URL(), redisstore.Options{Prefix: prefix, Durability: "replicated:1"})
	i := c.PrimaryOf(t, prefix+"c")
	m := startSteady(t, c.URL(), redisstore.Options{Prefix: beside(t, c, i)})
	c.Primaries[i].Kill()
	c.AwaitPromotion(t, i)
	took := promoted(t, c.Replicas[i], m, w).took(m, w)
	m.awaitAck()
	w.awaitBelow()
	c.Primaries[i].Restart()
	w.awaitAck()
	m.end(8, "primary killed, cluster, memory", 1, took[0], async)
	w.end(8, "primary killed, cluster, replicated:1", 1, took[1], "")
}

// beside returns a prefix with which the component lives on primary i.
func beside(t *testing.T, c *redistest.Cluster, i int) string {
	for n := 0; ; n++ {
		if p := fmt.Sprintf("beside%d:", n); c.PrimaryOf(t, p+"c") == i {
			return p
		}
	}
}

func TestAFrozenClusterPrimaryIsReplaced(t *testing.T) {
	whole(t)
	c := redistest.StartCluster(t, 3, true)
	const prefix = "frozen:"
	w := startSteady(t, c.URL(), redisstore.Options{Prefix: prefix, Durability: "replicated:1"})
	i := c.PrimaryOf(t, prefix+"c")
	m := startSteady(t, c.URL(), redisstore.Options{Prefix: beside(t, c, i)})
	c.Primaries[i].Stop()
	c.AwaitPromotion(t, i)
	took := promoted(t, c.Replicas[i], m, w).took(m, w)
	m.awaitAck()
	w.awaitBelow()
	c.Primaries[i].Cont()
	w.awaitAck()
	m.end(8, "primary frozen and thawed, cluster, memory", 1, took[0], async)
	w.end(8, "primary frozen and thawed, cluster, replicated:1", 1, took[1], "")
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

// A deletion that comes while the keys of its component are on two nodes is
// carried out or not: half of it would be lost state.
func TestADeletionOfAHalfMovedComponentIsWholeOrNothing(t *testing.T) {
	whole(t)
	c := redistest.StartCluster(t, 3, false)
	const prefix = "gone:"
	s, err := redisstore.Open(c.URL(), redisstore.Options{Prefix: prefix})
	require.NoError(t, err)
	defer s.Close()
	epoch, from := uint64(1), c.PrimaryOf(t, prefix+"c")
	for at := range 5 { // state, fence and two generations, in any order
		mustSave(t, s, "c", snap(epoch, 3*epoch, "a", "x"), snap(epoch, 3*epoch+1, "b", "y"), snap(epoch, 3*epoch+2, "c", "z"))
		moved, deleted := 0, false
		to := (from + 1) % 3
		c.Migrate(t, prefix+"c", c.Primaries[from], c.Primaries[to], func() {
			if moved++; moved != at+1 {
				return
			}
			brief, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
			defer cancel()
			deleted = s.Delete(brief, "c") == nil
		})
		from = to
		require.Eventually(t, func() bool {
			got, err := s.Load(ctx, "c")
			if err != nil && !isAnswer(err) {
				return false
			}
			if deleted || errors.Is(err, store.ErrNotFound) { // it may have been carried out late
				require.ErrorIs(t, err, store.ErrNotFound, "at %d", at)
			} else {
				require.NoError(t, err, "at %d", at)
				require.Equal(t, "z", string(got.Data))
			}
			return true
		}, 60*time.Second, 10*time.Millisecond)
		require.NoError(t, s.Delete(ctx, "c"))
		epoch += 3
	}
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

// One frozen node must not hold up the components of the others.
func TestANodeThatHangsHoldsUpItsOwnComponentsOnly(t *testing.T) {
	whole(t)
	c := redistest.StartCluster(t, 2, false, "--cluster-node-timeout", "60000")
	s, err := redisstore.Open(c.URL(), redisstore.Options{Prefix: "hang:"})
	require.NoError(t, err)
	defer s.Close()
	ids := [2][]string{} // by node
	for i := 0; len(ids[0]) < 5 || len(ids[1]) < 5; i++ {
		id := fmt.Sprint("c", i)
		n := c.PrimaryOf(t, "hang:"+id)
		ids[n] = append(ids[n], id)
		mustSave(t, s, id, snap(1, 1, "a", "1"))
	}
	c.Primaries[1].Stop()
	defer c.Primaries[1].Cont()
	hung := make(chan error, 5)
	patient, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for _, id := range ids[1][:5] {
		go func() { hung <- s.Save(patient, id, snap(1, 2, "b", "2")) }()
	}
	for v := uint64(2); v < 100; v++ {
		mustSave(t, s, ids[0][0], snap(1, v, "w", "x"))
		require.EqualValues(t, v, loaded(t, s, ids[0][0]).Version)
		require.Empty(t, hung, "the others still wait")
	}
	c.Primaries[1].Cont()
	for range 5 {
		<-hung
	}
}
