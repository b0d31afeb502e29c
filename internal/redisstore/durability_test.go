package redisstore_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/redisstore"
	"github.com/durablestate/durable/internal/redistest"
	"github.com/durablestate/durable/internal/store"
)

func TestAReplicaThatDoesNotConfirmIsNoticed(t *testing.T) {
	t.Parallel()
	primary := redistest.Start(t)
	replica := startReplica(t, primary)
	e := newEnv(t, primary.URL(), nil)
	s := e.open(redisstore.Options{Durability: "replicated:1"})
	mustSave(t, s, "c", snap(1, 1, "a", "1"))
	replica.Stop()
	err := s.Save(ctx, "c", snap(1, 2, "b", "2"))
	replica.Cont()
	require.ErrorIs(t, err, store.ErrNotDurable)
	require.Equal(t, "2", string(loaded(t, s, "c").Data), "it is saved all the same")
	replica.Stop()
	err = s.Save(ctx, "c", touch(1, 2, "b"))
	replica.Cont()
	require.ErrorIs(t, err, store.ErrNotDurable, "a repeat asks for a confirmation of its own")
	replica.Stop()
	err = s.Save(ctx, "c", snap(1, 1, "late", "0"))
	replica.Cont()
	require.ErrorIs(t, err, store.ErrConflict, "a refused save is not one below its level")
	require.NotErrorIs(t, err, store.ErrNotDurable)
	require.Eventually(t, func() bool { return s.Save(ctx, "c", touch(1, 2, "b")) == nil }, 20*time.Second, time.Millisecond)
	require.ErrorIs(t, newEnv(t, primary.URL(), nil).open(redisstore.Options{Durability: "replicated:2"}).Save(ctx, "d", snap(1, 1, "a", "1")), store.ErrNotDurable)
}

func TestFsyncBeforeRedis72NeedsAppendfsyncAlways(t *testing.T) {
	for args, want := range map[string]string{
		"--appendonly no":                         "appendonly yes",
		"--appendonly yes --appendfsync everysec": "everysec",
		"--appendonly yes --appendfsync always":   "",
	} {
		e := newEnv(t, redistest.Start(t, strings.Fields(args)...).URL(), nil)
		s := e.open(redisstore.Options{Durability: "fsync"})
		err := s.Save(ctx, "c", snap(1, 1, "a", "1"))
		if want == "" {
			require.NoError(t, err, args)
			continue
		}
		require.ErrorContains(t, err, want)
		require.NotErrorIs(t, err, store.ErrNotDurable)
		require.False(t, e.exists(e.key("c")), "refused before it is saved")
	}
}

func TestFsyncAsksTheServerThatCanBeAsked(t *testing.T) {
	e := onMini(t)
	disks := 1
	require.NoError(t, e.mini.Server().Register("WAITAOF", func(c *server.Peer, _ string, args []string) {
		c.WriteLen(2)
		c.WriteInt(disks)
		c.WriteInt(0)
	}))
	s := e.open(redisstore.Options{Durability: "fsync"})
	mustSave(t, s, "c", snap(1, 1, "a", "1"))
	disks = 0
	require.ErrorIs(t, s.Save(ctx, "c", snap(1, 2, "b", "2")), store.ErrNotDurable)
	disks = 1
	mustSave(t, s, "c", touch(1, 2, "b"))
	e.mini.Server().SetPreHook(func(c *server.Peer, cmd string, _ ...string) bool {
		if cmd == "WAITAOF" {
			c.WriteError("ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.")
		}
		return cmd == "WAITAOF"
	})
	err := s.Save(ctx, "c", snap(1, 3, "c", "3"))
	require.ErrorIs(t, err, store.ErrNotDurable, "persistence was turned off meanwhile")
	require.ErrorContains(t, e.open(redisstore.Options{Durability: "fsync"}).Save(ctx, "d", snap(1, 1, "a", "1")), "appendonly yes")
}

func TestAServerThatCannotTellIsRefused(t *testing.T) {
	e := onMini(t)
	err := e.open(redisstore.Options{Durability: "fsync"}).Save(ctx, "c", snap(1, 1, "a", "1"))
	require.ErrorContains(t, err, "gives neither")
	err = e.open(redisstore.Options{Durability: "replicated:1"}).Save(ctx, "c", snap(1, 1, "a", "1"))
	require.ErrorIs(t, err, store.ErrNotDurable)
}

func isNotDurable(err error) bool { return errors.Is(err, store.ErrNotDurable) }
