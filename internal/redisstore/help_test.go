package redisstore_test

import (
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"hash/crc32"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/redisstore"
	"github.com/durablestate/durable/internal/redistest"
	"github.com/durablestate/durable/internal/store"
	"github.com/durablestate/durable/internal/trial"
)

var ctx = context.Background()

func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "6") // they wait for servers, not for processors
	os.Exit(searched(func() int {
		code := m.Run()
		printTable()
		trial.Print(os.Stdout)
		return code
	}))
}

// An env is a server as one test sees it: with a key prefix of its own.
type env struct {
	t      *testing.T
	url    string
	prefix string
	client *redis.Client
	mini   *miniredis.Miniredis // nil for a real server
}

// each runs f on a real server and on miniredis.
func each(t *testing.T, f func(t *testing.T, e *env)) {
	t.Run("real", func(t *testing.T) { f(t, onReal(t)) })
	t.Run("mini", func(t *testing.T) {
		m := miniredis.RunT(t)
		f(t, newEnv(t, "redis://"+m.Addr(), m))
	})
}

func onReal(t *testing.T) *env { return newEnv(t, redistest.Shared(t).URL(), nil) }

func newEnv(t *testing.T, url string, m *miniredis.Miniredis) *env {
	o, err := redis.ParseURL(url)
	require.NoError(t, err)
	o.Protocol, o.DisableIdentity = 2, true
	c := redis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return &env{t: t, url: url, prefix: "test:" + strings.ToLower(rand.Text()[:8]) + ":", client: c, mini: m}
}

func (e *env) open(o redisstore.Options) *redisstore.Store {
	e.t.Helper()
	if o.Prefix == "" {
		o.Prefix = e.prefix
	}
	s, err := redisstore.Open(e.url, o)
	require.NoError(e.t, err)
	e.t.Cleanup(func() { _ = s.Close() })
	return s
}

func (e *env) key(id string) string { return e.prefix + id }

func (e *env) side(id, name string) string { return "{" + e.prefix + id + "}:" + name }

func (e *env) get(key string) string {
	e.t.Helper()
	v, err := e.client.Get(ctx, key).Result()
	require.NoError(e.t, err, key)
	return v
}

func (e *env) set(key, value string) {
	e.t.Helper()
	require.NoError(e.t, e.client.Set(ctx, key, value, 0).Err())
}

func (e *env) exists(key string) bool {
	e.t.Helper()
	n, err := e.client.Exists(ctx, key).Result()
	require.NoError(e.t, err)
	return n == 1
}

func (e *env) ttl(key string) time.Duration {
	e.t.Helper()
	d, err := e.client.PTTL(ctx, key).Result()
	require.NoError(e.t, err)
	return d
}

// damage flips one byte of the state itself.
func (e *env) damage(key string) {
	e.t.Helper()
	v := []byte(e.get(key))
	v[len(v)-1] ^= 1
	require.NoError(e.t, e.client.SetArgs(ctx, key, v, redis.SetArgs{KeepTTL: true}).Err())
}

// replace puts bytes of the same length, with as many bits set, at key that begin
// alike, as another writer could with the same epoch and version.
func (e *env) replace(key string) {
	e.t.Helper()
	v := []byte(e.get(key))
	v[53] ^= 3 // of the write id: a for b
	require.NoError(e.t, e.client.SetArgs(ctx, key, v, redis.SetArgs{KeepTTL: true}).Err())
}

func snap(epoch, version uint64, writeID, data string) *store.Snapshot {
	return &store.Snapshot{Epoch: epoch, Version: version, WriteID: writeID, Codec: "json", SavedAt: time.Unix(1, 0), Data: []byte(data)}
}

func touch(epoch, version uint64, writeID string) *store.Snapshot {
	s := snap(epoch, version, writeID, "")
	s.Data = nil
	return s
}

func mustSave(t *testing.T, s *redisstore.Store, id string, snaps ...*store.Snapshot) {
	t.Helper()
	for _, sn := range snaps {
		require.NoError(t, s.Save(ctx, id, sn))
	}
}

func loaded(t *testing.T, s *redisstore.Store, id string) *store.Snapshot {
	t.Helper()
	got, err := s.Load(ctx, id)
	require.NoError(t, err)
	return got
}

func requireFence(t *testing.T, err, is error, epoch, version uint64) {
	t.Helper()
	require.ErrorIs(t, err, is)
	var a *store.Error
	require.ErrorAs(t, err, &a)
	require.Equal(t, store.Fence{Epoch: epoch, Version: version}, a.Fence)
}

// tooNew is an envelope of a format that does not exist yet: its checksums hold.
func tooNew() string {
	head := "DURABLE 02 whatever comes 5 "
	head += fmt.Sprintf("%08x", crc32.Checksum([]byte(head), crc32.MakeTable(crc32.Castagnoli)))
	return head + " 00000000 00000000\nhello"
}
