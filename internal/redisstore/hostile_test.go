package redisstore_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/redisstore"
	"github.com/durablestate/durable/internal/redistest"
	"github.com/durablestate/durable/internal/store"
)

func TestAPrimaryThatWasDemotedIsNotReadThroughOldConnections(t *testing.T) {
	t.Parallel()
	srv, next := redistest.Start(t), redistest.Start(t)
	s := newEnv(t, srv.URL(), nil).open(redisstore.Options{})
	mustSave(t, s, "c", snap(1, 1, "a", "1"))
	l, err := s.AcquireLease(ctx, "", "me", time.Minute, 1)
	require.NoError(t, err)
	require.NotZero(t, l.Epoch)
	host, port, _ := strings.Cut(next.Addr, ":")
	require.NoError(t, srv.Client(t).Do(ctx, "CONFIG", "SET", "replica-serve-stale-data", "yes").Err())
	next.Stop() // what the new primary has does not arrive
	defer next.Cont()
	require.NoError(t, srv.Client(t).Do(ctx, "REPLICAOF", host, port).Err())
	for op, err := range map[string]error{
		"load": second(s.Load(ctx, "c")), "fence": second(s.Fence(ctx, "c")), "history": second(s.History(ctx, "c")),
		"version": second(s.LoadVersion(ctx, "c", 1)), "lease": second(s.LoadLease(ctx, "")),
	} {
		require.ErrorContains(t, err, "replica", op)
		require.NotErrorIs(t, err, store.ErrNotFound, op)
	}
}

func TestAServerThatRefusesWritesCanStillBeRead(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	s := newEnv(t, srv.URL(), nil).open(redisstore.Options{})
	mustSave(t, s, "c", snap(1, 1, "a", "1"))
	require.NoError(t, srv.Client(t).ConfigSet(ctx, "min-replicas-to-write", "1").Err())
	require.Equal(t, "1", string(loaded(t, s, "c").Data))
	_, err := s.History(ctx, "c")
	require.NoError(t, err)
	require.ErrorIs(t, second(s.LoadLease(ctx, "")), store.ErrNotFound)
	require.ErrorContains(t, s.Save(ctx, "c", snap(1, 2, "b", "2")), "NOREPLICAS")
}

// WAIT waits for what its connection wrote. A repeat that writes nothing would
// have it answer at once for the connection's past.
func TestARepeatThatFindsItsWorkDoneIsConfirmedAllTheSame(t *testing.T) {
	t.Parallel()
	primary := redistest.Start(t)
	replica := startReplica(t, primary)
	e := newEnv(t, primary.URL(), nil)
	via, p := e.through()
	s, other := via.open(redisstore.Options{Durability: "replicated:1"}), e.open(redisstore.Options{})
	warm(t, s)
	mustSave(t, s, "c", snap(1, 1, "a", "1"))
	mustSave(t, s, "d", snap(1, 1, "a", "1"))
	defer replica.Cont()
	for name, op := range map[string]func() error{
		"claim":  func() error { p.loseReplyTo("evalsha", nil); return s.Claim(ctx, "c", 7) },
		"delete": func() error { p.loseReplyTo("evalsha", nil); return s.Delete(ctx, "d") },
		"lease": func() error {
			p.loseReplyTo("DURABLE 01", nil)
			return second(s.AcquireLease(ctx, "sys", "a", time.Minute, 1))
		},
		"superseded": func() error {
			p.loseReplyTo("first", func() { mustSave(t, other, "e", snap(1, 2, "second", "2")) })
			return s.Save(ctx, "e", snap(1, 1, "first", "1"))
		},
	} {
		replica.Stop()
		err := op()
		replica.Cont()
		require.True(t, p.struck(), name)
		require.ErrorIs(t, err, store.ErrNotDurable, name)
	}
}

func TestFsyncIsVerifiedForEverySave(t *testing.T) {
	srv := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	s := newEnv(t, srv.URL(), nil).open(redisstore.Options{Durability: "fsync"})
	mustSave(t, s, "c", snap(1, 1, "a", "1"))
	require.NoError(t, srv.Client(t).ConfigSet(ctx, "appendfsync", "everysec").Err())
	err := s.Save(ctx, "c", snap(1, 2, "b", "2"))
	require.ErrorIs(t, err, store.ErrNotDurable, "another server, or another setting, since the first save")
	require.ErrorContains(t, err, "everysec")
	require.Equal(t, "2", string(loaded(t, s, "c").Data))
}

// dropStage loses the staged value of the first save on its way.
type dropStage struct{ left int }

func (d *dropStage) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (d *dropStage) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (d *dropStage) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if cmds[0].Name() == "set" && d.left > 0 {
			d.left--
			cmds = cmds[1:]
		}
		return next(ctx, cmds)
	}
}

func TestAStagedValueThatAFailoverTookIsStagedAgain(t *testing.T) {
	e := onReal(t)
	e.client.AddHook(&dropStage{2})
	s, err := redisstore.New(e.client, redisstore.Options{Prefix: e.prefix})
	require.NoError(t, err)
	defer s.Close()
	big := strings.Repeat("x", 100<<10)
	mustSave(t, s, "c", snap(1, 1, "a", big))
	require.Equal(t, big, string(loaded(t, s, "c").Data))
	e.client.AddHook(&dropStage{100})
	require.ErrorContains(t, s.Save(ctx, "c", snap(1, 2, "b", big)), "evicting")
}

func TestARingIsRefused(t *testing.T) {
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": "127.0.0.1:1"}})
	defer ring.Close()
	_, err := redisstore.New(ring, redisstore.Options{})
	require.ErrorContains(t, err, "ring")
}
