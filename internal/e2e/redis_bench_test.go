package e2e_test

import (
	"context"
	varint "encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/redistest"
)

// The benchmarks of this file set the adapter beside what is written by hand:
// json.Marshal of a map and SETEX, one component after the other. Each does both
// in turn, with changed bytes, and reports the median of the ratios of time, by
// hand to ours, as "x". Run them with -benchtime 1x.

const benchRounds = 5

// benchState is about 1 KB as JSON.
type benchState struct {
	N       int            `json:"n"`
	Orders  []benchOrder   `json:"orders"`
	Offsets map[string]int `json:"offsets"`
}

type benchOrder struct {
	ID    string  `json:"id"`
	Qty   int     `json:"qty"`
	Price float64 `json:"price"`
}

func (s *benchState) fill() {
	s.Offsets = map[string]int{}
	for i := range 14 {
		s.Orders = append(s.Orders, benchOrder{fmt.Sprintf("order-%d", i*7919), i * 13, float64(i) * 1.37})
	}
	for i := range 16 {
		s.Offsets[fmt.Sprintf("topic-%d", i)] = i * 104729
	}
}

// benchBinary is the same with an encoding of its own.
type benchBinary struct{ benchState }

func (s *benchBinary) MarshalState() ([]byte, error) {
	b := varint.AppendVarint(make([]byte, 0, 512), int64(s.N))
	b = varint.AppendUvarint(b, uint64(len(s.Orders)))
	for _, o := range s.Orders {
		b = append(varint.AppendUvarint(b, uint64(len(o.ID))), o.ID...)
		b = varint.AppendVarint(b, int64(o.Qty))
		b = varint.AppendVarint(b, int64(o.Price*100))
	}
	for k, v := range s.Offsets {
		b = append(varint.AppendUvarint(b, uint64(len(k))), k...)
		b = varint.AppendVarint(b, int64(v))
	}
	return b, nil
}

func (s *benchBinary) UnmarshalState(b []byte) error {
	number := func() int64 { v, n := varint.Varint(b); b = b[max(n, 0):]; return v }
	text := func() string {
		l, n := varint.Uvarint(b)
		t := string(b[n : n+int(l)])
		b = b[n+int(l):]
		return t
	}
	s.N = int(number())
	l, n := varint.Uvarint(b)
	b = b[n:]
	s.Orders = make([]benchOrder, l)
	for i := range s.Orders {
		s.Orders[i] = benchOrder{ID: text(), Qty: int(number()), Price: float64(number()) / 100}
	}
	s.Offsets = make(map[string]int, 16)
	for len(b) > 0 {
		k := text()
		s.Offsets[k] = int(number())
	}
	return nil
}

func benchMap() map[string]any {
	var s benchState
	s.fill()
	b, _ := json.Marshal(s)
	var m map[string]any
	_ = json.Unmarshal(b, &m)
	return m
}

// ratio runs byHand and ours in turn and reports how often ours fits into byHand.
func ratio(b *testing.B, n int, byHand, ours func()) {
	b.Helper()
	byHand()
	ours()
	var ratios, times []float64
	for b.Loop() {
		for range benchRounds {
			h, o := elapsed(byHand), elapsed(ours)
			ratios, times = append(ratios, float64(h)/float64(o)), append(times, float64(o)/float64(n)/1e3)
		}
	}
	slices.Sort(ratios)
	slices.Sort(times)
	b.ReportMetric(ratios[len(ratios)/2], "x")
	b.ReportMetric(times[len(times)/2], "µs/component")
	b.ReportMetric(0, "ns/op")
}

func elapsed(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}

// A benchServer is a server of its own, a plain client and an adapter.
type benchServer struct {
	*testing.B
	client  *redis.Client
	adapter *durable.RedisAdapter
}

func newBenchServer(b *testing.B, args ...string) *benchServer {
	s := redistest.Start(b, args...)
	a, err := durable.OpenRedisAdapter(b.Context(), s.URL(), &durable.RedisOptions{TTL: time.Hour})
	must(b, err)
	b.Cleanup(func() { must(b, a.Close()) })
	return &benchServer{b, s.Client(b), a}
}

func must(tb testing.TB, err error) {
	if err != nil {
		tb.Helper()
		tb.Fatal(err)
	}
}

// byHand is the loop that everybody writes, over n changed components.
func (s *benchServer) byHand(n int) func() {
	m, round := benchMap(), 0
	return func() {
		round++
		for i := range n {
			m["n"] = round
			v, err := json.Marshal(m)
			must(s, err)
			must(s, s.client.Set(context.Background(), fmt.Sprintf("hand:%d", i), v, time.Hour).Err())
		}
	}
}

// cas is compare-and-set by hand.
func (s *benchServer) cas(n int) func() {
	m, round := benchMap(), 0
	ctx := context.Background()
	return func() {
		round++
		for i := range n {
			key := fmt.Sprintf("cas:%d", i)
			must(s, s.client.Watch(ctx, func(tx *redis.Tx) error {
				if err := tx.Get(ctx, key).Err(); err != nil && !errors.Is(err, redis.Nil) {
					return err
				}
				m["n"] = round
				v, err := json.Marshal(m)
				must(s, err)
				_, err = tx.TxPipelined(ctx, func(p redis.Pipeliner) error { return p.Set(ctx, key, v, time.Hour).Err() })
				return err
			}, key))
		}
	}
}

