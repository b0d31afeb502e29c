package durable_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/redistest"
)

func TestRedisAuditSaysWhatEndangersState(t *testing.T) {
	ctx := context.Background()
	srv := redistest.Start(t, "--maxmemory", "50mb", "--maxmemory-policy", "volatile-lru", "--requirepass", "hunter2secret")
	a := openRedis(t, "redis://:hunter2secret@"+srv.Addr, nil)
	found, err := a.Audit(ctx)
	require.NoError(t, err)
	require.Len(t, found, 2)
	require.Equal(t, "eviction", found[0].ID)
	require.Equal(t, "warning", found[0].Severity)
	require.Contains(t, found[0].Evidence, "volatile-lru")
	require.Contains(t, found[0].Remedy, "noeviction")
	require.Equal(t, "persistence", found[1].ID)

	require.NoError(t, a.Close())
	_, err = a.Audit(ctx)
	require.ErrorIs(t, err, durable.ErrClosed)
}

func TestOpenRedisAdapterRefusesALevelThatTheServerCannotGive(t *testing.T) {
	ctx := context.Background()
	srv := redistest.Start(t)
	_, err := durable.OpenRedisAdapter(ctx, srv.URL(), &durable.RedisOptions{Durability: "fsync"})
	require.ErrorContains(t, err, "appendonly yes")
	srv.Kill()
	a, err := durable.OpenRedisAdapter(ctx, srv.URL(), &durable.RedisOptions{Durability: "fsync"})
	require.NoError(t, err, "it need not be up")
	require.NoError(t, a.Close())
}

// A server that restarts without its data, or a failover, takes acknowledged
// saves back: whoever watches the events learns of it, once for each loss.
func TestAServerThatWentBackIsAnEventAndHealed(t *testing.T) {
	srv := redistest.Start(t)
	var j journal
	h := start(t, openRedis(t, srv.URL(), nil), j.options())
	defer h.Close()
	save := func() {
		h.words.add("hello")
		require.NoError(t, h.words.CheckpointState(t.Context()))
	}
	save()
	save()
	require.Zero(t, j.count("rollback"))

	srv.Client(t).FlushAll(t.Context())
	save()
	require.Equal(t, 1, j.count("rollback"))
	require.Contains(t, j.text(), "was at version 2, and then the server knew only 0")
	save()
	require.Equal(t, 1, j.count("rollback"))
	require.NoError(t, h.Close())

	again := start(t, openRedis(t, srv.URL(), nil), j.options())
	defer again.Close()
	require.Equal(t, 4, again.words.count("hello"), "healed")
	srv.Client(t).FlushAll(t.Context())
	_, err := again.Restore(t.Context(), "words")
	require.NoError(t, err)
	require.Equal(t, 2, j.count("rollback"), "found by a restore")
}
