package durable

import (
	"context"
	"errors"
	"iter"
	"reflect"
	"time"

	"github.com/durablestate/durable/internal/adapter"
	"github.com/durablestate/durable/internal/engine/backend"
	"github.com/durablestate/durable/internal/store"
)

// The border. Inside, under internal, everything works with the plain types of
// internal/store; here they become the types of this package, and back.

// convert makes To of each.
func convert[From, To any](list []From, to func(From) To) []To {
	all := make([]To, len(list))
	for i, x := range list {
		all[i] = to(x)
	}
	return all
}

// storeAdapter makes one of our stores a StateAdapter, an Owner and a Historian.
// The three adapters embed it.
type storeAdapter struct {
	name string           // "redis", "file", "memory"
	in   *adapter.Adapter // the store, and what all stores have in common
	self StateAdapter     // what embeds it
}

// SaveState implements [StateAdapter].
func (a *storeAdapter) SaveState(ctx context.Context, componentID string, s *Snapshot) error {
	return a.fail("save", componentID, a.in.Save(ctx, componentID, (*store.Snapshot)(s)))
}

// LoadState implements [StateAdapter].
func (a *storeAdapter) LoadState(ctx context.Context, componentID string) (*Snapshot, error) {
	s, err := a.in.Load(ctx, componentID)
	return (*Snapshot)(s), a.fail("load", componentID, err)
}

// DeleteState implements [StateAdapter].
func (a *storeAdapter) DeleteState(ctx context.Context, componentID string) error {
	return a.fail("delete", componentID, a.in.Delete(ctx, componentID))
}

// Close implements [StateAdapter].
func (a *storeAdapter) Close() error { return a.fail("close", "", a.in.Close()) }

// AcquireLease implements [Owner].
func (a *storeAdapter) AcquireLease(ctx context.Context, name, holder string, ttl time.Duration) (*Lease, error) {
	l, err := a.in.AcquireLease(ctx, name, holder, ttl)
	return (*Lease)(l), a.fail("acquire lease", name, err)
}

// RenewLease implements [Owner].
func (a *storeAdapter) RenewLease(ctx context.Context, l *Lease) error {
	n, err := a.in.RenewLease(ctx, (*store.Lease)(l))
	return a.fail("renew lease", l.Name, replace(l, n, err))
}

// ReleaseLease implements [Owner].
func (a *storeAdapter) ReleaseLease(ctx context.Context, l *Lease) error {
	n, err := a.in.ReleaseLease(ctx, (*store.Lease)(l))
	return a.fail("release lease", l.Name, replace(l, n, err))
}

// replace makes l the record n, unless there is an error.
func replace(l *Lease, n *store.Lease, err error) error {
	if err == nil {
		*l = Lease(*n)
	}
	return err
}

// LoadLease implements [Owner].
func (a *storeAdapter) LoadLease(ctx context.Context, name string) (*Lease, error) {
	l, err := a.in.LoadLease(ctx, name)
	return (*Lease)(l), a.fail("load lease", name, err)
}

// ClaimState implements [Owner].
func (a *storeAdapter) ClaimState(ctx context.Context, componentID string, epoch uint64) error {
	return a.fail("claim", componentID, a.in.Claim(ctx, componentID, epoch))
}

// ListComponents implements [Historian].
func (a *storeAdapter) ListComponents(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for id, err := range a.in.List(ctx) {
			if !yield(id, a.fail("list", "", err)) {
				return
			}
		}
	}
}

// ListSnapshots implements [Historian].
func (a *storeAdapter) ListSnapshots(ctx context.Context, componentID string) ([]SnapshotInfo, error) {
	found, err := a.in.History(ctx, componentID)
	if err != nil {
		return nil, a.fail("list", componentID, err)
	}
	return convert(found, func(i store.SnapshotInfo) SnapshotInfo { return SnapshotInfo(i) }), nil
}

// LoadSnapshot implements [Historian].
func (a *storeAdapter) LoadSnapshot(ctx context.Context, componentID string, version uint64) (*Snapshot, error) {
	s, err := a.in.LoadVersion(ctx, componentID, version)
	return (*Snapshot)(s), a.fail("load", componentID, err)
}

// fail words err, nil for nil.
func (a *storeAdapter) fail(op, id string, err error) error {
	if err == nil {
		return nil
	}
	return newError(a.name, op, id, err)
}

