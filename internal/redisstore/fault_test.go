package redisstore_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/redisstore"
	"github.com/durablestate/durable/internal/redistest"
	"github.com/durablestate/durable/internal/store"
)

// warm makes the server know all scripts, so that an accident meets the one meant.
func warm(t *testing.T, s *redisstore.Store) {
	t.Helper()
	mustSave(t, s, "warm", snap(1, 1, "warm", "x"))
	require.NoError(t, s.Claim(ctx, "warm", 2))
	require.NoError(t, s.Delete(ctx, "warm"))
	l, err := s.AcquireLease(ctx, "warm", "w", time.Minute, 1)
	require.NoError(t, err)
	_, err = s.ReleaseLease(ctx, l)
	require.NoError(t, err)
	_, err = s.Load(ctx, "warm")
	require.ErrorIs(t, err, store.ErrNotFound)
}

func TestALostReplyIsNotASecondSave(t *testing.T) {
	for _, size := range []int{10, 200 << 10} {
		e := onReal(t)
		via, p := e.through()
		s := via.open(redisstore.Options{})
		warm(t, s)
		data := strings.Repeat("x", size)
		p.loseReplyTo("first", nil)
		mustSave(t, s, "c", snap(1, 1, "first", data))
		require.True(t, p.struck())
		require.Equal(t, data, string(loaded(t, s, "c").Data))
		infos, err := s.History(ctx, "c")
		require.NoError(t, err)
		require.Len(t, infos, 1)
		require.False(t, e.exists(e.side("c", "t:first")))
	}
}

func TestASaveThatWasAppliedAndSupersededIsNoConflictWithItself(t *testing.T) {
	e := onReal(t)
	via, p := e.through()
	s, other := via.open(redisstore.Options{}), e.open(redisstore.Options{})
	warm(t, s)
	p.loseReplyTo("first", func() { mustSave(t, other, "c", snap(1, 2, "second", "2")) })
	mustSave(t, s, "c", snap(1, 1, "first", "1"))
	require.True(t, p.struck())
	require.Equal(t, "2", string(loaded(t, s, "c").Data))
	require.ErrorIs(t, s.Save(ctx, "c", snap(1, 1, "first", "1")), store.ErrConflict, "a call of its own is judged by the rule")

	p.loseReplyTo("third", func() { require.NoError(t, other.Claim(ctx, "c", 9)) })
	require.ErrorIs(t, s.Save(ctx, "c", snap(1, 3, "third", "3")), store.ErrFenced, "the safe direction")
}

func TestLateCopiesOfASaveDoNothing(t *testing.T) {
	for _, size := range []int{10, 200 << 10} {
		e := onReal(t)
		via, p := e.through()
		s := via.open(redisstore.Options{})
		warm(t, s)
		p.hold("first", nil)
		mustSave(t, s, "c", snap(1, 1, "first", strings.Repeat("x", size)), snap(1, 2, "second", "2"))
		p.late()
		require.Equal(t, "2", string(loaded(t, s, "c").Data))
		require.NoError(t, s.Delete(ctx, "c"))
		p.late()
		require.ErrorIs(t, second(s.Load(ctx, "c")), store.ErrNotFound, "nothing is resurrected")
	}
}

func TestALostReplyToADeletionIsRecognised(t *testing.T) {
	e := onReal(t)
	via, p := e.through()
	s, other := via.open(redisstore.Options{}), e.open(redisstore.Options{})
	warm(t, s)
	mustSave(t, s, "c", snap(1, 1, "a", "1"))
	p.loseReplyTo("evalsha", func() { mustSave(t, other, "c", snap(2, 2, "next", "next life")) })
	require.NoError(t, s.Delete(ctx, "c"))
	require.True(t, p.struck())
	require.Equal(t, "next life", string(loaded(t, s, "c").Data))
	f, err := s.Fence(ctx, "c")
	require.NoError(t, err)
	require.Equal(t, store.Fence{Epoch: 2, Version: 2}, f, "raised once")
}

func TestADeletionInDoubtDoesNotDeleteASuccessorsSave(t *testing.T) {
	e := onReal(t)
	via, p := e.through()
	s, other := via.open(redisstore.Options{}), e.open(redisstore.Options{})
	warm(t, s)
	mustSave(t, s, "c", snap(1, 1, "a", "1"))
	p.hold("evalsha", func() { mustSave(t, other, "c", snap(1, 2, "b", "2")) })
	requireFence(t, s.Delete(ctx, "c"), store.ErrConflict, 1, 2)
	p.late()
	require.Equal(t, "2", string(loaded(t, s, "c").Data))
}

func TestADeletionInDoubtThatWasOvertakenByAClaimDoesNothing(t *testing.T) {
	e := onReal(t)
	via, p := e.through()
	s, other := via.open(redisstore.Options{}), e.open(redisstore.Options{})
	warm(t, s)
	mustSave(t, s, "c", snap(1, 1, "a", "1"))
	p.hold("evalsha", func() { require.NoError(t, other.Claim(ctx, "c", 5)) })
	requireFence(t, s.Delete(ctx, "c"), store.ErrConflict, 5, 1)
	p.late()
	require.Equal(t, "1", string(loaded(t, s, "c").Data), "the epoch alone makes it a late copy")
	require.NoError(t, s.Delete(ctx, "c"))
}

