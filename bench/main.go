// Command bench measures durable side by side with what programs write by hand
// and with other libraries: see docs/performance.md. It needs redis-server in
// PATH for the rows about Redis, and a disk that nobody else uses meanwhile.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/bench/peers"
	"github.com/durablestate/durable/bench/rows"
)

type flags struct {
	rows, dir, cache, results, markdown, svg, profile, child string
	rounds                                                   int
	quick                                                    bool
}

func main() {
	var f flags
	flag.StringVar(&f.rows, "rows", "", "rows of the table to measure, for instance 1,8,9; default all")
	flag.IntVar(&f.rounds, "rounds", 5, "rounds of each table")
	flag.StringVar(&f.dir, "dir", "", "directory on the disk to measure; default the system's for temporary files")
	flag.StringVar(&f.cache, "cache", "", "directory that keeps the large store of row 17 for the next run; default none")
	flag.BoolVar(&f.quick, "quick", false, "small sizes: a smoke test, whose ratios mean nothing")
	flag.StringVar(&f.results, "results", "", "keep results in this file, and add those of other rows that an earlier run left there")
	flag.StringVar(&f.markdown, "markdown", "", "write the tables to this file, between its bench markers if it has them")
	flag.StringVar(&f.svg, "svg", "", "draw the tables into this directory")
	flag.StringVar(&f.profile, "profile", "", "write CPU and allocation profiles of this library's cases into this directory")
	flag.StringVar(&f.child, "child", "", "used by the program itself")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, &f); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, f *flags) error {
	if f.child != "" {
		return rows.Child(ctx, os.Stdout, append([]string{f.child}, flag.Args()...))
	}
	chosen, err := numbers(f.rows)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(f.dir, "durable-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	warnOf(dir)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	b := &rows.Bench{Options: rows.Options{
		Dir: dir, Cache: f.cache, Rounds: f.rounds, Quick: f.quick, Rows: chosen, Log: os.Stderr,
		Peers: peers.All(), Batcher: peers.Rueidis, Child: []string{self, "-child"},
	}}
	if f.profile != "" {
		b.Profile = profiler(f.profile)
	}
	b.Report.Host = host()
	err = b.Run(ctx)
	return writeReport(f, b, err)
}

func numbers(list string) (chosen []int, err error) {
	if list == "" {
		return nil, nil
	}
	for _, text := range strings.Split(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil {
			return nil, fmt.Errorf("-rows: %w", err)
		}
		chosen = append(chosen, n)
	}
	return chosen, nil
}

// warnOf says that dir is no disk, where a sync costs nothing.
func warnOf(dir string) {
	a, err := durable.NewFileAdapter(filepath.Join(dir, "probe"), nil)
	if err != nil {
		return
	}
	defer a.Close()
	if err := a.Durable(); err != nil {
		fmt.Fprintln(os.Stderr, "bench: file figures will mean nothing, choose another -dir:", err)
	}
}
