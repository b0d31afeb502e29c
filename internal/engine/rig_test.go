package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/durablestate/durable/internal/adapter"
	"github.com/durablestate/durable/internal/engine"
	"github.com/durablestate/durable/internal/engine/backend"
	"github.com/durablestate/durable/internal/engine/component"
	"github.com/durablestate/durable/internal/memstore"
	"github.com/durablestate/durable/internal/store"
)

// number is a component that counts its changes.
type number struct {
	n, changes atomic.Uint64
}

func (c *number) add()                           { c.n.Add(1); c.changes.Add(1) }
func (c *number) SnapshotState() ([]byte, error) { return strconv.AppendUint(nil, c.n.Load(), 10), nil }
func (c *number) RestoreState(b []byte) error {
	n, err := strconv.ParseUint(string(b), 10, 64)
	c.n.Store(n)
	return err
}

func (c *number) ChangeCount() uint64                { return c.changes.Load() }
func (c *number) Fresh() bool                        { return c.changes.Load() == 0 }
func (c *number) Type() reflect.Type                 { return reflect.TypeFor[number]() }
func (c *number) State() reflect.Type                { return reflect.TypeFor[uint64]() }
func (c *number) Attach(*component.Registered) error { return nil }
func (c *number) Detach(*component.Registered)       {}
func (c *number) Freeze() func() ([]byte, error)     { return nil }
func (c *number) Reset()                             { c.n.Store(0) }
func (c *number) Codec() string                      { return "json" }
func (c *number) Schema() int                        { return 0 }
func (c *number) WithState(fn func(state any))       { fn(c) }

// counting is an adapter in memory that counts calls, and fails on demand.
type counting struct {
	*adapter.Adapter
	down   atomic.Bool
	calls  atomic.Int64
	saving func() // is called during every save; nil: nothing
}

var errDown = errors.New("connection refused")

func (c *counting) called() error {
	c.calls.Add(1)
	if c.down.Load() {
		return errDown
	}
	return nil
}

func (c *counting) Save(ctx context.Context, name string, s *store.Snapshot) error {
	return cmpOr(c.called(), func() error {
		if c.saving != nil {
			c.saving()
		}
		return c.Adapter.Save(ctx, name, s)
	})
}

func (c *counting) Load(ctx context.Context, name string) (s *store.Snapshot, err error) {
	return s, cmpOr(c.called(), func() error { s, err = c.Adapter.Load(ctx, name); return err })
}

func (c *counting) Claim(ctx context.Context, name string, epoch uint64) error {
	return cmpOr(c.called(), func() error { return c.Adapter.Claim(ctx, name, epoch) })
}

func cmpOr(err error, next func() error) error {
	if err != nil {
		return err
	}
	return next()
}

type fault struct {
	text string
	error
}

func (f *fault) Error() string { return f.text }
func (f *fault) Unwrap() error { return f.error }

func newCounting() *counting { return &counting{Adapter: &adapter.Adapter{Store: memstore.New(3, 0)}} }

func newEngine(a *counting, change func(*engine.Options)) *engine.Engine {
	o := engine.Options{
		System: "sys", Holder: "me", Interval: time.Minute, Restore: store.FreshIfAbsent, SaveTimeout: 10 * time.Second,
		CloseTimeout: 20 * time.Second, LeaseTTL: 15 * time.Second, Logger: slog.New(slog.DiscardHandler), PauseLimit: -1,
	}
	if change != nil {
		change(&o)
	}
	return engine.New(backend.Backend{States: a, Owner: a}, o, backend.Words{
		Fault: func(op, id string, err error) error {
			return &fault{fmt.Sprintf("%s %q: %v", op, id, err), err}
		},
		Fence: func(err error) (store.Fence, bool) {
			f := (*fault)(nil)
			return store.FenceOf(err), errors.As(err, &f)
		},
	}, nil)
}
