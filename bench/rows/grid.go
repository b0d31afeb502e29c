package rows

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/bench/measure"
	"github.com/durablestate/durable/bench/redisd"
	"github.com/durablestate/durable/bench/report"
	"github.com/durablestate/durable/bench/state"
)

// A gridStore is one store with this library on it, and the loop that is written
// by hand for it.
type gridStore struct {
	name    string
	adapter durable.StateAdapter
	put     func(key string, data []byte) error
	close   func()
}

// grid measures a cycle over few and many, small and large components on every
// store. It makes no claim: it shows where the ratios come from.
func (b *Bench) grid() error {
	var text strings.Builder
	text.WriteString("| store | state | components | by hand, each | durable, each | times faster | min..max |\n| --- | --- | --- | --- | --- | --- | --- |\n")
	stores, err := b.gridStores()
	for i := 0; i < len(stores) && err == nil; i++ {
		for _, size := range b.sizes() {
			for _, n := range []int{1, 64, 1000} {
				if n*size <= 64*state.MB {
					err = errors.Join(err, b.gridLine(&text, stores[i], size, n))
				}
			}
		}
	}
	for _, s := range stores {
		s.close()
	}
	b.Report.Add(report.Section{Title: "A cycle over changed components on every store: json.Marshal(map) and a write by hand, one by one, against MarshalState", Text: text.String()})
	return err
}

func (b *Bench) gridStores() (stores []gridStore, err error) {
	for _, s := range []struct {
		name, title string
		args        []string
	}{
		{"plain", "Redis, no persistence", redisd.NoPersistence},
		{"everysec", "Redis, AOF everysec", redisd.AOFEverySec},
		{"always", "Redis, AOF always", redisd.AOFAlways},
	} {
		r, err := b.redis(s.name, s.args)
		if err != nil {
			return stores, err
		}
		stores = append(stores, gridStore{s.title, r.adapter, func(key string, data []byte) error {
			return r.client.Set(b.ctx, "grid:"+key, data, ttl).Err()
		}, r.close})
	}
	hand, err := b.newDir()
	if err != nil {
		return stores, err
	}
	ours, err := b.newDir()
	if err != nil {
		return stores, err
	}
	a, err := durable.NewFileAdapter(ours, nil)
	if err != nil {
		return stores, err
	}
	return append(stores, gridStore{"files", a, func(key string, data []byte) error {
		return writeDurably(hand, key, data)
	}, func() { _ = a.Close() }}), nil
}

func (b *Bench) gridLine(text *strings.Builder, s gridStore, size, n int) error {
	maps := make([]state.Map, n)
	for i := range maps {
		maps[i] = state.NewMap(size, i)
	}
	f, err := binaryFleet(b.ctx, s.adapter, fmt.Sprintf("grid-%d-%d", size, n), n, size)
	if err != nil {
		return err
	}
	cycles := max(1, b.n(8*state.MB, 1)/(size*n)) // a sample long enough to be measured
	cycles = min(cycles, 200)
	loop := func() error {
		for range cycles {
			for i, m := range maps {
				state.TouchMap(m)
				data, err := json.Marshal(m)
				if err == nil {
					err = s.put(componentID(i), data)
				}
				if err != nil {
					return err
				}
			}
		}
		return nil
	}
	ours := func() error {
		for range cycles {
			if err := errors.Join(f.change(0, 1), f.cp.Checkpoint(b.ctx)); err != nil {
				return err
			}
		}
		return nil
	}
	t, err := measure.Run(s.name, measure.Options{Rounds: b.Rounds},
		measure.Case{Name: "hand", Ops: n * cycles, Run: loop}, measure.Case{Name: "durable", Ops: n * cycles, Run: ours})
	if err != nil {
		return err
	}
	r := t.Ratio("hand", "durable")
	fmt.Fprintf(text, "| %s | %s | %d | %s | %s | %.1f | %.1f..%.1f |\n", s.name, sizeName(size), n,
		report.Nanoseconds(t.Find("hand").Time().Median), report.Nanoseconds(t.Find("durable").Time().Median), r.Median, r.Min, r.Max)
	return f.cp.Close()
}
