package redisstore_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/redisstore"
	"github.com/durablestate/durable/internal/redistest"
	"github.com/durablestate/durable/internal/store"
)

// cutting returns the address of a proxy before server that ends the first cuts of its
// connections at once, as one does whose server is being restarted.
func cutting(t *testing.T, server string, cuts int32) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	var n atomic.Int32
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if n.Add(1) <= cuts {
				_ = c.Close()
				continue
			}
			go func() {
				defer c.Close()
				up, err := net.Dial("tcp", server)
				if err != nil {
					return
				}
				defer up.Close()
				go func() { _, _ = io.Copy(up, c) }()
				_, _ = io.Copy(c, up)
			}()
		}
	}()
	return l.Addr().String()
}

func TestAServerThatIsRestartedDoesNotMakeAStateTooLarge(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	for cuts := range int32(7) {
		s, err := redisstore.Open("redis://"+cutting(t, srv.Addr, cuts), redisstore.Options{Prefix: fmt.Sprint("p", cuts, ":")})
		require.NoError(t, err)
		state := snap(1, 1, "a", "")
		state.Data = bytes.Repeat([]byte("x"), 2<<20)
		require.NoError(t, s.Save(ctx, "c", state), "%d connections ended", cuts)
		require.NoError(t, s.Close())
	}
}

// TestANodeThatIsAReplicaForNowIsWaitedFor has a cluster of one shard behind one address,
// whose node is demoted and promoted again.
func TestANodeThatIsAReplicaForNowIsWaitedFor(t *testing.T) {
	whole(t)
	c := redistest.StartCluster(t, 1, true)
	e := newEnv(t, c.Primaries[0].URL(), nil)
	s := e.open(redisstore.Options{})
	mustSave(t, s, "c", snap(1, 1, "a", "1"))
	swap := func(to *redistest.Server) {
		require.NoError(t, to.Client(t).Do(ctx, "CLUSTER", "FAILOVER").Err())
		require.Eventually(t, func() bool { return strings.Contains(to.Client(t).Info(ctx, "replication").Val(), "role:master") }, 20*time.Second, 20*time.Millisecond)
	}
	swap(c.Replicas[0])
	require.Eventually(t, func() bool {
		err := s.Save(ctx, "c", snap(1, 2, "b", "2"))
		require.Equal(t, store.Unreached, store.ClassOf(err), err)
		return strings.Contains(err.Error(), "connect to the primary")
	}, 20*time.Second, 20*time.Millisecond)
	_, err := s.Load(ctx, "c")
	require.Equal(t, store.Unreached, store.ClassOf(err), err)
	swap(c.Primaries[0])
	require.Eventually(t, func() bool { return s.Save(ctx, "c", snap(1, 2, "b", "2")) == nil }, 20*time.Second, 20*time.Millisecond)

	two := redistest.StartCluster(t, 2, false)
	s = newEnv(t, two.Primaries[0].URL(), nil).open(redisstore.Options{})
	refused := 0
	for i := range 20 {
		if err := s.Save(ctx, fmt.Sprint("c", i), snap(1, 1, "a", "1")); err != nil {
			require.Equal(t, store.Permanent, store.ClassOf(err), err)
			require.ErrorContains(t, err, "mode=cluster")
			refused++
		}
	}
	require.Positive(t, refused)
}

// answers is a hook that gives the commands in it these errors.
type answers func(cmd redis.Cmder) error

func (answers) DialHook(next redis.DialHook) redis.DialHook { return next }

func (a answers) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, c redis.Cmder) error {
		if err := a(c); err != nil {
			c.SetErr(err)
			return err
		}
		return next(ctx, c)
	}
}

func (a answers) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, all []redis.Cmder) (first error) {
		var sent []redis.Cmder
		for _, c := range all {
			if err := a(c); err != nil {
				c.SetErr(err)
				first = err
			} else {
				sent = append(sent, c)
			}
		}
		if len(sent) == 0 {
			return first
		}
		return errors.Join(first, next(ctx, sent))
	}
}

func TestAServerThatIsGoneDoesNotLackALevel(t *testing.T) {
	e := onReal(t)
	e.client.AddHook(answers(func(c redis.Cmder) error {
		switch c.Name() {
		case "waitaof":
			return serverSays("ERR unknown command 'WAITAOF'")
		case "config":
			return &net.OpError{Op: "dial", Err: errors.New("connection refused")}
		}
		return nil
	}))
	s, err := redisstore.New(e.client, redisstore.Options{Prefix: e.prefix, Durability: "fsync"})
	require.NoError(t, err)
	defer s.Close()
	err = s.Save(ctx, "c", snap(1, 1, "a", "1"))
	require.Equal(t, store.Unreached, store.ClassOf(err), err)
}

func TestTheSlotsAreLearnedFromEveryService(t *testing.T) {
	for _, text := range []string{
		"CROSSSLOT Keys in request don't hash to the same slot",
		"ERR Error running script (call to f_1): @user_script:1: -CROSSSLOT Keys in request don't hash to the same slot",
		"ERR eval/evalsha command keys must be in same slot",
	} {
		t.Run(text, func(t *testing.T) {
			e := onReal(t)
			var refused atomic.Int32
			e.client.AddHook(answers(func(c redis.Cmder) error {
				if args := c.Args(); slices.Contains([]string{"evalsha", "eval"}, c.Name()) && args[2] != 1 && args[2] != 2 && args[2] != 3 {
					refused.Add(1)
					return serverSays(text)
				}
				return nil
			}))
			s, err := redisstore.New(e.client, redisstore.Options{Prefix: e.prefix})
			require.NoError(t, err)
			defer s.Close()
			var wg sync.WaitGroup
			for i := range 100 {
				wg.Go(func() { mustSave(t, s, fmt.Sprint("c", i), snap(1, 1, "a", "1")) })
			}
			wg.Wait()
			require.Positive(t, refused.Load())
		})
	}
}

func TestACertificateIsWaitedForAndToldOf(t *testing.T) {
	t.Parallel()
	web := httptest.NewTLSServer(nil) // whose certificate nobody here trusts
	defer web.Close()
	plain := redistest.Shared(t).Addr
	web.Config.ErrorLog = log.New(io.Discard, "", 0)
	old := httptest.NewUnstartedServer(nil)
	old.Config.ErrorLog = web.Config.ErrorLog
	old.TLS = &tls.Config{MaxVersion: tls.VersionTLS11}
	old.StartTLS()
	defer old.Close()
	for what, addr := range map[string]string{"certificate": web.Listener.Addr().String(), "no TLS": plain, "old TLS": old.Listener.Addr().String()} {
		t.Run(what, func(t *testing.T) {
			s, err := redisstore.Open("rediss://:secret@"+addr, redisstore.Options{})
			require.NoError(t, err)
			defer s.Close()
			begin := time.Now()
			_, err = s.Load(ctx, "c")
			require.Less(t, time.Since(begin), 15*time.Second)
			require.Equal(t, store.Unreached, store.ClassOf(err), err)
			if what != "no TLS" { // of which nobody tells
				require.ErrorContains(t, err, "certificate")
			}
			require.NotContains(t, err.Error(), "secret")
		})
	}
}
