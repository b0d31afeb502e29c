// Quickstart counts the words of a book in a process that is killed again and
// again, and shows that nothing is lost and nothing counted twice.
//
// Read [WordCounter] and [count] first: they are all that a program needs. The
// rest, in show.go, kills the process and tells what happened. State is kept in
// files, or in Redis when REDIS_URL is set.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/durablestate/durable"
)

// counts is what must survive: the words so far and how far that was.
type counts struct {
	Words  map[string]int
	Offset int // bytes of the text consumed
}

// InitState makes the state usable, before first use and after every restore.
func (c *counts) InitState() {
	if c.Words == nil {
		c.Words = map[string]int{}
	}
}

// WordCounter is a component with durable state: it embeds the state's type.
type WordCounter struct {
	durable.StatefulComponent[counts]
}

// CountLine consumes one line. The words and the offset change in one Update, so
// every checkpoint holds both or neither, and a restored counter knows exactly
// where to go on.
func (w *WordCounter) CountLine(line string) {
	w.Update(func(c *counts) {
		for _, word := range strings.FieldsFunc(line, notLetter) {
			c.Words[strings.ToLower(word)]++
		}
		c.Offset += len(line)
	})
}

// Offset says how much of the text is counted.
func (w *WordCounter) Offset() (offset int) {
	w.View(func(c *counts) { offset = c.Offset })
	return offset
}

func notLetter(r rune) bool { return !unicode.IsLetter(r) }

// count is a whole program's life with durable: register, restore, start, work,
// close. It may be killed at any moment.
func count(ctx context.Context, s *settings, text string, watch *watcher) error {
	adapter, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer adapter.Close()

	words := &WordCounter{}
	cp := durable.New(adapter, s.options())
	if err := cp.Register(component, words); err != nil {
		return err
	}
	starting, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	report, err := cp.Restore(starting) // an error: there is state, but it cannot be used. Do not run.
	if err != nil {
		return errors.Join(err, cp.Close())
	}
	if err := cp.Start(); err != nil { // periodic checkpoints from here on
		return errors.Join(err, cp.Close())
	}

	watch.restored(report, words.Offset())
	for line := range strings.Lines(text[words.Offset():]) {
		words.CountLine(line)
		watch.progress(words.Offset(), cp) // tells the parent, and takes its time
	}
	return cp.Close() // nil: the last change is durable
}

const component = "word_counter"

// settings are the flags, which the child process gets as they are.
type settings struct {
	input string
	dir   string
	kills int
	pace  time.Duration
	seed  uint64

	system string // names this run in the store
	child  bool   // this process counts
	keep   bool   // the state stays after the run
}

// open opens the store.
func (s *settings) open(ctx context.Context) (durable.StateAdapter, error) {
	if url := os.Getenv("REDIS_URL"); url != "" {
		return durable.OpenRedisAdapter(ctx, url, nil)
	}
	return durable.NewFileAdapter(s.dir, nil)
}

// options are those of a process that is restarted at once: a holder's name that
// stays the same takes its own lease back without waiting for it to expire.
func (s *settings) options() *durable.Options {
	return &durable.Options{
		System:   s.system,
		Holder:   "quickstart",
		Interval: s.pace / 40,
		Logger:   quiet,
	}
}

func main() {
	s := &settings{}
	flag.StringVar(&s.input, "input", "", "text `file` to count; default Newton's Opticks, which comes with Go")
	flag.StringVar(&s.dir, "dir", "", "`directory` to keep the state files in, which then stay; default one that is removed")
	flag.IntVar(&s.kills, "kills", 5, "how many times the counting process is killed")
	flag.DurationVar(&s.pace, "pace", 4*time.Second, "how long counting takes without kills")
	flag.Uint64Var(&s.seed, "seed", 0, "chooses the moments of the kills; default a new one each time")
	flag.StringVar(&s.system, "child", "", "be the process that counts and is killed, for the run of that `name`; the program starts it itself")
	flag.Parse()
	s.child = s.system != ""

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, s *settings) error {
	if flag.NArg() > 0 || s.kills < 0 || s.pace < 100*time.Millisecond {
		return errors.New("takes no arguments, -kills of 0 or more and -pace of 100ms or more; see -help")
	}
	text, err := s.text()
	if err != nil {
		return err
	}
	if s.child {
		return count(ctx, s, text, newWatcher(s.pace, len(text)))
	}
	return show(ctx, s, text)
}