// newError returns an Error of err, with the fence that goes with it.
func newError(adapter, op, id string, err error) error {
	e := &Error{Op: op, ComponentID: id, Adapter: adapter, Err: err}
	if answer := (*store.Error)(nil); errors.As(err, &answer) {
		e.Epoch, e.Version, e.Err = answer.Fence.Epoch, answer.Fence.Version, answer.Err
	}
	return e
}

// words are those in which the engine puts its errors.
var words = backend.Words{
	Fault: func(op, id string, err error) error { return newError("", op, id, err) },
	Fence: func(err error) (f store.Fence, worded bool) {
		if e := (*Error)(nil); errors.As(err, &e) {
			return store.Fence{Epoch: e.Epoch, Version: e.Version}, true
		}
		return store.Fence{}, false
	},
}

// backendOf returns a as the engine sees it.
func backendOf(a StateAdapter) backend.Backend {
	b := backend.Backend{States: states{a}}
	if o := find[Owner](a); o != nil {
		b.Owner = owner{o}
	}
	if h, ok := a.(Historian); ok {
		b.History = history{h}
	}
	if ours := find[interface{ inside() *storeAdapter }](a); ours != nil {
		in := ours.inside().in
		b.Custodian, b.Bytes = in, in
		if ours.inside().self == a && in.TakesOver() { // else a may make something of what it loads
			b.Taker = in
		}
	}
	return b
}

func (a *storeAdapter) inside() *storeAdapter { return a }

// find looks for a capability through wrappers; nil if it is not there.
func find[T any](a StateAdapter) (capability T) {
	for ; a != nil; a = unwrap(a) {
		if c, ok := a.(T); ok {
			return c
		}
	}
	return capability
}

// unwrap returns what a wraps, nil if it is no wrapper.
func unwrap(a StateAdapter) StateAdapter {
	if w, ok := a.(interface{ Unwrap() StateAdapter }); ok {
		return w.Unwrap()
	}
	return nil
}

// sameAdapter reports that a and b are one adapter, perhaps in wrappers.
func sameAdapter(a, b StateAdapter) bool {
	for ; a != nil && reflect.ValueOf(a).Comparable(); a = unwrap(a) {
		for s := b; s != nil && reflect.ValueOf(s).Comparable(); s = unwrap(s) {
			if a == s {
				return true
			}
		}
	}
	return false
}

// states is any StateAdapter as the engine sees it.
type states struct{ a StateAdapter }

func (s states) Save(ctx context.Context, name string, snap *store.Snapshot) error {
	return s.a.SaveState(ctx, name, (*Snapshot)(snap))
}

func (s states) Load(ctx context.Context, name string) (*store.Snapshot, error) {
	snap, err := s.a.LoadState(ctx, name)
	return (*store.Snapshot)(snap), err
}

func (s states) Delete(ctx context.Context, name string) error { return s.a.DeleteState(ctx, name) }

// owner is any Owner as the engine sees it.
type owner struct{ o Owner }

func (w owner) Claim(ctx context.Context, name string, epoch uint64) error {
	return w.o.ClaimState(ctx, name, epoch)
}

func (w owner) AcquireLease(ctx context.Context, name, holder string, ttl time.Duration) (*store.Lease, error) {
	l, err := w.o.AcquireLease(ctx, name, holder, ttl)
	return (*store.Lease)(l), err
}

func (w owner) RenewLease(ctx context.Context, l *store.Lease) (*store.Lease, error) {
	n := *l
	return &n, w.o.RenewLease(ctx, (*Lease)(&n))
}

func (w owner) ReleaseLease(ctx context.Context, l *store.Lease) (*store.Lease, error) {
	n := *l
	return &n, w.o.ReleaseLease(ctx, (*Lease)(&n))
}

func (w owner) LoadLease(ctx context.Context, name string) (*store.Lease, error) {
	l, err := w.o.LoadLease(ctx, name)
	return (*store.Lease)(l), err
}

// history is any Historian as the engine sees it.
type history struct{ h Historian }

func (w history) History(ctx context.Context, name string) ([]store.SnapshotInfo, error) {
	found, err := w.h.ListSnapshots(ctx, name)
	return convert(found, func(i SnapshotInfo) store.SnapshotInfo { return store.SnapshotInfo(i) }), err
}

func (w history) LoadVersion(ctx context.Context, name string, version uint64) (*store.Snapshot, error) {
	s, err := w.h.LoadSnapshot(ctx, name, version)
	return (*store.Snapshot)(s), err
}
