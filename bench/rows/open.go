package rows

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/bench/report"
	"github.com/durablestate/durable/bench/state"
)

const keep = 3

// open measures how long it takes to open a store of a million generations, and
// how much memory its index takes.
func (b *Bench) open() error {
	comps := b.n(333_334, 100)
	dir, err := b.largeStore(comps)
	if err != nil {
		return err
	}
	fmt.Fprintf(b.Log, "  opening %d generations\n", comps*keep)
	found, err := b.children([]string{"open", dir, strconv.Itoa(comps)})
	if err != nil {
		return err
	}
	seconds, bytes := spreadOf(found[0], "seconds"), spreadOf(found[0], "bytes")
	title := fmt.Sprintf("Opening a file store of %d components with %d generations of 1 KB each", comps, keep)
	b.Report.Add(report.Section{Title: title, Text: fmt.Sprintf("| what | median | min..max |\n| --- | --- | --- |\n"+
		"| time to open | %.2f s | %.2f..%.2f |\n| memory for each generation | %.0f B | %.0f..%.0f |\n",
		seconds.Median, seconds.Min, seconds.Max, bytes.Median, bytes.Min, bytes.Max)})
	b.limit(17, "opening a file store with 1,000,000 generations", 5, "s", seconds)
	b.limit(17, "… memory for each generation", 150, "B", bytes)
	return nil
}

// largeStore returns a store of that many components, which it builds unless the
// cache has it.
func (b *Bench) largeStore(comps int) (string, error) {
	root := b.Cache
	if root == "" {
		root = b.Dir
	}
	dir := filepath.Join(root, fmt.Sprintf("generations-%d", comps*keep))
	complete := dir + ".complete"
	if _, err := os.Stat(complete); err == nil {
		return dir, nil
	}
	fmt.Fprintf(b.Log, "  building a store of %d generations\n", comps*keep)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	a, err := durable.NewFileAdapter(dir, &durable.FileOptions{Keep: keep})
	if err != nil {
		return "", err
	}
	for version := range keep {
		if err := saveAll(b.ctx, a, comps, uint64(version+1)); err != nil {
			return "", errors.Join(err, a.Close())
		}
	}
	if err := a.Close(); err != nil {
		return "", err
	}
	return dir, os.WriteFile(complete, nil, 0o600)
}

// saveAll saves one version of all components, by many callers.
func saveAll(ctx context.Context, a durable.StateAdapter, comps int, version uint64) error {
	const callers = 2000
	errs := make([]error, callers)
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			data := value(state.KB, c)
			for i := c; i < comps && errs[c] == nil; i += callers {
				bump(data)
				errs[c] = a.SaveState(ctx, componentID(i), &durable.Snapshot{Epoch: 1, Version: version, Codec: "binary", Data: data})
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// childOpen opens the store args[0] and looks whether it is as it should be.
func childOpen(ctx context.Context, args []string) (facts, error) {
	comps, err := number(args, 1)
	if err != nil {
		return nil, err
	}
	before := heap()
	start := time.Now()
	a, err := durable.NewFileAdapter(args[0], &durable.FileOptions{Keep: keep})
	if err != nil {
		return nil, err
	}
	took := time.Since(start)
	after := heap()
	s, err := a.LoadState(ctx, componentID(comps/2))
	if err == nil && s.Version != keep {
		err = fmt.Errorf("version %d was loaded, not %d", s.Version, keep)
	}
	runtime.KeepAlive(a)
	return facts{"seconds": took.Seconds(), "bytes": (after - before) / float64(comps*keep)}, errors.Join(err, a.Close())
}
