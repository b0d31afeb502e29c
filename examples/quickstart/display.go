package main

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/durablestate/durable"
)

// display writes what happens to standard output: a moving bar on a terminal,
// one line for each event elsewhere.
type display struct {
	length   int
	terminal bool

	life, kills       int
	at, saves         int // of this life
	lost, again, sums int // bytes all lives would have lost, counted again; checkpoints
}

func newDisplay(length int) *display {
	d := &display{length: length}
	if info, err := os.Stdout.Stat(); err == nil {
		d.terminal = info.Mode()&os.ModeCharDevice != 0
	}
	return d
}

func (d *display) line(format string, args ...any) {
	if d.terminal {
		fmt.Print("\r\x1b[K")
	}
	fmt.Printf(format+"\n", args...)
}

func (d *display) title(s *settings) {
	store := "files in " + s.dir
	if os.Getenv("REDIS_URL") != "" {
		store = "Redis, under the name " + s.system
	}
	d.line("Counting the words of %s (%s) in a process that is killed %d times.", filepath.Base(s.input), size(d.length), s.kills)
	d.line("Its state is kept in %s. Seed %d.\n", store, s.seed)
}

// take shows one message of the child.
func (d *display) take(m message) {
	if m.Restored != nil {
		d.began(*m.Restored, m.Offset)
	}
	d.at, d.saves = m.Offset, int(m.Saves)
	if d.terminal {
		fmt.Printf("\r  %s", d.bar())
	}
}

func (d *display) began(r restored, offset int) {
	d.life++
	again := max(0, d.at-offset) // it may have saved more than it had told of when it was killed
	d.again += again
	if r.Outcome == durable.FirstBoot {
		d.line("process %d  %s: nothing is stored, it begins at offset 0", d.life, r.Outcome)
		return
	}
	d.line("process %d  %s: version %d, %s old, goes on at offset %d; only %s of what it told of are counted again",
		d.life, r.Outcome, r.Version, r.Age.Round(time.Millisecond), offset, size(again))
}

func (d *display) killed() {
	d.kills++
	d.lost += d.at
	d.sums += d.saves
	d.line("  %s  killed (SIGKILL) at offset %d, after %d checkpoints", d.bar(), d.at, d.saves)
}

func (d *display) finished() {
	d.sums += d.saves + 1 // and the one that Close took
	d.line("  %s  finished, after %d checkpoints", d.bar(), d.saves+1)
}

func (d *display) bar() string {
	const width = 30
	n := d.at * width / d.length
	return fmt.Sprintf("[%s%s] %3d %%", strings.Repeat("#", n), strings.Repeat(".", width-n), d.at*100/d.length)
}

// summary is what two runs must agree in.
type summary struct {
	offset, words, different int
	digest                   string // of every word and its count
}

func summarise(w *WordCounter) (s summary) {
	hash := sha256.New()
	w.View(func(c *counts) {
		s.offset, s.different = c.Offset, len(c.Words)
		for _, word := range slices.Sorted(maps.Keys(c.Words)) {
			s.words += c.Words[word]
			fmt.Fprintf(hash, "%s %d\n", word, c.Words[word])
		}
	})
	s.digest = fmt.Sprintf("%x", hash.Sum(nil)[:8])
	return s
}

func (s summary) String() string {
	return fmt.Sprintf("%d words, %d different, %d bytes, digest %s", s.words, s.different, s.offset, s.digest)
}

func (d *display) result(s *settings, killed, uninterrupted summary) {
	d.line("")
	if d.kills < s.kills {
		d.line("The text was over before the last kill; give it a longer one or more time with -pace.")
	}
	d.line("killed %d times:  %s", d.kills, killed)
	d.line("uninterrupted:   %s", uninterrupted)
	if killed != uninterrupted {
		d.line("DIFFERENT")
		return
	}
	d.line("The same: nothing lost, nothing counted twice. %d checkpoints; %s had to be counted again.", d.sums, size(d.again))
	if d.kills > 0 {
		d.line("Without durable every kill loses everything counted until then, here %s.", size(d.lost))
	}
}

func size(bytes int) string {
	switch {
	case bytes < 1000:
		return fmt.Sprintf("%d bytes", bytes)
	case bytes < 1000_000:
		return fmt.Sprintf("%.1f kB", float64(bytes)/1e3)
	}
	return fmt.Sprintf("%.1f MB", float64(bytes)/1e6)
}