func TestALateCopyOfADeletionDoesNothing(t *testing.T) {
	e := onReal(t)
	via, p := e.through()
	s := via.open(redisstore.Options{})
	warm(t, s)
	mustSave(t, s, "c", snap(1, 1, "a", "1"))
	p.hold("evalsha", nil)
	require.NoError(t, s.Delete(ctx, "c"))
	mustSave(t, s, "c", snap(2, 2, "b", "2"))
	p.late()
	require.Equal(t, "2", string(loaded(t, s, "c").Data))
}

func TestALateCopyOfAnAcquisitionDoesNothing(t *testing.T) {
	e := onReal(t)
	via, p := e.through()
	s, other := via.open(redisstore.Options{}), e.open(redisstore.Options{})
	warm(t, s)
	p.hold("DURABLE 01", nil) // the write, not the read before it
	l, err := s.AcquireLease(ctx, "sys", "a", time.Minute, 1)
	require.NoError(t, err)
	_, err = s.ReleaseLease(ctx, l)
	require.NoError(t, err)
	n, err := other.AcquireLease(ctx, "sys", "b", time.Minute, 1)
	require.NoError(t, err)
	p.late()
	stored, err := s.LoadLease(ctx, "sys")
	require.NoError(t, err)
	require.Equal(t, n.Epoch, stored.Epoch)

	p.loseReplyTo("DURABLE 01", nil)
	r, err := s.RenewLease(ctx, n)
	require.NoError(t, err)
	require.True(t, p.struck())
	require.Equal(t, n.Epoch, r.Epoch)
}

func TestForgottenScriptsAreSentAgain(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		s := e.open(redisstore.Options{})
		for v := uint64(1); v <= 3; v++ {
			require.NoError(t, e.client.ScriptFlush(ctx).Err())
			mustSave(t, s, "c", snap(1, v, "w", strings.Repeat("x", int(v)*40<<10)))
			require.NoError(t, e.client.ScriptFlush(ctx).Err())
			require.NoError(t, s.Claim(ctx, "c", 1))
		}
	})
}

func TestARestartIsSurvivedAndAnOutageIsNotAnAnswer(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	e := newEnv(t, srv.URL(), nil)
	s := e.open(redisstore.Options{TTL: time.Hour})
	mustSave(t, s, "c", snap(1, 1, "a", "1"))
	srv.Kill()
	for op, err := range map[string]error{
		"save": s.Save(ctx, "c", snap(1, 2, "b", "2")), "load": second(s.Load(ctx, "c")), "delete": s.Delete(ctx, "c"),
		"claim": s.Claim(ctx, "c", 2), "lease": second(s.AcquireLease(ctx, "l", "h", time.Minute, 1)), "history": second(s.History(ctx, "c")),
		"fence": second(s.Fence(ctx, "c")), "list": listErr(s),
	} {
		require.Error(t, err, op)
		for _, not := range []error{store.ErrConflict, store.ErrFenced, store.ErrNotFound, store.ErrLost, store.ErrExpired, store.ErrCorrupt, redis.Nil} {
			require.NotErrorIs(t, err, not, op)
		}
	}
	srv.Restart()
	require.Eventually(t, func() bool { _, err := s.Load(ctx, "c"); return err == nil }, 20*time.Second, time.Millisecond)
	require.Equal(t, "1", string(loaded(t, s, "c").Data))
	mustSave(t, s, "c", snap(1, 2, "b", "2"))
}

func listErr(s *redisstore.Store) error {
	for _, err := range s.List(ctx) {
		return err
	}
	return nil
}

func TestACallEndsWithItsContextWhileTheServerIsFrozen(t *testing.T) {
	srv := redistest.Start(t)
	e := newEnv(t, srv.URL(), nil)
	s := e.open(redisstore.Options{})
	mustSave(t, s, "c", snap(1, 1, "a", "1"))
	srv.Stop()
	c, cancel := context.WithCancel(ctx)
	result := make(chan error)
	go func() { result <- s.Save(c, "c", snap(1, 2, "b", "2")) }()
	go func() { result <- second(s.Load(c, "c")) }()
	cancel()
	for range 2 {
		require.ErrorIs(t, <-result, context.Canceled)
	}
	srv.Cont()
	require.Eventually(t, func() bool { return s.Save(ctx, "c", snap(1, 3, "c", "3")) == nil }, 20*time.Second, 10*time.Millisecond)
	require.EqualValues(t, 3, loaded(t, s, "c").Version, "the late save 2 did not overwrite it")
}