// cycle registers n components and returns what changes and checkpoints them all.
func (s *benchServer) cycle(n int, state func() (durable.Component, func(round int))) func() {
	cp := durable.New(s.adapter, &durable.Options{Interval: time.Hour, CloseTimeout: time.Minute, Logger: slog.New(slog.DiscardHandler)})
	changes := make([]func(int), n)
	for i := range n {
		var c durable.Component
		c, changes[i] = state()
		must(s, cp.Register(fmt.Sprintf("c%d", i), c))
	}
	_, err := cp.Restore(s.Context())
	must(s, err)
	s.Cleanup(func() { must(s, cp.Close()) })
	round := 0
	return func() {
		round++
		for _, change := range changes {
			change(round)
		}
		must(s, cp.Checkpoint(s.Context()))
	}
}

func typedJSON() (durable.Component, func(int)) {
	c := new(durable.StatefulComponent[benchState])
	c.Update(func(s *benchState) { s.fill() })
	return c, func(n int) { c.Update(func(s *benchState) { s.N = n }) }
}

func typedBinary() (durable.Component, func(int)) {
	c := new(durable.StatefulComponent[benchBinary])
	c.Update(func(s *benchBinary) { s.fill() })
	return c, func(n int) { c.Update(func(s *benchBinary) { s.N = n }) }
}

func untyped() (durable.Component, func(int)) {
	c := new(durable.StatefulComponent[map[string]any])
	c.Update(func(m *map[string]any) { *m = benchMap() })
	return c, func(n int) { c.Update(func(m *map[string]any) { (*m)["n"] = n }) }
}

// One typed component after the other, encoded and saved under its fence.
func (s *benchServer) sequential(n int) func() {
	var state benchBinary
	state.fill()
	version := uint64(0)
	return func() {
		version++
		for i := range n {
			state.N = int(version)
			data, _ := state.MarshalState()
			must(s, s.adapter.SaveState(context.Background(), fmt.Sprint("seq", i), &durable.Snapshot{Epoch: 1, Version: version, Codec: "binary", Data: data}))
		}
	}
}

func BenchmarkRedisSequential(b *testing.B) {
	const n = 3000
	b.Run("SETEX", func(b *testing.B) {
		s := newBenchServer(b)
		ratio(b, n, s.byHand(n), s.sequential(n))
	})
	b.Run("WATCH", func(b *testing.B) {
		s := newBenchServer(b)
		ratio(b, n, s.cas(n), s.sequential(n))
	})
}

func BenchmarkRedisCycle(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		for name, state := range map[string]func() (durable.Component, func(int)){"json": typedJSON, "binary": typedBinary, "map": untyped} {
			b.Run(fmt.Sprint(name, n), func(b *testing.B) {
				s := newBenchServer(b)
				ratio(b, n, s.byHand(n), s.cycle(n, state))
			})
		}
	}
}

// Everybody saves at once to a server that syncs before it answers.
func BenchmarkRedisSynced(b *testing.B) {
	const n = 1000
	s := newBenchServer(b, "--appendonly", "yes", "--appendfsync", "always")
	var state benchState
	state.fill()
	round := 0
	encoded := func() []byte { state.N = round; v, _ := json.Marshal(&state); return v }
	ratio(b, n, func() {
		round++
		v := encoded()
		for i := range n {
			must(b, s.client.Set(context.Background(), fmt.Sprintf("hand:%d", i), v, time.Hour).Err())
		}
	}, func() {
		round++
		v := encoded()
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				err := s.adapter.SaveState(context.Background(), fmt.Sprint("c", i), &durable.Snapshot{Epoch: 1, Version: uint64(round), Codec: "json", Data: v})
				if err != nil {
					b.Error(err)
				}
			})
		}
		wg.Wait()
	})
}

func BenchmarkRedisLarge(b *testing.B) {
	const n = 40
	s := newBenchServer(b)
	script := redis.NewScript(`redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) return 1`)
	data, round := make([]byte, 1<<20), 0
	change := func() { round++; varint.BigEndian.PutUint64(data[round*64:], uint64(round)) }
	ratio(b, n, func() {
		for range n {
			change()
			must(b, script.Run(context.Background(), s.client, []string{"hand"}, data, 3600000).Err())
		}
	}, func() {
		for range n {
			change()
			must(b, s.adapter.SaveState(context.Background(), "large", &durable.Snapshot{Epoch: 1, Version: uint64(round), Codec: "binary", Data: data}))
		}
	})
}

func BenchmarkRedisRestore(b *testing.B) {
	const n = 10_000
	for name, state := range map[string]func() (durable.Component, func(int)){"json": typedJSON, "binary": typedBinary} {
		b.Run(name, func(b *testing.B) {
			s := newBenchServer(b)
			s.byHand(n)()
			s.cycle(n, state)()
			cp := durable.New(s.adapter, &durable.Options{LeaseTTL: -1, Logger: slog.New(slog.DiscardHandler)})
			for i := range n {
				c, _ := state()
				must(b, cp.Register(fmt.Sprintf("c%d", i), c))
			}
			b.Cleanup(func() { _ = cp.Close() })
			ratio(b, n, func() {
				for i := range n {
					v, err := s.client.Get(context.Background(), fmt.Sprintf("hand:%d", i)).Bytes()
					must(b, err)
					var m map[string]any
					must(b, json.Unmarshal(v, &m))
				}
			}, func() {
				_, err := cp.Restore(b.Context())
				must(b, err)
			})
		})
	}
}
