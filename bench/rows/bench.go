// Package rows has the rows of the table of goals: what is measured, against
// what, and which ratio counts.
package rows

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/durablestate/durable/bench/measure"
	"github.com/durablestate/durable/bench/peers/peer"
	"github.com/durablestate/durable/bench/redisd"
	"github.com/durablestate/durable/bench/report"
)

// Options of a run.
type Options struct {
	Dir    string // for everything that is written; the caller removes it
	Cache  string // keeps the store of row 17 between runs; empty builds it anew
	Rounds int    // per table; 5
	Quick  bool   // small sizes, whose ratios mean nothing
	Rows   []int  // empty: all

	Peers   []peer.Peer  // file stores to compare with
	Batcher peer.Batcher // a Redis client that batches; nil leaves it out
	Child   []string     // command of a process that runs Child with the arguments that follow
	Profile func(name string, sample func() error) error
	Log     io.Writer // tells what is being measured
}

// Bench is one run.
type Bench struct {
	Options
	Report report.Report

	ctx     context.Context
	servers map[string]*redisd.Server
	dirs    int
}

// group is some rows that are measured together.
type group struct {
	rows  []int
	needs string // program that must be installed
	run   func(*Bench) error
}

var groups = []group{
	{[]int{1, 2}, "redis-server", (*Bench).redisSingle},
	{[]int{3, 4}, "redis-server", (*Bench).redisCycle},
	{[]int{5}, "redis-server", (*Bench).redisAlways},
	{[]int{6}, "redis-server", (*Bench).redisLarge},
	{[]int{7}, "redis-server", (*Bench).redisRestore},
	{[]int{8, 9, 11, 12}, "", (*Bench).files},
	{[]int{10}, "", (*Bench).fileCycle},
	{[]int{13}, "", (*Bench).update},
	{[]int{14}, "", (*Bench).pause},
	{[]int{15}, "", (*Bench).memory},
	{[]int{16}, "", (*Bench).idle},
	{[]int{17}, "", (*Bench).open},
	{[]int{0}, "redis-server", (*Bench).grid}, // no row of the goals
}

// Run measures the chosen rows and fills in b.Report.
func (b *Bench) Run(ctx context.Context) error {
	b.ctx, b.servers = ctx, map[string]*redisd.Server{}
	if b.Rounds == 0 {
		b.Rounds = 5
	}
	if b.Log == nil {
		b.Log = io.Discard
	}
	defer func() {
		for _, s := range b.servers {
			s.Stop()
		}
	}()
	for i, g := range groups {
		b.Report.Group = i
		if !b.chosen(g.rows...) {
			continue
		}
		if g.needs != "" && !redisd.Available() {
			fmt.Fprintf(b.Log, "SKIPPED rows %v: they need %s in PATH\n", g.rows, g.needs)
			b.Report.Add(report.Section{Text: fmt.Sprintf("Rows %v were skipped: they need %s.", g.rows, g.needs)})
			continue
		}
		fmt.Fprintf(b.Log, "rows %v\n", g.rows)
		if err := g.run(b); err != nil {
			return fmt.Errorf("rows %v: %w", g.rows, err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// chosen reports whether any of rows is asked for.
func (b *Bench) chosen(rows ...int) bool {
	return len(b.Rows) == 0 || slices.ContainsFunc(rows, func(r int) bool { return slices.Contains(b.Rows, r) })
}

// n returns full, or quick in a quick run.
func (b *Bench) n(full, quick int) int {
	if b.Quick {
		return quick
	}
	return full
}

// table measures cases and adds them to the report. Disk writes are counted if
// disk is set.
func (b *Bench) table(title string, disk bool, cases ...measure.Case) (*measure.Table, error) {
	fmt.Fprintf(b.Log, "  %s\n", title)
	o := measure.Options{Rounds: b.Rounds, Profile: b.Profile}
	if disk {
		o.Disk = measure.DiskOf(b.Dir)
	}
	t, err := measure.Run(title, o, cases...)
	if err == nil {
		b.Report.AddTable(t)
	}
	return t, err
}

// claim adds a row that asks for a ratio.
func (b *Bench) claim(row int, work string, bar float64, against string, reached measure.Spread) {
	if b.chosen(row) {
		b.Report.Claim(report.Claim{Row: row, Work: work, Bar: bar, Unit: "×", Reached: reached, Against: against})
	}
}

// limit adds a row that asks for at most bar.
func (b *Bench) limit(row int, work string, bar float64, unit string, reached measure.Spread) {
	if b.chosen(row) {
		b.Report.Claim(report.Claim{Row: row, Work: work, Bar: bar, AtMost: true, Unit: unit, Reached: reached})
	}
}

// server returns the server with args, which is started once.
func (b *Bench) server(name string, args []string) (string, error) {
	if s := b.servers[name]; s != nil {
		return s.Addr, nil
	}
	s, err := redisd.Start(filepath.Join(b.Dir, "redis-"+name), args...)
	if err != nil {
		return "", err
	}
	b.servers[name] = s
	return s.Addr, nil
}

// newDir returns a new directory.
func (b *Bench) newDir() (string, error) {
	b.dirs++
	dir := filepath.Join(b.Dir, fmt.Sprintf("dir-%d", b.dirs))
	return dir, os.MkdirAll(dir, 0o700)
}

var background = context.Background()

var discard = slog.New(slog.DiscardHandler)
