package rows

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"sync"
	"time"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/bench/chart"
	"github.com/durablestate/durable/bench/measure"
	"github.com/durablestate/durable/bench/report"
	"github.com/durablestate/durable/bench/state"
)

// A writer is a component of a program that goes on working: change makes one
// small change and checkpoint saves the state.
type writer struct {
	name       string
	change     func()
	checkpoint func() error
	close      func() error
	ours       bool
}

// pause measures how long a writer waits at most while a large state is
// checkpointed.
func (b *Bench) pause() error {
	fmt.Fprintln(b.Log, "  longest pause of a writer")
	size := b.n(100*state.MB, 100*state.KB)
	dir, err := b.newDir()
	if err != nil {
		return err
	}
	a, err := durable.NewFileAdapter(dir, &durable.FileOptions{Keep: 1})
	if err != nil {
		return err
	}
	defer a.Close()
	writers, err := b.writers(a, size)
	if err != nil {
		return err
	}
	rows := make([]pauseRow, len(writers))
	for round := range b.Rounds {
		for i := range writers {
			i = (i + round) % len(writers)
			runtime.GC()
			p, took, err := longestPause(writers[i])
			if err != nil {
				return fmt.Errorf("%s: %w", writers[i].name, err)
			}
			r := &rows[i]
			r.pauses, r.took = append(r.pauses, float64(p)), append(r.took, float64(took))
		}
	}
	for i, w := range writers {
		rows[i].writer = w
		if err := w.close(); err != nil {
			return err
		}
	}
	return b.reportPauses(rows, size)
}

type pauseRow struct {
	*writer
	pauses, took []float64 // nanoseconds, by round
}

const (
	pauseHand   = "json.Marshal under a plain mutex, then a file by hand"
	pauseClone  = "durable, Clone"
	pauseBinary = "durable, MarshalState under the lock"
	pauseJSON   = "durable, as JSON under the lock"
	pauseMaps   = "durable, map of immutable values, Clone is maps.Clone"
	pauseSwap   = "durable, immutable state behind a pointer, Clone copies the pointer"
)

// longestPause checkpoints w while a writer works and returns the longest time
// that one change took, and how long the checkpoint took.
func longestPause(w *writer) (longest, took time.Duration, err error) {
	w.change()
	stop, done := make(chan struct{}), make(chan struct{})
	ready := make(chan struct{})
	go func() {
		defer close(done)
		close(ready)
		for {
			select {
			case <-stop:
				return
			default:
			}
			start := time.Now()
			w.change()
			longest = max(longest, time.Since(start))
		}
	}()
	<-ready
	start := time.Now()
	err = w.checkpoint()
	took = time.Since(start)
	close(stop)
	<-done
	return longest, took, err
}

// writers returns the ways to keep a state of size bytes, that by hand first.
func (b *Bench) writers(a durable.StateAdapter, size int) (list []*writer, err error) {
	add := func(w *writer, e error) { list, err = append(list, w), errors.Join(err, e) }
	shared := state.New(size, 1)
	add(b.handWriter(size))
	add(newWriter(b, a, pauseJSON, state.New(size, 1), func(s *state.State) { s.Count++ }))
	add(newWriter(b, a, pauseClone, state.Cloned(state.New(size, 1)), func(s *state.Cloned) { s.Count++ }))
	add(newWriter(b, a, pauseBinary, state.Binary(state.New(size, 1)), func(s *state.Binary) { s.Count++ }))
	add(newWriter(b, a, pauseMaps, newBook(size), (*book).change))
	add(newWriter(b, a, pauseSwap, page{&shared}, (*page).change))
	return list, err
}

func newWriter[T any](b *Bench, a durable.StateAdapter, name string, initial T, change func(*T)) (*writer, error) {
	b.dirs++
	f, err := newFleet(b.ctx, a, fmt.Sprintf("pause-%d", b.dirs), 1, func(int) T { return initial }, change)
	if err != nil {
		return nil, err
	}
	c := f.comps[0]
	return &writer{name: name, ours: true, change: func() { c.Update(change) }, checkpoint: f.checkpoint(b.ctx), close: f.cp.Close}, nil
}

func (b *Bench) handWriter(size int) (*writer, error) {
	dir, err := b.newDir()
	s := state.New(size, 1)
	var mu sync.Mutex
	marshal := func() ([]byte, error) {
		mu.Lock()
		defer mu.Unlock()
		return json.Marshal(&s)
	}
	return &writer{
		name: pauseHand,
		change: func() {
			mu.Lock()
			s.Count++
			mu.Unlock()
		},
		checkpoint: func() error {
			data, err := marshal()
			if err != nil {
				return err
			}
			return writeDurably(dir, "state", data)
		},
		close: func() error { return nil },
	}, err
}

// A book keeps immutable orders in a map: a change replaces one, so that a copy
// of the map is a copy of the state.
type book struct {
	Count  int64                   `json:"count"`
	Orders map[string]*state.Order `json:"orders"`
}

func newBook(size int) book {
	s := state.New(size, 1)
	b := book{Orders: make(map[string]*state.Order, len(s.Orders))}
	for i := range s.Orders {
		b.Orders[s.Orders[i].ID] = &s.Orders[i]
	}
	return b
}

func (b *book) Clone() book { return book{b.Count, maps.Clone(b.Orders)} }

func (b *book) change() {
	b.Count++
	const id = "order-00000003"
	o := *b.Orders[id]
	o.Quantity++
	b.Orders[id] = &o
}

// A page is an immutable state behind a pointer: a change makes a new one.
type page struct {
	*state.State
}

func (p *page) Clone() page { return *p }

func (p *page) change() {
	s := *p.State // shares what does not change
	s.Count++
	p.State = &s
}

func (b *Bench) reportPauses(rows []pauseRow, size int) error {
	s := report.Section{
		Title: fmt.Sprintf("Longest pause of a writer while a state of %s is checkpointed to a file", sizeName(size)), Scale: "milliseconds",
		Text: "| case | longest pause | min..max | times shorter | checkpoint takes |\n| --- | --- | --- | --- | --- |\n",
	}
	base := rows[0].pauses
	ratios := map[string]measure.Spread{}
	for _, r := range rows {
		var shorter []float64
		for i, p := range r.pauses {
			shorter = append(shorter, base[i]/max(1, p))
		}
		ratios[r.name] = measure.SpreadOf(shorter)
	}
	for _, r := range rows {
		name := r.name
		if r.ours {
			name = "**" + name + "**"
		}
		pause, took := measure.SpreadOf(r.pauses), measure.SpreadOf(r.took)
		s.Bars = append(s.Bars, chart.Bar{Name: r.name, Value: pause.Median / 1e6, Label: report.Nanoseconds(pause.Median), Ours: r.ours})
		s.Text += fmt.Sprintf("| %s | %s | %s..%s | %.1f | %s |\n", name, report.Nanoseconds(pause.Median), report.Nanoseconds(pause.Min), report.Nanoseconds(pause.Max), ratios[r.name].Median, report.Nanoseconds(took.Median))
	}
	b.Report.Add(s)
	const against = "json.Marshal under the lock"
	b.claim(14, "longest pause of writers, 100 MB typed struct, Clone", 5, against, ratios[pauseClone])
	b.claim(14, "… MarshalState under the lock", 5, against, ratios[pauseBinary])
	return nil
}
