package redisstore_test

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/redistest"
	"github.com/durablestate/durable/internal/testkit"
)

// hook is what a program adds to its client; it does wrong as often as it is told.
type hook struct {
	times atomic.Int64
	wrong func()
}

func (h *hook) meets() {
	if h.times.Add(-1) >= 0 {
		h.wrong()
	}
}

func (h *hook) DialHook(next redis.DialHook) redis.DialHook { return next }
func (h *hook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error { h.meets(); return next(ctx, cmd) }
}
func (h *hook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error { h.meets(); return next(ctx, cmds) }
}

func TestAHookOfTheClientThatDoesNotReturnCostsThatCallOnly(t *testing.T) {
	s := redistest.Shared(t)
	for name, wrong := range map[string]func(){"panic": func() { panic("boom") }, "goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			o, err := redis.ParseURL(s.URL())
			require.NoError(t, err)
			client := redis.NewClient(o)
			defer client.Close()
			h := &hook{wrong: wrong}
			client.AddHook(h)
			a, err := durable.NewRedisAdapter(client, &durable.RedisOptions{KeyPrefix: t.Name() + ":"})
			require.NoError(t, err)
			defer a.Close()
			h.times.Store(2)
			p := testkit.Start(t, a, nil)
			for range 3 {
				h.times.Store(1)
				_ = p.Words.Commit(t.Context(), func(c *testkit.Counts) { c.Words["x"]++ })
				require.NoError(t, p.Words.Commit(t.Context(), func(c *testkit.Counts) { c.Words["x"]++ }))
			}
			h.times.Store(1)
			require.NoError(t, p.Close())
		})
	}
}

func TestAHookThatDoesNotReturnIsTheErrorOfAList(t *testing.T) {
	s := redistest.Shared(t)
	for name, wrong := range map[string]func(){"panic": func() { panic("boom") }, "goexit": runtime.Goexit} {
		for _, prompt := range []bool{false, true} {
			o, err := redis.ParseURL(s.URL())
			require.NoError(t, err)
			o.ContextTimeoutEnabled = prompt
			client := redis.NewClient(o)
			h := &hook{wrong: wrong}
			client.AddHook(h)
			a, err := durable.NewRedisAdapter(client, &durable.RedisOptions{KeyPrefix: t.Name() + ":"})
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			h.times.Store(1)
			var found error
			for _, err := range a.ListComponents(ctx) {
				found = err
			}
			require.ErrorContains(t, found, "the Redis client", name)
			h.times.Store(1)
			findings, err := a.Audit(ctx)
			require.ErrorContains(t, err, "the Redis client", "%v", findings)
			require.NoError(t, ctx.Err())
			cancel()
			require.NoError(t, a.Close())
			require.NoError(t, client.Close())
		}
	}
}
