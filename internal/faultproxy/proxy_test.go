package faultproxy_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/faultproxy"
)

var ctx = context.Background()

func TestMain(m *testing.M) {
	logging.Disable()
	os.Exit(m.Run())
}

func start(t *testing.T) (*faultproxy.Proxy, *redis.Client, *miniredis.Miniredis) {
	m := miniredis.RunT(t)
	p, err := faultproxy.Start(m.Addr())
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.Close() })
	c := redis.NewClient(&redis.Options{Addr: p.Addr(), Protocol: 2, MaxRetries: -1, DialerRetries: 1, ContextTimeoutEnabled: true, DisableIdentity: true})
	t.Cleanup(func() { _ = c.Close() })
	return p, c, m
}

func TestWithoutAFaultEverythingPasses(t *testing.T) {
	_, c, _ := start(t)
	big := strings.Repeat("x", 3<<20)
	require.NoError(t, c.Set(ctx, "k", big, 0).Err())
	require.Equal(t, big, c.Get(ctx, "k").Val())
	require.Equal(t, redis.Nil, c.Get(ctx, "none").Err())
	require.Error(t, c.LPush(ctx, "k", 1).Err())
	require.Len(t, c.MGet(ctx, "k", "none").Val(), 2)
	p := c.Pipeline()
	for range 100 {
		p.Incr(ctx, "n")
	}
	require.Len(t, second(p.Exec(ctx)), 100)
}

func second[T any](v T, _ error) T { return v }

func TestALostReplyIsOfARequestThatWasExecutedOnce(t *testing.T) {
	p, c, m := start(t)
	ran := make(chan bool, 1)
	p.Next("needle", faultproxy.LoseReply, func() { ran <- m.Exists("needle") })
	require.ErrorIs(t, c.Incr(ctx, "needle").Err(), io.EOF)
	require.True(t, <-ran, "executed before then")
	require.True(t, p.Struck())
	require.EqualValues(t, 2, c.Incr(ctx, "needle").Val())
}

func TestACutRequestIsNotExecuted(t *testing.T) {
	p, c, m := start(t)
	p.Next("needle", faultproxy.Cut, nil)
	require.Error(t, c.Incr(ctx, "needle").Err())
	require.False(t, m.Exists("needle"))
	require.Equal(t, 1, p.Count(faultproxy.Cut))
}

func TestAHeldRequestIsExecutedLate(t *testing.T) {
	p, c, m := start(t)
	p.Next("needle", faultproxy.Hold, nil)
	pipe := c.Pipeline()
	pipe.Set(ctx, "needle", strings.Repeat("7", 5), 0)
	pipe.Incr(ctx, "needle")
	_, err := pipe.Exec(ctx)
	require.Error(t, err)
	require.False(t, m.Exists("needle"))
	n, err := p.Late(false)
	require.NoError(t, err)
	require.Equal(t, 1, n, "a SET belongs to what follows it")
	require.Equal(t, "77778", second(m.Get("needle")))
	n, err = p.Late(false)
	require.NoError(t, err)
	require.Zero(t, n)
}

func TestAStalledConnectionIsSilent(t *testing.T) {
	p, c, m := start(t)
	p.Next("needle", faultproxy.Stall, nil)
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, c.Incr(short, "needle").Err(), os.ErrDeadlineExceeded, "neither a reply nor an end")
	require.Eventually(t, func() bool { return m.Exists("needle") }, patience, time.Millisecond)
}

const patience = 20 * time.Second

func TestAFrozenRequestArrivesAfterItsClientHasGone(t *testing.T) {
	p, c, m := start(t)
	require.NoError(t, c.Ping(ctx).Err())
	p.Freeze()
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	require.Error(t, c.Incr(short, "k").Err())
	require.False(t, m.Exists("k"))
	p.Thaw()
	require.Eventually(t, func() bool { return m.Exists("k") }, patience, time.Millisecond)
}

func TestARefusedConnectionIsRefusedByTheSystem(t *testing.T) {
	p, c, _ := start(t)
	require.NoError(t, c.Ping(ctx).Err())
	p.Refuse()
	require.Eventually(t, func() bool { return errors.Is(c.Ping(ctx).Err(), syscall.ECONNREFUSED) }, patience, time.Millisecond)
	require.Eventually(t, func() bool { return p.Accept() == nil }, patience, time.Millisecond)
	require.Eventually(t, func() bool { return c.Ping(ctx).Err() == nil }, patience, time.Millisecond)
}

func TestEachRequestIsAskedAboutAndDelayed(t *testing.T) {
	p, c, _ := start(t)
	var asked atomic.Int64
	p.Delay(time.Millisecond)
	p.Each(func(request []byte) faultproxy.Fault {
		if strings.Contains(string(request), "bad") {
			asked.Add(1)
			return faultproxy.Cut
		}
		return faultproxy.None
	})
	require.NoError(t, c.Ping(ctx).Err())
	require.Error(t, c.Get(ctx, "bad").Err())
	p.Each(nil)
	require.Equal(t, redis.Nil, c.Get(ctx, "bad").Err())
	require.EqualValues(t, 1, asked.Load())
	p.CutAll()
}

func TestWhatIsNotTheProtocolEndsTheConnection(t *testing.T) {
	p, _, _ := start(t)
	c, err := net.Dial("tcp", p.Addr())
	require.NoError(t, err)
	defer c.Close()
	_, err = c.Write([]byte("*1\r\n$nonsense\r\n"))
	require.NoError(t, err)
	_, err = io.ReadAll(c)
	require.NoError(t, err, "closed")
}
