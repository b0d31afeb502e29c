package durable

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"time"

	"github.com/durablestate/durable/internal/adapter"
	"github.com/durablestate/durable/internal/engine/backend"
	"github.com/durablestate/durable/internal/foreign"
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
	name string        // "redis", "file", "memory"
	hide func() inside // behind a func it is out of the reach of whatever prints or dumps an adapter
}

// inside is what a storeAdapter has.
type inside struct {
	*adapter.Adapter              // the store, and what all stores have in common; nil in a zero value
	self             StateAdapter // what embeds the storeAdapter
	found            bool         // it is one of ours
}

// lifetime returns after how long a state expires that is not refreshed; 0: never, or
// that is not known.
func (in inside) lifetime() time.Duration {
	if in.Unusable() != nil {
		return 0
	}
	return in.Lifetime()
}

// over makes a an adapter over in; self embeds a.
func (a *storeAdapter) over(name string, in *adapter.Adapter, self StateAdapter) {
	a.name, a.hide = name, func() inside { return inside{in, self, true} }
}

func (a *storeAdapter) in() inside {
	if a.hide == nil {
		return inside{found: true}
	}
	return a.hide()
}

// Format writes what kind of adapter it is, whatever the verb: it holds passwords and
// states.
func (a *storeAdapter) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "durable adapter %q", a.name)
}

// SaveState implements [StateAdapter].
func (a *storeAdapter) SaveState(ctx context.Context, componentID string, s *Snapshot) error {
	return a.fail("save", componentID, a.in().Save(ctx, componentID, (*store.Snapshot)(s)))
}

// LoadState implements [StateAdapter].
func (a *storeAdapter) LoadState(ctx context.Context, componentID string) (*Snapshot, error) {
	s, err := a.in().Load(ctx, componentID)
	return (*Snapshot)(s), a.fail("load", componentID, err)
}

// DeleteState implements [StateAdapter].
func (a *storeAdapter) DeleteState(ctx context.Context, componentID string) error {
	return a.fail("delete", componentID, a.in().Delete(ctx, componentID))
}

// Close implements [StateAdapter].
func (a *storeAdapter) Close() error { return a.fail("close", "", a.in().Close()) }

// AcquireLease implements [Owner].
func (a *storeAdapter) AcquireLease(ctx context.Context, name, holder string, ttl time.Duration) (*Lease, error) {
	l, err := a.in().AcquireLease(ctx, name, holder, ttl)
	return (*Lease)(l), a.fail("acquire lease", name, err)
}

// RenewLease implements [Owner].
func (a *storeAdapter) RenewLease(ctx context.Context, l *Lease) error {
	if l == nil {
		return a.fail("renew lease", "", adapter.ErrNil)
	}
	n, err := a.in().RenewLease(ctx, (*store.Lease)(l))
	return a.fail("renew lease", l.Name, replace(l, n, err))
}

// ReleaseLease implements [Owner].
func (a *storeAdapter) ReleaseLease(ctx context.Context, l *Lease) error {
	if l == nil {
		return a.fail("release lease", "", adapter.ErrNil)
	}
	n, err := a.in().ReleaseLease(ctx, (*store.Lease)(l))
	return a.fail("release lease", l.Name, replace(l, n, err))
}

// replace makes l the record n, if that is stored.
func replace(l *Lease, n *store.Lease, err error) error {
	if store.IsStored(err) {
		*l = Lease(*n)
	}
	return err
}

// LoadLease implements [Owner].
func (a *storeAdapter) LoadLease(ctx context.Context, name string) (*Lease, error) {
	l, err := a.in().LoadLease(ctx, name)
	return (*Lease)(l), a.fail("load lease", name, err)
}

// ClaimState implements [Owner].
func (a *storeAdapter) ClaimState(ctx context.Context, componentID string, epoch uint64) error {
	return a.fail("claim", componentID, a.in().Claim(ctx, componentID, epoch))
}

// ListComponents implements [Historian].
func (a *storeAdapter) ListComponents(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for id, err := range a.in().List(ctx) {
			if !yield(id, a.fail("list", "", err)) {
				return
			}
		}
	}
}

