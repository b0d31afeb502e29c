package rows

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/bench/measure"
	"github.com/durablestate/durable/bench/redisd"
	"github.com/durablestate/durable/bench/state"
)

// redisAlways measures a server that syncs every commit to its disk.
func (b *Bench) redisAlways() error {
	r, err := b.redis("always", redisd.AOFAlways)
	if err != nil {
		return err
	}
	defer r.close()
	n := b.n(1000, 20)
	values := make([][]byte, n)
	for i := range values {
		values[i] = value(state.KB, i)
	}
	f, err := rawFleet(b.ctx, r.adapter, "always", n, state.KB)
	if err != nil {
		return err
	}
	round := 0
	change := func() error { round++; return f.change(round, 1) }
	if err := errors.Join(change(), f.cp.Checkpoint(b.ctx)); err != nil {
		return err
	}
	set := func(c redis.Cmdable, i int) *redis.StatusCmd {
		bump(values[i])
		return c.Set(b.ctx, "always:"+componentID(i), values[i], ttl)
	}
	loop := func() error {
		for i := range n {
			if err := set(r.client, i).Err(); err != nil {
				return err
			}
		}
		return nil
	}
	pipeline := func() error {
		_, err := r.client.Pipelined(b.ctx, func(p redis.Pipeliner) error {
			for i := range n {
				set(p, i)
			}
			return nil
		})
		return err
	}
	bare := newBareSaves(r, "bare", n, state.KB+200) // and a header
	base, ours := "SETEX of the same bytes, one by one", "durable, a cycle over all"
	t, err := b.table(fmt.Sprintf("Redis, AOF always, %d states of 1 KB of bytes", n), true,
		measure.Case{Name: base, Ops: n, Run: loop},
		measure.Case{Name: "SETEX in one pipeline", Ops: n, Run: pipeline},
		measure.Case{Name: redisLimit, Ops: n, Prepare: every(1, bare.change), Run: bare.cycle},
		measure.Case{Name: ours, Ops: n, Ours: true, Prepare: change, Run: f.checkpoint(b.ctx)},
	)
	if err != nil {
		return err
	}
	b.claim(5, "Redis with `appendfsync always`, 1,000 components", 20, "SETEX of the same bytes one by one", t.Ratio(base, ours))
	return f.cp.Close()
}

// fencedSet is a compare-and-set as programs write it: the value is an argument
// of the script, its version a field beside it.
var fencedSet = redis.NewScript(`
local version = redis.call('HGET', KEYS[1], 'version')
if version and tonumber(version) >= tonumber(ARGV[1]) then return redis.error_reply('STALE') end
redis.call('HSET', KEYS[1], 'version', ARGV[1], 'data', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 'OK'`)

// redisLarge measures fenced saves of large values.
func (b *Bench) redisLarge() error {
	r, err := b.plainRedis()
	if err != nil {
		return err
	}
	defer r.close()
	n, data, version := b.n(40, 2), value(state.MB, 1), uint64(0)
	if err := fencedSet.Load(b.ctx, r.client).Err(); err != nil {
		return err
	}
	repeat := func(save func() error) func() error {
		return func() error {
			for range n {
				bump(data)
				version++
				if err := save(); err != nil {
					return err
				}
			}
			return nil
		}
	}
	script := func() error {
		return fencedSet.EvalSha(b.ctx, r.client, []string{"large:script"}, strconv.FormatUint(version, 10), data, int(ttl.Seconds())).Err()
	}
	plain := func() error { return r.client.Set(b.ctx, "large:plain", data, ttl).Err() }
	ours := func() error {
		ctx, cancel := context.WithTimeout(b.ctx, 10*time.Second) // as a Checkpointer does
		defer cancel()
		return r.adapter.SaveState(ctx, "large", &durable.Snapshot{Epoch: 1, Version: version, Data: data})
	}
	const base, name = "EVALSHA with the value as argument", "durable, fenced save"
	t, err := b.table("Redis, no persistence, 1 MB of bytes, compare-and-set", false,
		measure.Case{Name: base, Ops: n, Run: repeat(script)},
		measure.Case{Name: "SETEX (compares nothing)", Ops: n, Run: repeat(plain)},
		measure.Case{Name: name, Ops: n, Ours: true, Run: repeat(ours)},
	)
	if err != nil {
		return err
	}
	b.claim(6, "Redis, fenced save of 1 MB of bytes", 3.5, "EVALSHA with the value as argument", t.Ratio(base, name))
	return nil
}

