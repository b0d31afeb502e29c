package durable_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/redistest"
	"github.com/durablestate/durable/internal/testkit"
)

var (
	_ durable.StateAdapter = (*durable.RedisAdapter)(nil)
	_ durable.Owner        = (*durable.RedisAdapter)(nil)
	_ durable.Historian    = (*durable.RedisAdapter)(nil)
)

func TestRedisKeepsStateUnderTheKeyOfTheDecisionRecord(t *testing.T) {
	ctx := context.Background()
	srv := redistest.Start(t)
	a := testkit.OpenRedis(t, srv.URL(), nil)
	_, err := a.LoadState(ctx, "word_counter")
	require.ErrorIs(t, err, durable.ErrNotFound)
	for i := range 5 {
		require.NoError(t, a.SaveState(ctx, "word_counter", &durable.Snapshot{Codec: "json", Data: fmt.Appendf(nil, `{"n":%d}`, i)}))
	}
	got, err := a.LoadState(ctx, "word_counter")
	require.NoError(t, err)
	require.EqualValues(t, 5, got.Version)
	require.EqualValues(t, 5, got.LastVersion)
	raw, err := srv.Client(t).Get(ctx, "autocoder:state:word_counter").Bytes()
	require.NoError(t, err)
	same, err := durable.DecodeSnapshot("word_counter", raw)
	require.NoError(t, err)
	require.Equal(t, `{"n":4}`, string(same.Data))
	infos, err := a.ListSnapshots(ctx, "word_counter")
	require.NoError(t, err)
	require.Len(t, infos, 3)
}

func TestRedisOwnershipFencesThePredecessor(t *testing.T) {
	ctx := context.Background()
	srv := redistest.Shared(t)
	opts := &durable.RedisOptions{KeyPrefix: "root:owner:" + rand.Text() + ":"}
	old, next := testkit.OpenRedis(t, srv.URL(), opts), testkit.OpenRedis(t, srv.URL(), opts)
	l, err := old.AcquireLease(ctx, "", "old", time.Minute)
	require.NoError(t, err)
	require.NoError(t, old.ClaimState(ctx, "c", l.Epoch))
	require.NoError(t, old.SaveState(ctx, "c", &durable.Snapshot{Epoch: l.Epoch, Version: 1, Data: []byte("1")}))
	_, err = next.AcquireLease(ctx, "", "next", time.Minute)
	require.ErrorIs(t, err, durable.ErrLeaseHeld)
	require.NoError(t, old.ReleaseLease(ctx, l))
	n, err := next.AcquireLease(ctx, "", "next", time.Minute)
	require.NoError(t, err)
	require.NoError(t, next.ClaimState(ctx, "c", n.Epoch))
	err = old.SaveState(ctx, "c", &durable.Snapshot{Epoch: l.Epoch, Version: 2, Data: []byte("2")})
	require.ErrorIs(t, err, durable.ErrFenced)
	var e *durable.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, n.Epoch, e.Epoch)
	require.Equal(t, "redis", e.Adapter)
}

func TestRedisRefusesTooMuchBeforeSendingAnything(t *testing.T) {
	ctx := context.Background()
	srv := redistest.Start(t)
	a := testkit.OpenRedis(t, srv.URL(), &durable.RedisOptions{MaxStateBytes: 1000})
	require.NoError(t, a.SaveState(ctx, "c", &durable.Snapshot{Epoch: 1, Version: 1, Data: make([]byte, 1000)}))
	count := func() int {
		return srv.CommandCount(t, "eval") + srv.CommandCount(t, "evalsha") + srv.CommandCount(t, "set")
	}
	before := count()
	err := a.SaveState(ctx, "c", &durable.Snapshot{Epoch: 1, Version: 2, Data: make([]byte, 1001)})
	require.ErrorIs(t, err, durable.ErrTooLarge)
	require.Equal(t, before, count())
	require.NotZero(t, before)
}

func TestRedisLeavesTheCallersClientOpen(t *testing.T) {
	ctx := context.Background()
	m := miniredis.RunT(t)
	c := redis.NewClient(&redis.Options{Addr: m.Addr()})
	defer c.Close()
	a, err := durable.NewRedisAdapter(c, nil)
	require.NoError(t, err)
	require.NoError(t, a.SaveState(ctx, "c", &durable.Snapshot{Data: []byte("{}")}))
	require.NoError(t, a.Close())
	require.NoError(t, a.Close())
	require.NoError(t, c.Ping(ctx).Err())
	require.ErrorIs(t, a.SaveState(ctx, "c", &durable.Snapshot{Data: []byte("{}")}), durable.ErrClosed)
}

func TestRedisNeedNotBeUpAndAnOutageIsAnErrorOfItsOwn(t *testing.T) {
	ctx := context.Background()
	a := testkit.OpenRedis(t, "redis://:hunter2secret@127.0.0.1:1", nil)
	_, err := a.LoadState(ctx, "c")
	require.ErrorContains(t, err, "refused")
	require.NotErrorIs(t, err, durable.ErrNotFound)
	require.NotContains(t, err.Error(), "hunter2")
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err = durable.OpenRedisAdapter(ended, "redis://h", nil)
	require.ErrorIs(t, err, context.Canceled)
	for _, bad := range []string{"redis://user:hun%ZZter@host", "nonsense"} {
		_, err = durable.OpenRedisAdapter(ctx, bad, nil)
		var e *durable.Error
		require.True(t, errors.As(err, &e))
		require.NotContains(t, err.Error(), "hun%ZZ")
	}
	_, err = durable.NewRedisAdapter(nil, nil)
	require.Error(t, err)
}

func TestRedisAuditSaysWhatEndangersState(t *testing.T) {
	ctx := context.Background()
	srv := redistest.Start(t, "--maxmemory", "50mb", "--maxmemory-policy", "volatile-lru", "--requirepass", "hunter2secret")
	a := testkit.OpenRedis(t, "redis://:hunter2secret@"+srv.Addr, nil)
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

func BenchmarkRedisSaveOneAfterTheOther(b *testing.B) {
	ctx := context.Background()
	srv := redistest.Shared(b)
	data := make([]byte, 1024)
	b.Run("adapter", func(b *testing.B) {
		a, err := durable.OpenRedisAdapter(ctx, srv.URL(), &durable.RedisOptions{KeyPrefix: "bench:", TTL: time.Hour})
		require.NoError(b, err)
		defer a.Close()
		f := uint64(0)
		if s, err := a.LoadState(ctx, "c"); err == nil {
			f = s.LastVersion
		}
		for b.Loop() {
			f++
			if err := a.SaveState(ctx, "c", &durable.Snapshot{Epoch: 1, Version: f, WriteID: "w", Data: data}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("setex", func(b *testing.B) {
		c := srv.Client(b)
		for b.Loop() {
			if err := c.Set(ctx, "bench:setex", data, time.Hour).Err(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
