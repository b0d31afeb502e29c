package rows

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/bench/chart"
	"github.com/durablestate/durable/bench/measure"
	"github.com/durablestate/durable/bench/report"
	"github.com/durablestate/durable/bench/state"
)

// memoryKinds are the ways to get a large state into a file, that by hand first.
var memoryKinds = []struct{ kind, name string }{
	{"hand", "json.Marshal, then the protocol by hand"},
	{"json", oursTyped},
	{"clone", "durable, typed state as JSON, with Clone"},
	{"binary", oursBinary},
}

// memory measures how much more memory a process needs at its peak while a large
// state is saved to a file.
func (b *Bench) memory() error {
	if resetPeak() != nil {
		b.Report.Add(report.Section{Text: "Row 15 was skipped: it needs Linux's /proc/self/clear_refs."})
		return nil
	}
	size := b.n(256*state.MB, state.MB)
	fmt.Fprintf(b.Log, "  peak memory of saving %s\n", sizeName(size))
	dir, err := b.newDir()
	if err != nil {
		return err
	}
	var kinds [][]string
	for _, k := range memoryKinds {
		kinds = append(kinds, []string{"memory", k.kind, dir, strconv.Itoa(size)})
	}
	found, err := b.children(kinds...)
	if err != nil {
		return err
	}
	s := report.Section{
		Title: fmt.Sprintf("Peak memory while a state of %s is saved to a file", sizeName(size)), Scale: "MB",
		Text: "| case | peak extra memory | min..max | of that by hand | time |\n| --- | --- | --- | --- | --- |\n",
	}
	parts := map[string]measure.Spread{}
	for i, k := range memoryKinds {
		var part []float64
		for round := range found[i] {
			part = append(part, found[i][round]["extra"]/max(1, found[0][round]["extra"]))
		}
		parts[k.kind] = measure.SpreadOf(part)
		extra := spreadOf(found[i], "extra")
		s.Bars = append(s.Bars, chart.Bar{Name: k.name, Value: extra.Median / state.MB, Label: megabytes(extra.Median), Ours: i > 0})
		s.Text += fmt.Sprintf("| %s | %s | %s..%s | %.2f | %s |\n", k.name, megabytes(extra.Median), megabytes(extra.Min), megabytes(extra.Max),
			parts[k.kind].Median, report.Nanoseconds(spreadOf(found[i], "took").Median))
	}
	b.Report.Add(s)
	b.limit(15, "a 256 MB state to a file: peak extra memory as a part of that of json.Marshal and write, MarshalState", 0.5, "", parts["binary"])
	b.limit(15, "… typed state as JSON", 0.5, "", parts["json"])
	return nil
}

func megabytes(v float64) string { return fmt.Sprintf("%.0f MB", v/state.MB) }

// childMemory saves a state: args are how, the directory and the size.
func childMemory(ctx context.Context, args []string) (facts, error) {
	size, err := number(args, 2)
	if err != nil {
		return nil, err
	}
	save, err := memorySaver(ctx, args[0], args[1], size)
	if err != nil {
		return nil, err
	}
	debug.FreeOSMemory()
	before := resident("VmRSS")
	if err := resetPeak(); err != nil {
		return nil, err
	}
	start := time.Now()
	err = save()
	took := time.Since(start)
	return facts{"extra": resident("VmHWM") - before, "took": float64(took)}, err
}

func memorySaver(ctx context.Context, kind, dir string, size int) (save func() error, err error) {
	if kind == "hand" {
		s := state.New(size, 1)
		return func() error {
			data, err := json.Marshal(&s)
			if err != nil {
				return err
			}
			return writeDurably(dir, "state", data)
		}, nil
	}
	a, err := durable.NewFileAdapter(dir+"/"+kind, &durable.FileOptions{Keep: 1})
	if err != nil {
		return nil, err
	}
	switch kind {
	case "json":
		return memoryFleet(ctx, a, state.New(size, 1), (*state.State).Touch)
	case "clone":
		return memoryFleet(ctx, a, state.Cloned(state.New(size, 1)), (*state.Cloned).Touch)
	case "binary":
		return memoryFleet(ctx, a, state.Binary(state.New(size, 1)), (*state.Binary).Touch)
	}
	return nil, fmt.Errorf("no such way: %q", kind)
}

// memoryFleet has one component with its initial state, which a Restore would
// replace by what an earlier round left; so every process has a system of its own.
func memoryFleet[T any](ctx context.Context, a durable.StateAdapter, initial T, touch func(*T)) (func() error, error) {
	f, err := newFleet(ctx, a, "memory-"+strconv.FormatInt(time.Now().UnixNano(), 36), 1, func(int) T { return initial }, touch)
	if err != nil {
		return nil, err
	}
	_ = f.change(0, 1)
	return f.checkpoint(ctx), nil
}