// redisRestore measures how fast a program has its states back.
func (b *Bench) redisRestore() error {
	r, err := b.plainRedis()
	if err != nil {
		return err
	}
	defer r.close()
	if err := r.empty(); err != nil {
		return err
	}
	n := b.n(10_000, 50)
	h := newByHand(r, n, state.KB)
	if err := h.loop(); err != nil {
		return err
	}
	h.maps = nil
	typed, err := newRestorer(b.ctx, "restoretyped", n, func(system string, n int) (*fleet[state.State], error) {
		return typedFleet(b.ctx, r.adapter, system, n, state.KB)
	})
	if err != nil {
		return err
	}
	binary, err := newRestorer(b.ctx, "restorebinary", n, func(system string, n int) (*fleet[state.Binary], error) {
		return binaryFleet(b.ctx, r.adapter, system, n, state.KB)
	})
	if err != nil {
		return err
	}
	const base, json, own = "GET + json.Unmarshal to a map, one by one", "durable, Restore, typed state as JSON", "durable, Restore, UnmarshalState"
	t, err := b.table(fmt.Sprintf("Redis, no persistence, restore of %d states of 1 KB (time for each)", n), false,
		measure.Case{Name: base, Ops: n, Run: h.restore(n)},
		measure.Case{Name: json, Ops: n, Ours: true, Prepare: typed.prepare(r.adapter), Run: typed.run},
		measure.Case{Name: own, Ops: n, Ours: true, Prepare: binary.prepare(r.adapter), Run: binary.run},
	)
	if err != nil {
		return err
	}
	b.claim(7, "Redis, restore of 10,000 components as JSON", 4, "GET + unmarshal one by one", t.Ratio(base, json))
	b.claim(7, "… with UnmarshalState", 12, "GET + unmarshal one by one", t.Ratio(base, own))
	return errors.Join(typed.cp.Close(), binary.cp.Close())
}

// A restorer restores the same components again and again, each time with a new
// Checkpointer that takes them over from the one before.
type restorer[T any] struct {
	ctx    context.Context
	system string
	n      int
	cp     *durable.Checkpointer
}

// newRestorer stores n states, which fill makes.
func newRestorer[T any](ctx context.Context, system string, n int, fill func(system string, n int) (*fleet[T], error)) (*restorer[T], error) {
	f, err := fill(system, n)
	if err != nil {
		return nil, err
	}
	_ = f.change(0, 1)
	return &restorer[T]{ctx, system, n, f.cp}, f.cp.Checkpoint(ctx)
}

func (r *restorer[T]) prepare(a durable.StateAdapter) func() error {
	return func() error {
		if err := r.cp.Close(); err != nil {
			return err
		}
		r.cp = durable.New(a, &durable.Options{System: r.system, Logger: discard})
		for i := range r.n {
			if err := r.cp.Register(componentID(i), &durable.StatefulComponent[T]{}); err != nil {
				return err
			}
		}
		return nil
	}
}

func (r *restorer[T]) run() error {
	report, err := r.cp.Restore(r.ctx)
	for _, res := range report.Results {
		if err == nil && res.Outcome != durable.Restored {
			return fmt.Errorf("%s was not restored: %s %w", res.ComponentID, res.Outcome, res.Err)
		}
	}
	return err
}
