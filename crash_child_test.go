package durable_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/durablestate/durable"
)

// crashChildEnv makes the test binary a child of a crash test. Its value is
// "file <directory>" or "redis <url>".
const crashChildEnv = "DURABLE_CRASH_CHILD"

func TestMain(m *testing.M) {
	child, spec := runCrashChild, os.Getenv(crashChildEnv)
	if spec == "" {
		child, spec = runHandoverChild, os.Getenv(handoverChildEnv)
	}
	if spec == "" {
		os.Exit(m.Run())
	}
	if err := child(spec); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// chain is a state that shows every change it holds and their order: a state
// with a gap, a mixture of two saves or a torn one does not fit.
type chain struct {
	Seq  int
	Hash string // of the hash before and the token of the change
	Pad  string // the hash many times, so that it takes a while to store
}

// linked returns the hash after one more change.
func linked(hash, token string) string {
	sum := sha256.Sum256([]byte(hash + token))
	return hex.EncodeToString(sum[:])
}

type chained struct {
	durable.StatefulComponent[chain]
	id      string
	pad     int // how often the hash is repeated
	workers int // goroutines that commit; 0: one that only updates
}

func crashComponents() []*chained {
	return []*chained{
		{id: "alone", pad: 0, workers: 1},
		{id: "small", pad: 0, workers: 3},
		{id: "medium", pad: 20, workers: 2},
		{id: "large", pad: 2000, workers: 2}, // 128 kB: staged by a command of its own on Redis
		{id: "scheduled", pad: 1},
	}
}

// change makes one change. It tells the parent before the state can hold it.
func (c *chained) change(s *chain) (seq int) {
	token := rand.Text()[:10]
	tell("try %s %d %s", c.id, s.Seq+1, token)
	s.Seq++
	if c.workers == 0 {
		time.Sleep(200 * time.Microsecond) // a snapshot that takes no lock falls in here
	}
	s.Hash = linked(s.Hash, token)
	s.Pad = strings.Repeat(s.Hash, c.pad)
	return s.Seq
}

// tell writes one line to the parent in one write, so that a kill leaves whole
// lines. Without a parent the process ends.
func tell(format string, args ...any) {
	if _, err := fmt.Fprintf(os.Stdout, format+"\n", args...); err != nil {
		os.Exit(1)
	}
}

// runCrashChild restores, then changes and commits until it is killed, or until
// its standard input ends.
func runCrashChild(store string) error {
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	a, err := openCrashStore(store)
	if err != nil {
		return err
	}
	cp := durable.New(a, &durable.Options{
		System: "crash", Holder: crashHolder, Interval: 10 * time.Millisecond, SaveTimeout: 2 * time.Second,
		OnEvent: func(e durable.Event) {
			if e.Op == "save" && e.Err == nil {
				tell("saved %s %d", e.ComponentID, e.Version)
			}
		},
	})
	components := crashComponents()
	if err := restoreCrashChild(ctx, cp, components); err != nil {
		return err
	}
	work(ctx, components)
	if err := cp.Close(); err != nil {
		return err
	}
	tell("closed")
	return a.Close()
}

const crashHolder = "crash-child"

func openCrashStore(store string) (durable.StateAdapter, error) {
	kind, where, _ := strings.Cut(store, " ")
	if kind == "redis" {
		return durable.OpenRedisAdapter(context.Background(), where, nil)
	}
	return durable.NewFileAdapter(where, nil)
}

func restoreCrashChild(ctx context.Context, cp *durable.Checkpointer, components []*chained) error {
	for _, c := range components {
		if err := cp.Register(c.id, c); err != nil {
			return err
		}
	}
	report, err := cp.Restore(ctx)
	if err != nil {
		return err
	}
	tell("boot %v %q", report.CleanShutdown, report.Predecessor)
	for _, c := range components {
		r, _ := report.Component(c.id)
		c.View(func(s *chain) {
			whole := s.Pad == strings.Repeat(s.Hash, c.pad)
			tell("restored %s %s %d %d %d %v %q", c.id, r.Outcome, r.Epoch, r.Version, s.Seq, whole, s.Hash)
		})
	}
	return cp.Start()
}

func work(ctx context.Context, components []*chained) {
	var wg sync.WaitGroup
	for _, c := range components {
		for range c.workers {
			wg.Go(func() { c.commit(ctx) })
		}
		if c.workers == 0 {
			wg.Go(func() { c.update(ctx) })
		}
	}
	wg.Wait()
}

func (c *chained) commit(ctx context.Context) {
	for ctx.Err() == nil {
		var seq int
		err := c.Commit(context.Background(), func(s *chain) { seq = c.change(s) })
		if err == nil {
			tell("ack %s %d", c.id, seq)
			continue
		}
		tell("refused %s %d", c.id, seq)
		time.Sleep(5 * time.Millisecond) // the server is away
	}
}

func (c *chained) update(ctx context.Context) {
	for ctx.Err() == nil {
		c.Update(func(s *chain) { c.change(s) })
		time.Sleep(time.Millisecond)
	}
}
