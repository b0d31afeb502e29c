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
