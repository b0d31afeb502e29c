package rows

import (
	"fmt"

	"github.com/durablestate/durable/bench/measure"
	"github.com/durablestate/durable/bench/redisd"
	"github.com/durablestate/durable/bench/state"
)

const (
	handMap    = "json.Marshal(map) + SETEX"
	handStruct = "json.Marshal(struct) + SETEX"
	handCAS    = "json.Marshal(map) + GET, WATCH/MULTI"
	oursTyped  = "durable, typed state as JSON"
	oursBinary = "durable, typed state with MarshalState"
	oursMap    = "durable, map[string]any"
)

// redisSingle measures one component after the other.
func (b *Bench) redisSingle() error {
	for _, s := range []struct {
		name, title string
		args        []string
	}{
		{"plain", "no persistence", redisd.NoPersistence},
		{"everysec", "AOF everysec", redisd.AOFEverySec},
		{"always", "AOF always", redisd.AOFAlways},
	} {
		r, err := b.redis(s.name, s.args)
		if err != nil {
			return err
		}
		for _, size := range b.sizes() {
			t, err := b.redisOneByOne(r, s.title, size)
			if err != nil {
				return err
			}
			if s.name == "plain" && size == state.KB {
				b.claim(1, "Redis, one component after the other, typed struct, fenced, TTL, generations, checksum", 0.9, "marshal the map + SETEX by hand", t.Ratio(handMap, oursTyped))
				b.claim(2, "the same", 2.5, "compare-and-set by hand", t.Ratio(handCAS, oursTyped))
			}
		}
		r.close()
	}
	return nil
}

// sizes are those of the states; the larger ones are left out of a quick run.
func (b *Bench) sizes() []int {
	if b.Quick {
		return []int{state.KB}
	}
	return []int{state.KB, 16 * state.KB, state.MB}
}

func (b *Bench) redisOneByOne(r *redisBench, server string, size int) (*measure.Table, error) {
	const comps = 16
	h := newByHand(r, comps, size)
	for i := range comps {
		h.typed = append(h.typed, state.New(size, i))
	}
	system := fmt.Sprint("single", size)
	typed, err := typedFleet(b.ctx, r.adapter, system+"typed", comps, size)
	if err != nil {
		return nil, err
	}
	binary, err := binaryFleet(b.ctx, r.adapter, system+"binary", comps, size)
	if err != nil {
		return nil, err
	}
	n := b.n(1500, 10)
	if size > state.KB {
		n = b.n(400, 5)
	}
	if size == state.MB {
		n = b.n(20, 2)
	}
	t, err := b.table(fmt.Sprintf("Redis, %s, %s states, one component after the other", server, sizeName(size)), false,
		measure.Case{Name: handMap, Ops: n, Run: h.each(n, h.setMap)},
		measure.Case{Name: handStruct, Ops: n, Run: h.each(n, h.setStruct)},
		measure.Case{Name: handCAS, Ops: n, Run: h.each(n, h.compareAndSet)},
		measure.Case{Name: oursTyped, Ops: n, Ours: true, Run: typed.commits(b.ctx, n)},
		measure.Case{Name: oursBinary, Ops: n, Ours: true, Run: binary.commits(b.ctx, n)},
	)
	if err != nil {
		return nil, err
	}
	if err := typed.cp.Close(); err != nil {
		return nil, err
	}
	return t, binary.cp.Close()
}

func sizeName(size int) string {
	switch {
	case size >= state.MB:
		return fmt.Sprintf("%d MB", size/state.MB)
	default:
		return fmt.Sprintf("%d KB", size/state.KB)
	}
}
