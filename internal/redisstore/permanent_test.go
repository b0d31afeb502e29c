package redisstore_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/redisstore"
	"github.com/durablestate/durable/internal/redistest"
	"github.com/durablestate/durable/internal/store"
)

// TestWhatSomebodyMustMendIsNotWaitedFor asks for the class of every answer that
// a server gives until somebody acts, and that the text says what to do.
func TestWhatSomebodyMustMendIsNotWaitedFor(t *testing.T) {
	locked := redistest.Start(t, "--requirepass", "right")
	lacking := redistest.Start(t, "--rename-command", "EVALSHA", "")
	free := redistest.Start(t)
	admin := free.Client(t)
	require.NoError(t, admin.Do(ctx, "ACL", "SETUSER", "narrow", "on", ">pw", "~*", "+@all", "-evalsha").Err())
	require.NoError(t, admin.Do(ctx, "ACL", "SETUSER", "inside", "on", ">pw", "~*", "+@all", "-mget").Err())
	require.NoError(t, admin.Do(ctx, "ACL", "SETUSER", "keys", "on", ">pw", "~elsewhere:*", "+@all").Err())
	require.NoError(t, admin.LPush(ctx, "w:c", "x").Err())
	require.NoError(t, admin.Set(ctx, "f:c", "somebody's", 0).Err())
	require.NoError(t, admin.Set(ctx, "{d:c}:f", "FENCE 2 nonsense", 0).Err())
	with := func(user string) string { return strings.Replace(free.URL(), "//", "//"+user+":pw@", 1) }
	for name, c := range map[string]struct{ url, prefix, says string }{
		"wrong password":   {strings.Replace(locked.URL(), "//", "//:wrong@", 1), "p:", "check user and password"},
		"no password":      {locked.URL(), "p:", "check user and password"},
		"database":         {free.URL() + "/99", "p:", "databases"},
		"right":            {with("narrow"), "p:", "evalsha"},
		"right in scripts": {with("inside"), "p:", "ACL"},
		"right to keys":    {with("keys"), "p:", "ACL"},
		"command":          {lacking.URL(), "p:", "lacks a command"},
		"no cluster":       {free.URL() + "?mode=cluster", "p:", "leave out mode=cluster"},
		"other type":       {free.URL(), "w:", "another type"},
		"foreign":          {free.URL(), "f:", "neither a snapshot"},
		"damaged fence":    {free.URL(), "d:", "damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := redisstore.Open(c.url, redisstore.Options{Prefix: c.prefix})
			require.NoError(t, err)
			defer s.Close()
			begin := time.Now()
			err = s.Save(ctx, "c", snap(1, 1, "a", "{}"))
			require.Error(t, err)
			require.Equal(t, store.Permanent, store.ClassOf(err), err)
			require.ErrorContains(t, err, c.says)
			require.NotContains(t, err.Error(), "wrong@")
			require.Less(t, time.Since(begin), time.Second, "not tried again and again")
			if c.prefix == "p:" {
				_, err = s.Load(ctx, "c")
				if name != "right" && name != "command" && name != "right in scripts" {
					require.Equal(t, store.Permanent, store.ClassOf(err), err)
				}
			}
		})
	}
}

func TestWhatPassesIsWaitedFor(t *testing.T) {
	for _, text := range []string{"LOADING Redis is loading the dataset in memory", "MASTERDOWN Link with MASTER is down", "CLUSTERDOWN Hash slot not served",
		"TRYAGAIN Multiple keys request during rehashing of slot", "BUSY Redis is busy running a script", "OOM command not allowed when used memory > 'maxmemory'.",
		"MISCONF Redis is configured to save RDB snapshots", "NOREPLICAS Not enough good replicas to write.", "READONLY You can't write against a read only replica.",
		"ERR max number of clients reached"} {
		t.Run(text, func(t *testing.T) {
			onReal(t)
			s, err := redisstore.New(answering(t, text), redisstore.Options{})
			require.NoError(t, err)
			defer s.Close()
			limited, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
			defer cancel()
			_, err = s.Load(limited, "c")
			require.Error(t, err)
			require.Equal(t, store.Unreached, store.ClassOf(err), err)
		})
	}
	s, err := redisstore.Open("redis://does-not-exist.invalid:6379", redisstore.Options{})
	require.NoError(t, err)
	defer s.Close()
	_, err = s.Load(ctx, "c")
	require.Equal(t, store.Unreached, store.ClassOf(err), err)
}

// answering returns a client all of whose commands end with the error text.
func answering(t *testing.T, text string) *redis.Client {
	c := redistest.Shared(t).Client(t)
	c.AddHook(refusing(text))
	return c
}

type refusing string

func (refusing) DialHook(next redis.DialHook) redis.DialHook { return next }

func (r refusing) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(_ context.Context, c redis.Cmder) error {
		c.SetErr(serverSays(r))
		return serverSays(r)
	}
}

func (r refusing) ProcessPipelineHook(redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(_ context.Context, all []redis.Cmder) error {
		for _, c := range all {
			c.SetErr(serverSays(r))
		}
		return serverSays(r)
	}
}

type serverSays string

func (e serverSays) Error() string { return string(e) }
func (serverSays) RedisError()     {}

func TestAStateAboveTheServersOwnLimitIsTooLarge(t *testing.T) {
	e := newEnv(t, redistest.Start(t, "--proto-max-bulk-len", "1mb").URL(), nil)
	s := e.open(redisstore.Options{})
	for _, size := range []int{1100 << 10, 20 << 20} {
		state := snap(1, 1, "a", "")
		state.Data = bytes.Repeat([]byte("x"), size)
		err := s.Save(ctx, "c", state)
		require.ErrorIs(t, err, store.ErrTooLarge)
		require.ErrorContains(t, err, "proto-max-bulk-len")
		require.NotContains(t, err.Error(), "rediss")
	}
	mustSave(t, s, "c", snap(1, 2, "b", "{}"))
}

func TestANameThatNoSentinelKnowsIsNotWaitedFor(t *testing.T) {
	whole(t)
	group := redistest.StartSentinel(t, 1)
	s, err := redisstore.Open(strings.Replace(group.URL(), "master_name=", "master_name=un", 1), redisstore.Options{})
	require.NoError(t, err)
	defer s.Close()
	_, err = s.Load(ctx, "c")
	require.Equal(t, store.Permanent, store.ClassOf(err), err)
	require.ErrorContains(t, err, "check master_name")
	require.False(t, errors.Is(err, redis.Nil))
	group.Sentinels[0].Kill()
	_, err = s.Load(ctx, "c")
	require.Equal(t, store.Unreached, store.ClassOf(err), err, "one of them does not answer")
}