// ListSnapshots implements [Historian].
func (a *storeAdapter) ListSnapshots(ctx context.Context, componentID string) ([]SnapshotInfo, error) {
	found, err := a.in().History(ctx, componentID)
	if err != nil {
		return nil, a.fail("list", componentID, err)
	}
	return convert(found, func(i store.SnapshotInfo) SnapshotInfo { return SnapshotInfo(i) }), nil
}

// LoadSnapshot implements [Historian].
func (a *storeAdapter) LoadSnapshot(ctx context.Context, componentID string, version uint64) (*Snapshot, error) {
	s, err := a.in().LoadVersion(ctx, componentID, version)
	return (*Snapshot)(s), a.fail("load", componentID, err)
}

// fail words err, nil for nil.
func (a *storeAdapter) fail(op, id string, err error) error {
	if err == nil {
		return nil
	}
	return newError(a.name, op, id, err)
}

// newError returns an Error of err, with the fence that goes with it. What an answer
// was wrapped in, its class and what to do about it, stays.
func newError(adapter, op, id string, err error) error {
	e := &Error{Op: op, ComponentID: id, Adapter: adapter, Err: err}
	f := store.FenceOf(err)
	e.Epoch, e.Version = f.Epoch, f.Version
	if answer, outermost := err.(*store.Error); outermost {
		e.Err = answer.Err
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

// backendOf returns a as the engine sees it, which is called in calls.
func backendOf(a StateAdapter, calls *foreign.Helpers) backend.Backend {
	b := backend.Backend{States: statesOf(a, calls)}
	layers := layersOf(a)
	if o, ok := find[Owner](layers); ok {
		b.Owner = owner{o, calling(o, calls)}
	}
	if h, ok := a.(Historian); ok {
		b.History = history{h, calling(h, calls)}
	}
	if ours := ownOf(a); ours.Unusable() == nil {
		b.Custodian, b.Bytes = ours.Adapter, ours.Adapter
		if ours.self == a && ours.TakesOver() { // else a may make something of what it loads
			b.Taker = ours.Adapter
		}
	}
	return b
}

// ownOf returns what is inside the adapter of ours that a is or wraps, if there is one.
func ownOf(a StateAdapter) inside {
	if ours, ok := find[interface{ in() inside }](layersOf(a)); ok {
		return ours.in()
	}
	return inside{}
}

// isNil reports that v is nil, or holds a nil pointer or the like.
func isNil(v any) bool {
	if v == nil {
		return true
	}
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Func, reflect.Chan:
		return r.IsNil()
	}
	return false
}

// A caller calls a method of an adapter, which may be anybody's.
type caller func(in string, fn func() error) error

// calling returns how to call a: one of ours directly, and any other as the foreign
// code that it is.
func calling(a any, calls *foreign.Helpers) caller {
	if isOurs(a) {
		return func(_ string, fn func() error) error { return fn() }
	}
	return calls.Call
}

// isOurs reports that a is one of the three adapters, in nothing else, and calls no
// code of others.
func isOurs(a any) bool {
	ours, ok := a.(interface{ in() inside })
	return ok && any(ours.in().self) == a
}

// mostLayers bounds how many adapters are wrapped in each other: more is a circle.
const mostLayers = 100

// layersOf returns a and what it wraps, from the outside in.
func layersOf(a StateAdapter) (layers []StateAdapter) {
	for !isNil(a) && len(layers) < mostLayers {
		layers = append(layers, a)
		w, ok := a.(interface{ Unwrap() StateAdapter })
		if !ok {
			break
		}
		if foreign.Call("Unwrap", func() error { a = w.Unwrap(); return nil }) != nil {
			break // it wraps nothing that can be asked
		}
	}
	return layers
}

// find looks for a capability through wrappers.
func find[T any](layers []StateAdapter) (capability T, ok bool) {
	for _, a := range layers {
		if c, ok := a.(T); ok {
			return c, true
		}
	}
	return capability, false
}

// sameAdapter reports that a and b are one adapter, perhaps in wrappers.
func sameAdapter(a, b StateAdapter) bool {
	inner := layersOf(b)
	for _, l := range layersOf(a) {
		if reflect.ValueOf(l).Comparable() && slices.ContainsFunc(inner, func(o StateAdapter) bool { return reflect.ValueOf(o).Comparable() && o == l }) {
			return true
		}
	}
	return false
}

// errNothing is what an adapter must not answer.
var errNothing = store.MarkPermanent(errors.New("the adapter returned neither a result nor an error; mend the adapter: it must return one of them"))

// orNothing returns p and err, or errNothing when there is neither.
func orNothing[T any](p *T, err error) (*T, error) {
	if p == nil && err == nil {
		return nil, errNothing
	}
	return p, err
}

// states is any StateAdapter as the engine sees it.
type states struct {
	a    StateAdapter
	ours bool
	call caller
}

func statesOf(a StateAdapter, calls *foreign.Helpers) states {
	return states{a, isOurs(a), calling(a, calls)}
}

func (s states) Save(ctx context.Context, name string, snap *store.Snapshot) error {
	if s.ours { // a save must not cost more than it has to
		return s.a.SaveState(ctx, name, (*Snapshot)(snap))
	}
	return s.call("SaveState", func() error { return s.a.SaveState(ctx, name, (*Snapshot)(snap)) })
}

func (s states) Load(ctx context.Context, name string) (snap *store.Snapshot, _ error) {
	err := s.call("LoadState", func() error {
		loaded, err := orNothing(s.a.LoadState(ctx, name))
		snap = (*store.Snapshot)(loaded)
		return err
	})
	if errors.Is(err, ErrCorrupt) || errors.Is(err, ErrTooNew) {
		return snap, err // the bytes as they are stored, if it shows them
	}
	return result(snap, err)
}

func (s states) Delete(ctx context.Context, name string) error {
	return s.call("DeleteState", func() error { return s.a.DeleteState(ctx, name) })
}

// result returns r and err, and no r when the call that was to make it did not return.
func result[T any](r *T, err error) (*T, error) {
	if foreign.Failed(err) {
		return nil, err
	}
	return r, err
}

// owner is any Owner as the engine sees it.
type owner struct {
	o    Owner
	call caller
}

func (w owner) Claim(ctx context.Context, name string, epoch uint64) error {
	return w.call("ClaimState", func() error { return w.o.ClaimState(ctx, name, epoch) })
}

func (w owner) AcquireLease(ctx context.Context, name, holder string, ttl time.Duration) (*store.Lease, error) {
	return w.lease("AcquireLease", func() (*Lease, error) { return w.o.AcquireLease(ctx, name, holder, ttl) })
}

func (w owner) RenewLease(ctx context.Context, l *store.Lease) (*store.Lease, error) {
	return w.lease("RenewLease", func() (*Lease, error) { n := Lease(*l); return &n, w.o.RenewLease(ctx, &n) })
}

func (w owner) ReleaseLease(ctx context.Context, l *store.Lease) (*store.Lease, error) {
	return w.lease("ReleaseLease", func() (*Lease, error) { n := Lease(*l); return &n, w.o.ReleaseLease(ctx, &n) })
}

func (w owner) LoadLease(ctx context.Context, name string) (*store.Lease, error) {
	return w.lease("LoadLease", func() (*Lease, error) { return w.o.LoadLease(ctx, name) })
}

func (w owner) lease(in string, ask func() (*Lease, error)) (l *store.Lease, _ error) {
	err := w.call(in, func() error {
		answer, err := orNothing(ask())
		l = (*store.Lease)(answer)
		return err
	})
	return result(l, err)
}

// history is any Historian as the engine sees it.
type history struct {
	h    Historian
	call caller
}

func (w history) History(ctx context.Context, name string) (list []store.SnapshotInfo, _ error) {
	err := w.call("ListSnapshots", func() error {
		found, err := w.h.ListSnapshots(ctx, name)
		list = convert(found, func(i SnapshotInfo) store.SnapshotInfo { return store.SnapshotInfo(i) })
		return err
	})
	return list, err
}

// List returns the ids of all components.
func (w history) List(ctx context.Context) (ids []string, _ error) {
	err := w.call("ListComponents", func() error {
		for id, err := range w.h.ListComponents(ctx) {
			if err != nil {
				return err
			}
			ids = append(ids, id)
		}
		return nil
	})
	return ids, err
}

func (w history) LoadVersion(ctx context.Context, name string, version uint64) (s *store.Snapshot, _ error) {
	err := w.call("LoadSnapshot", func() error {
		loaded, err := orNothing(w.h.LoadSnapshot(ctx, name, version))
		s = (*store.Snapshot)(loaded)
		return err
	})
	return result(s, err)
}
