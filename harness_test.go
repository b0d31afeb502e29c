package durable_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/durablestate/durable"
	"github.com/stretchr/testify/require"
)

type counts struct{ Words map[string]int }

func (c *counts) InitState() {
	if c.Words == nil {
		c.Words = map[string]int{}
	}
}

type wordCounter struct {
	durable.StatefulComponent[counts]
}

func (w *wordCounter) add(word string) { w.Update(func(c *counts) { c.Words[word]++ }) }

func (w *wordCounter) count(word string) (n int) {
	w.View(func(c *counts) { n = c.Words[word] })
	return n
}

// flaky is a memory adapter that fails, hangs or answers wrongly on demand.
type flaky struct {
	*durable.MemoryAdapter
	mu   sync.Mutex
	fail map[string]func(id string) error // by operation: "save", "refresh", "load", "claim", "lease", "renew"
	log  []string
}

func newFlaky() *flaky {
	return &flaky{MemoryAdapter: durable.NewMemoryAdapter(nil), fail: map[string]func(string) error{}}
}

var errDown = errors.New("connection refused")

func (f *flaky) on(op string, fn func(id string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail[op] = fn
}

func (f *flaky) down(ops ...string) {
	for _, op := range ops {
		f.on(op, func(string) error { return errDown })
	}
}

func (f *flaky) up(ops ...string) {
	for _, op := range ops {
		f.on(op, nil)
	}
}

func (f *flaky) check(op, id string) error {
	f.mu.Lock()
	f.log = append(f.log, op+" "+id)
	fn := f.fail[op]
	f.mu.Unlock()
	if fn == nil {
		return nil
	}
	return fn(id)
}

// calls returns how often op was called for id and forgets what was called.
func (f *flaky) calls(op, id string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range f.log {
		if l == op+" "+id {
			n++
		}
	}
	f.log = nil
	return n
}

func (f *flaky) SaveState(ctx context.Context, id string, s *durable.Snapshot) error {
	op := "save"
	if s.Data == nil {
		op = "refresh"
	}
	if err := f.check(op, id); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return f.MemoryAdapter.SaveState(ctx, id, s)
}

func (f *flaky) LoadState(ctx context.Context, id string) (*durable.Snapshot, error) {
	if err := f.check("load", id); err != nil {
		return nil, err
	}
	return f.MemoryAdapter.LoadState(ctx, id)
}

func (f *flaky) ClaimState(ctx context.Context, id string, epoch uint64) error {
	if err := f.check("claim", id); err != nil {
		return err
	}
	return f.MemoryAdapter.ClaimState(ctx, id, epoch)
}

func (f *flaky) AcquireLease(ctx context.Context, name, holder string, ttl time.Duration) (*durable.Lease, error) {
	if err := f.check("lease", name); err != nil {
		return nil, err
	}
	return f.MemoryAdapter.AcquireLease(ctx, name, holder, ttl)
}

func (f *flaky) RenewLease(ctx context.Context, l *durable.Lease) error {
	if err := f.check("renew", l.Name); err != nil {
		return err
	}
	return f.MemoryAdapter.RenewLease(ctx, l)
}

// fourMethods hides every optional capability of an adapter.
type fourMethods struct{ durable.StateAdapter }

// journal collects events and log lines.
type journal struct {
	mu     sync.Mutex
	events []durable.Event
	lines  strings.Builder
}

func (j *journal) event(e durable.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.events = append(j.events, e)
}

func (j *journal) count(op string) (n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range j.events {
		if e.Op == op {
			n++
		}
	}
	return n
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.lines.Write(p)
}

func (j *journal) text() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.lines.String()
}

func (j *journal) options() *durable.Options {
	return &durable.Options{Logger: slog.New(slog.NewTextHandler(j, nil)), OnEvent: j.event}
}

func quiet() *durable.Options { return new(journal).options() }

// bubble runs fn with virtual time; it fails when a goroutine is left over.
func bubble(t *testing.T, fn func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, fn)
}

// harness is a Checkpointer with one word counter.
type harness struct {
	*durable.Checkpointer
	words  *wordCounter
	report durable.Report
}

// start returns a harness that is restored and started.
func start(t *testing.T, a durable.StateAdapter, opts *durable.Options) harness {
	t.Helper()
	h := prepare(t, a, opts)
	var err error
	h.report, err = h.Restore(t.Context())
	require.NoError(t, err)
	require.NoError(t, h.Start())
	return h
}

func prepare(t *testing.T, a durable.StateAdapter, opts *durable.Options) harness {
	t.Helper()
	if opts == nil {
		opts = quiet()
	}
	h := harness{Checkpointer: durable.New(a, opts), words: &wordCounter{}}
	require.NoError(t, h.Register("words", h.words))
	return h
}

func (h harness) outcome(t *testing.T) durable.Outcome {
	t.Helper()
	r, ok := h.report.Component("words")
	require.True(t, ok)
	return r.Outcome
}

func (j *journal) lineCount(part string) int { return strings.Count(j.text(), part) }
