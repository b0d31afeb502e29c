package testkit

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/durablestate/durable"
)

// Flaky is a memory adapter that fails, hangs or answers wrongly on demand.
type Flaky struct {
	*durable.MemoryAdapter
	mu   sync.Mutex
	fail map[string]func(id string) error // by operation: "save", "refresh", "load", "claim", "lease", "renew"
	log  []string
}

// NewFlaky returns a Flaky one on an empty memory.
func NewFlaky() *Flaky { return FlakyOn(durable.NewMemoryAdapter(nil)) }

// FlakyOn returns a Flaky one on a.
func FlakyOn(a *durable.MemoryAdapter) *Flaky {
	return &Flaky{MemoryAdapter: a, fail: map[string]func(string) error{}}
}

// ErrDown is what an adapter that is down answers.
var ErrDown = errors.New("connection refused")

// On has fn called before each op; after an error of it the op is not carried out.
// nil ends that.
func (f *Flaky) On(op string, fn func(id string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail[op] = fn
}

// Down lets ops fail with ErrDown.
func (f *Flaky) Down(ops ...string) {
	for _, op := range ops {
		f.On(op, func(string) error { return ErrDown })
	}
}

// Up ends what On and Down did to ops.
func (f *Flaky) Up(ops ...string) {
	for _, op := range ops {
		f.On(op, nil)
	}
}

func (f *Flaky) check(op, id string) error {
	f.mu.Lock()
	f.log = append(f.log, op+" "+id)
	fn := f.fail[op]
	f.mu.Unlock()
	if fn == nil {
		return nil
	}
	return fn(id)
}

// Asked returns the calls so far, each as its operation and its id.
func (f *Flaky) Asked() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.log)
}

// Calls returns how often op was called for id and forgets what was called.
func (f *Flaky) Calls(op, id string) (n int) {
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

// SaveState implements [durable.StateAdapter].
func (f *Flaky) SaveState(ctx context.Context, id string, s *durable.Snapshot) error {
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

// LoadState implements [durable.StateAdapter].
func (f *Flaky) LoadState(ctx context.Context, id string) (*durable.Snapshot, error) {
	if err := f.check("load", id); err != nil {
		return nil, err
	}
	return f.MemoryAdapter.LoadState(ctx, id)
}

// ClaimState implements [durable.Owner].
func (f *Flaky) ClaimState(ctx context.Context, id string, epoch uint64) error {
	if err := f.check("claim", id); err != nil {
		return err
	}
	return f.MemoryAdapter.ClaimState(ctx, id, epoch)
}

// AcquireLease implements [durable.Owner].
func (f *Flaky) AcquireLease(ctx context.Context, name, holder string, ttl time.Duration) (*durable.Lease, error) {
	if err := f.check("lease", name); err != nil {
		return nil, err
	}
	return f.MemoryAdapter.AcquireLease(ctx, name, holder, ttl)
}

// RenewLease implements [durable.Owner].
func (f *Flaky) RenewLease(ctx context.Context, l *durable.Lease) error {
	if err := f.check("renew", l.Name); err != nil {
		return err
	}
	return f.MemoryAdapter.RenewLease(ctx, l)
}
