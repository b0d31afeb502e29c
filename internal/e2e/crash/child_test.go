package crash_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/testkit"
)

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

func newComponents() []*chained {
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
	testkit.Tell("try %s %d %s", c.id, s.Seq+1, token)
	s.Seq++
	if c.workers == 0 {
		time.Sleep(200 * time.Microsecond) // a snapshot that takes no lock falls in here
	}
	s.Hash = linked(s.Hash, token)
	s.Pad = strings.Repeat(s.Hash, c.pad)
	return s.Seq
}

// runChild restores, then changes and commits until it is killed, or until
// its standard input ends.
func runChild(store string) error {
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	a, err := testkit.OpenStore(store)
	if err != nil {
		return err
	}
	cp := durable.New(a, &durable.Options{
		System: "crash", Holder: holder, Interval: 10 * time.Millisecond, SaveTimeout: 2 * time.Second,
		OnEvent: func(e durable.Event) {
			if e.Op == "save" && e.Err == nil {
				testkit.Tell("saved %s %d", e.ComponentID, e.Version)
			}
		},
	})
	components := newComponents()
	if err := restoreChild(ctx, cp, components); err != nil {
		return err
	}
	work(ctx, components)
	if err := cp.Close(); err != nil {
		return err
	}
	testkit.Tell("closed")
	return a.Close()
}

const holder = "crash-child"

func restoreChild(ctx context.Context, cp *durable.Checkpointer, components []*chained) error {
	for _, c := range components {
		if err := cp.Register(c.id, c); err != nil {
			return err
		}
	}
	report, err := cp.Restore(ctx)
	if err != nil {
		return err
	}
	testkit.Tell("boot %v %q", report.CleanShutdown, report.Predecessor)
	for _, c := range components {
		r, _ := report.Component(c.id)
		c.View(func(s *chain) {
			whole := s.Pad == strings.Repeat(s.Hash, c.pad)
			testkit.Tell("restored %s %s %d %d %d %v %q", c.id, r.Outcome, r.Epoch, r.Version, s.Seq, whole, s.Hash)
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
			testkit.Tell("ack %s %d", c.id, seq)
			continue
		}
		testkit.Tell("refused %s %d", c.id, seq)
		time.Sleep(5 * time.Millisecond) // the server is away
	}
}

func (c *chained) update(ctx context.Context) {
	for ctx.Err() == nil {
		c.Update(func(s *chain) { c.change(s) })
		time.Sleep(time.Millisecond)
	}
}
