package handover_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/testkit"
)

// child says what a child is to be.
type child struct {
	Store   string // see testkit.OpenStore
	Process int    // number of this process, unique in the test
	Holder  string // "": one of its own
	Mutant  string // "": none; see mutate
}

const (
	patience = time.Minute // for a child to do what it must
	leaseTTL = time.Second // short, so that waiting for its end is real and affordable
)

// ledger is a state that names every change it ever held, in order: process p
// made its changes 1, 2, 3 and so on. Neighbours share a run, so the list stays
// short and is exact nevertheless.
type ledger struct {
	Runs []run
	Pad  string
}

// run is the changes From to To of one process.
type run struct{ Process, From, To int }

// add appends change n of process p.
func (l *ledger) add(p, n int) {
	if last := len(l.Runs) - 1; last >= 0 && l.Runs[last].Process == p && l.Runs[last].To == n-1 {
		l.Runs[last].To = n
		return
	}
	l.Runs = append(l.Runs, run{p, n, n})
}

// booked is a component of a child.
type booked struct {
	durable.StatefulComponent[ledger]
	id      string
	workers int           // goroutines that commit; 0: one that only updates
	rest    time.Duration // between two commits of a worker
	pad     int           // bytes

	made int // changes this process made; guarded by the component's lock
}

func newComponents() []*booked {
	return []*booked{
		{id: "busy", workers: 8},
		{id: "other", workers: 4},
		{id: "padded", workers: 1, rest: 10 * time.Millisecond, pad: 70_000}, // staged by a command of its own on Redis
		{id: "loose"}, // saved by the schedule and by Close
	}
}

func (c *booked) change(process int) func(*ledger) {
	return func(l *ledger) {
		c.made++
		l.add(process, c.made)
		if len(l.Pad) != c.pad {
			l.Pad = strings.Repeat("x", c.pad)
		}
	}
}

// runChild waits for its turn, commits until it is told to end or is
// superseded, and closes. What it tells is all that the parent judges by.
func runChild(spec string) error {
	var h child
	if err := json.Unmarshal([]byte(spec), &h); err != nil {
		return err
	}
	go func() { // without a parent there is no point
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	ctx, fence := context.WithCancelCause(ctx)
	defer fence(nil)
	a, err := testkit.OpenStore(h.Store)
	if err != nil {
		return err
	}
	cp := durable.New(h.mutate(a), &durable.Options{
		System: "handover", Holder: h.Holder, Interval: 20 * time.Millisecond, LeaseTTL: leaseTTL,
		SaveTimeout: 2 * time.Second, CloseTimeout: 20 * time.Second,
		OnEvent: func(e durable.Event) {
			if errors.Is(e.Err, durable.ErrFenced) {
				fence(e.Err)
			}
		},
	})
	components := newComponents()
	if err := h.restore(ctx, cp, components); err != nil {
		return err
	}
	h.work(ctx, components)
	closed := cp.Close()
	if errors.Is(context.Cause(ctx), durable.ErrFenced) {
		testkit.Tell("fenced")
	}
	tellClosed(components, closed)
	return a.Close()
}

func (h *child) restore(ctx context.Context, cp *durable.Checkpointer, components []*booked) error {
	for _, c := range components {
		if err := cp.Register(c.id, c); err != nil {
			return err
		}
	}
	restored := make(chan struct{})
	go tellStandby(cp, restored)
	report, err := cp.Restore(ctx)
	close(restored)
	if err != nil {
		return errors.Join(err, cp.Close())
	}
	for _, c := range components {
		r, _ := report.Component(c.id)
		c.View(func(l *ledger) {
			runs, _ := json.Marshal(l.Runs)
			testkit.Tell("restored %s %s %d %d %t %s", c.id, r.Outcome, r.Epoch, r.Version, report.CleanShutdown, runs)
		})
	}
	return cp.Start()
}

// tellStandby tells once that the process waits for another one, which makes it
// ready in the sense of a probe.
func tellStandby(cp *durable.Checkpointer, restored <-chan struct{}) {
	for {
		if errors.Is(cp.Health(), durable.ErrLeaseHeld) {
			testkit.Tell("standby")
			return
		}
		select {
		case <-restored:
			return
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// tellClosed tells how Close ended, and for each component how many changes the
// process made, which Close says are stored when it returns nil.
func tellClosed(components []*booked, err error) {
	for _, c := range components {
		c.View(func(*ledger) { testkit.Tell("made %s %d", c.id, c.made) })
	}
	switch {
	case err == nil:
		testkit.Tell("closed")
	case errors.Is(err, durable.ErrFenced):
		testkit.Tell("refused")
	default:
		testkit.Tell("unsaved %q", err.Error())
	}
}

func (h *child) work(ctx context.Context, components []*booked) {
	var wg sync.WaitGroup
	for _, c := range components {
		for range c.workers {
			wg.Go(func() { c.commitLoop(ctx, h.Process) })
		}
		if c.workers == 0 {
			wg.Go(func() { c.updateLoop(ctx, h.Process) })
		}
	}
	wg.Wait()
}

func (c *booked) commitLoop(ctx context.Context, process int) {
	change := c.change(process)
	for ctx.Err() == nil {
		var n int
		err := c.Commit(ctx, func(l *ledger) {
			change(l)
			n = c.made
		})
		switch {
		case err == nil:
			testkit.Tell("ack %s %d", c.id, n)
			time.Sleep(c.rest)
		case errors.Is(err, durable.ErrFenced):
			return // OnEvent has ended ctx or is about to
		default:
			time.Sleep(5 * time.Millisecond) // the server is away
		}
	}
}

func (c *booked) updateLoop(ctx context.Context, process int) {
	for ctx.Err() == nil {
		c.Update(c.change(process))
		time.Sleep(time.Millisecond)
	}
}

// mutate breaks what keeps hand-overs safe, to show that the judge notices:
// "unowned" knows no owner, as a plain SETEX does; "unfenced" has leases like a
// leader election, of whose loss one learns too late, and saves that nobody checks.
func (h *child) mutate(a durable.StateAdapter) durable.StateAdapter {
	switch h.Mutant {
	case "":
		return a
	case "unowned":
		return lastWriterWins{a}
	case "unfenced":
		return onlyLeases{lastWriterWins{a}, a.(durable.Owner)}
	}
	panic(fmt.Sprintf("unknown mutant %q", h.Mutant))
}

type lastWriterWins struct{ durable.StateAdapter }

func (a lastWriterWins) SaveState(ctx context.Context, id string, s *durable.Snapshot) error {
	if s.Data == nil {
		return nil
	}
	c := *s
	c.Epoch, c.Version = 0, 0
	return a.StateAdapter.SaveState(ctx, id, &c)
}

type onlyLeases struct {
	lastWriterWins
	durable.Owner
}

func (a onlyLeases) RenewLease(ctx context.Context, l *durable.Lease) error {
	if err := a.Owner.RenewLease(ctx, l); !errors.Is(err, durable.ErrFenced) {
		return err
	}
	return nil
}
