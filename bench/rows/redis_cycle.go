package rows

import (
	"encoding/json"
	"fmt"

	"github.com/durablestate/durable/bench/measure"
	"github.com/durablestate/durable/bench/peers/peer"
)

// redisCycle measures a whole checkpoint cycle over many components, of which
// all, 1 % or none changed.
func (b *Bench) redisCycle() error {
	r, err := b.plainRedis()
	if err != nil {
		return err
	}
	defer r.close()
	if err := r.empty(); err != nil {
		return err
	}
	n := b.n(100_000, 200)
	h := newByHand(r, n, 1024)
	typed, err := typedFleet(b.ctx, r.adapter, "typed", n, 1024)
	if err != nil {
		return err
	}
	binary, err := binaryFleet(b.ctx, r.adapter, "binary", n, 1024)
	if err != nil {
		return err
	}
	maps, err := mapFleet(b.ctx, r.adapter, "map", n, 1024)
	if err != nil {
		return err
	}
	// as many bytes as the states with MarshalState have, with their headers
	bare := newBareSaves(r, "bare", n, 640)
	base := "json.Marshal(map) + SETEX, all, one by one"
	cases := []measure.Case{
		{Name: base, Ops: n, Prepare: every(1, h.change), Run: h.loop},
		{Name: "the same in pipelines of 100", Ops: n, Prepare: every(1, h.change), Run: h.pipelined(100)},
		{Name: oursTyped, Ops: n, Ours: true, Prepare: every(1, typed.change), Run: typed.checkpoint(b.ctx)},
		{Name: oursBinary, Ops: n, Ours: true, Prepare: every(1, binary.change), Run: binary.checkpoint(b.ctx)},
		{Name: oursMap, Ops: n, Ours: true, Prepare: every(1, maps.change), Run: maps.checkpoint(b.ctx)},
		{Name: oursBinary + ", 1 % changed", Ops: n, Ours: true, Prepare: every(100, binary.change), Run: binary.checkpoint(b.ctx)},
		{Name: redisLimit, Ops: n, Prepare: every(1, bare.change), Run: bare.cycle},
		{Name: oursBinary + ", none changed", Ops: n, Ours: true, Run: binary.checkpoint(b.ctx)},
	}
	if b.Batcher != nil {
		set, err := b.Batcher(r.addr)
		if err != nil {
			return err
		}
		cases = append(cases, measure.Case{Name: "json.Marshal(map), rueidis DoMulti of 100", Ops: n, Prepare: every(1, h.change), Run: h.batched(100, set)})
	}
	// A first cycle claims and writes everything for the first time.
	if err := inOrder(typed.checkpoint(b.ctx), binary.checkpoint(b.ctx), maps.checkpoint(b.ctx)); err != nil {
		return err
	}
	t, err := b.table(fmt.Sprintf("Redis, no persistence, a cycle over %d components of 1 KB (time for each component)", n), false, cases...)
	if err != nil {
		return err
	}
	b.claimRedisCycle(t, base)
	return inOrder(typed.cp.Close, binary.cp.Close, maps.cp.Close, r.empty)
}

// inOrder takes steps until one fails.
func inOrder(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (b *Bench) claimRedisCycle(t *measure.Table, base string) {
	loop := "the loop over a map by hand"
	b.claim(3, "Redis, cycle over 100,000 changed components, typed state as JSON", 6, loop, t.Ratio(base, oursTyped))
	b.claim(3, "… typed state with MarshalState", 15, loop, t.Ratio(base, oursBinary))
	b.claim(3, "… `map[string]any`", 4, loop, t.Ratio(base, oursMap))
	b.claim(4, "… with 1 % changed", 500, loop, t.Ratio(base, oursBinary+", 1 % changed"))
	b.limit(4, "… for each unchanged component", 150, "ns", t.Find(oursBinary+", none changed").Time())
}

// batched is loop through a client that sends n at a time.
func (h *byHand) batched(n int, set peer.SetMany) func() error {
	return func() error {
		keys, values := make([]string, 0, n), make([][]byte, 0, n)
		for i, m := range h.maps {
			data, err := json.Marshal(m)
			if err != nil {
				return err
			}
			keys, values = append(keys, h.key(i)), append(values, data)
			if len(keys) == n || i == len(h.maps)-1 {
				if err := set(keys, values, ttl); err != nil {
					return err
				}
				keys, values = keys[:0], values[:0]
			}
		}
		return nil
	}
}