func TestAFullServerKeepsTheOldStateAndItsTTL(t *testing.T) {
	srv := redistest.Start(t, "--maxmemory", "6mb", "--maxmemory-policy", "noeviction")
	e := newEnv(t, srv.URL(), nil)
	for _, ttl := range []time.Duration{time.Hour, 0} {
		s := e.open(redisstore.Options{TTL: ttl})
		id := fmt.Sprint("c", ttl)
		mustSave(t, s, id, snap(1, 1, "a", "1"))
		fill(t, e)
		for _, size := range []int{100, 100 << 10} {
			err := s.Save(ctx, id, snap(1, 2, "b", strings.Repeat("s", size)))
			require.ErrorContains(t, err, "maxmemory")
			require.NotErrorIs(t, err, store.ErrConflict)
			require.NotContains(t, err.Error(), "sss")
		}
		require.Equal(t, "1", string(loaded(t, s, id).Data))
		if ttl > 0 {
			require.NoError(t, e.client.PExpire(ctx, e.key(id), time.Minute).Err())
		}
		mustSave(t, s, id, touch(1, 1, "a"), snap(1, 1, "a", "1"))
		if ttl > 0 {
			require.Greater(t, e.ttl(e.key(id)), 59*time.Minute)
		}
		require.NoError(t, s.Delete(ctx, id), "memory can be freed")
		require.NoError(t, e.client.FlushDB(ctx).Err())
	}
}

// fill leaves no room for anything.
func fill(t *testing.T, e *env) {
	for _, size := range []int{100 << 10, 10 << 10, 1 << 10, 10} {
		for refusals := 0; refusals < 5; {
			if err := e.client.Set(ctx, rand.Text(), strings.Repeat("x", size), 0).Err(); err != nil {
				require.ErrorContains(t, err, "OOM")
				refusals++
			}
		}
	}
}

func TestPassingRefusalsAreRetriedAndLastingOnesAreNot(t *testing.T) {
	e := onMini(t)
	s := e.open(redisstore.Options{})
	for _, text := range []string{"LOADING Redis is loading", "READONLY You can't write", "MASTERDOWN Link", "TRYAGAIN x", "NOREPLICAS Not enough", "ERR max number of clients reached"} {
		n := 0
		e.mini.Server().SetPreHook(func(c *server.Peer, cmd string, _ ...string) bool {
			if cmd == "EVALSHA" || cmd == "EVAL" {
				if n++; n < 3 {
					c.WriteError(text)
					return true
				}
			}
			return false
		})
		f, err := s.Fence(ctx, "c")
		require.NoError(t, err)
		mustSave(t, s, "c", snap(1, f.Version+1, "w", "x"))
		require.Greater(t, n, 2, text)
	}
	for _, text := range []string{"OOM command not allowed", "MISCONF Redis is configured", "NOPERM this user", "WRONGPASS invalid", "ERR unknown command 'EVALSHA', with args beginning with: 'secretstate'"} {
		n := 0
		e.mini.Server().SetPreHook(func(c *server.Peer, cmd string, _ ...string) bool {
			if cmd == "EVALSHA" {
				n++
				c.WriteError(text)
				return true
			}
			return false
		})
		err := s.Save(ctx, "c", snap(1, 1000, "w", "x"))
		require.Error(t, err)
		require.NotContains(t, err.Error(), "secretstate")
		require.Equal(t, 1, n, text)
	}
}

func onMini(t *testing.T) *env {
	m := miniredis.RunT(t)
	return newEnv(t, "redis://"+m.Addr(), m)
}

func TestASentinelThatKnowsNoPrimaryIsAnOutage(t *testing.T) {
	sentinel := miniredis.RunT(t)
	require.NoError(t, sentinel.Server().Register("SENTINEL", func(c *server.Peer, _ string, _ []string) { c.WriteNull() }))
	s, err := redisstore.Open("redis://"+sentinel.Addr()+"?mode=sentinel&master_name=mymaster&dial_timeout=1s", redisstore.Options{})
	require.NoError(t, err)
	defer s.Close()
	_, err = s.Load(ctx, "c")
	require.ErrorContains(t, err, "sentinel")
	require.NotErrorIs(t, err, redis.Nil)
	require.NotErrorIs(t, err, store.ErrNotFound)
}

func TestAReplicaIsRefused(t *testing.T) {
	primary := redistest.Start(t)
	replica := startReplica(t, primary)
	s := newEnv(t, replica.URL(), nil).open(redisstore.Options{})
	_, err := s.Load(ctx, "c")
	require.ErrorContains(t, err, "replica")
	require.False(t, errors.Is(err, store.ErrNotFound))
}

func startReplica(t *testing.T, primary *redistest.Server) *redistest.Server {
	host, port, _ := strings.Cut(primary.Addr, ":")
	replica := redistest.Start(t, "--replicaof", host, port)
	c := primary.Client(t)
	require.Eventually(t, func() bool {
		return strings.Contains(c.Info(ctx, "replication").Val(), "state=online")
	}, 20*time.Second, 10*time.Millisecond)
	return replica
}
