package rows

import (
	"context"
	"fmt"
	"strconv"
	"time"
	"unsafe"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/bench/measure"
	"github.com/durablestate/durable/bench/report"
)

// idle measures what a million registered components cost that do nothing.
func (b *Bench) idle() error {
	n, interval, window := b.n(1_000_000, 1000), 10*time.Second, 30*time.Second
	if b.Quick {
		interval, window = 50*time.Millisecond, 100*time.Millisecond
	}
	fmt.Fprintf(b.Log, "  %d idle components\n", n)
	found, err := b.children([]string{"idle", strconv.Itoa(n), interval.String(), window.String()})
	if err != nil {
		return err
	}
	bytes, cpu := spreadOf(found[0], "bytes"), spreadOf(found[0], "cpu")
	setUp, gc := spreadOf(found[0], "setup"), spreadOf(found[0], "gc")
	b.Report.Add(report.Section{Title: fmt.Sprintf("%d registered idle components", n), Text: fmt.Sprintf("| what | median | min..max |\n| --- | --- | --- |\n"+
		"| bytes for each beyond its state and its id | %.0f B | %.0f..%.0f |\n| CPU at an interval of %s, of one core | %.2f %% | %.2f..%.2f |\n"+
		"| Register, Restore and Start of all | %.2f s | %.2f..%.2f |\n| a full garbage collection | %.0f ms | %.0f..%.0f |\n",
		bytes.Median, bytes.Min, bytes.Max, interval, cpu.Median, cpu.Min, cpu.Max, setUp.Median, setUp.Min, setUp.Max, gc.Median, gc.Min, gc.Max)})
	b.limit(16, "a million registered idle components: memory for each beyond its state", 400, "B", bytes)
	b.limit(16, "… CPU at an interval of 10 s, of one core", 3, "%", cpu)
	return nil
}

// nowhere is an adapter that keeps no state, so that what is measured is the
// Checkpointer. Its leases are those of the adapter in memory: with them an idle
// component is looked at every interval and refreshed every quarter of an hour,
// as with Redis and files.
type nowhere struct{ *durable.MemoryAdapter }

func (nowhere) SaveState(context.Context, string, *durable.Snapshot) error { return nil }
func (nowhere) ClaimState(context.Context, string, uint64) error           { return nil }
func (nowhere) LoadState(context.Context, string) (*durable.Snapshot, error) {
	return nil, durable.ErrNotFound
}

// childIdle registers components and watches them do nothing: args are how many,
// the interval and the time to watch.
func childIdle(ctx context.Context, args []string) (facts, error) {
	n, err := number(args, 0)
	if err != nil {
		return nil, err
	}
	interval, err := time.ParseDuration(args[1])
	if err != nil {
		return nil, err
	}
	window, err := time.ParseDuration(args[2])
	if err != nil {
		return nil, err
	}
	ids := make([]string, n)
	for i := range ids {
		ids[i] = componentID(i)
	}
	before := heap()
	start := time.Now()
	comps, err := idleComponents(ctx, ids, interval)
	if err != nil {
		return nil, err
	}
	setUp := time.Since(start)
	// Each is saved once within its first interval; it is idle after that.
	if err := wait(ctx, interval+interval/2); err != nil {
		return nil, err
	}
	after := heap()
	gc := time.Now()
	heap()
	collection := time.Since(gc) / 2
	cpu, began := measure.CPU(), time.Now()
	if err := wait(ctx, window); err != nil {
		return nil, err
	}
	used := float64(measure.CPU()-cpu) / float64(time.Since(began))
	each := (after-before)/float64(n) - float64(unsafe.Sizeof(counter{}))
	comps[0].View(func(*counter) {})
	return facts{"bytes": each, "cpu": 100 * used, "setup": setUp.Seconds(), "gc": float64(collection.Milliseconds())}, nil // the process ends: a million final saves are not measured
}

func idleComponents(ctx context.Context, ids []string, interval time.Duration) ([]durable.StatefulComponent[counter], error) {
	cp := durable.New(nowhere{durable.NewMemoryAdapter(nil)}, &durable.Options{Interval: interval, Logger: discard})
	comps := make([]durable.StatefulComponent[counter], len(ids))
	for i := range comps {
		if err := cp.Register(ids[i], &comps[i]); err != nil {
			return nil, err
		}
	}
	if _, err := cp.Restore(ctx); err != nil {
		return nil, err
	}
	return comps, cp.Start()
}
