package durable

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"

	"github.com/durablestate/durable/internal/engine/component"
	"github.com/durablestate/durable/internal/engine/wait"
	"github.com/durablestate/durable/internal/jsonstate"
)

// Component is anything with state. Most components embed [StatefulComponent]
// and have both methods already.
//
// A Component may have more methods, which [Checkpointer.Register] looks for:
// StateSchema() int and MigrateState(from int, data []byte) ([]byte, error), see
// StatefulComponent.
type Component interface {
	// SnapshotState returns the encoded state. It is called from a
	// checkpoint goroutine, never twice at a time by one Checkpointer, and
	// must take the component's own lock. The caller owns the result. Equal
	// bytes mean that nothing changed.
	SnapshotState() ([]byte, error)

	// RestoreState replaces the state by one that SnapshotState returned
	// earlier. After an error the component must be as it was before. It
	// must not keep data.
	RestoreState(data []byte) error
}

// StatefulComponent holds a state of type T and its lock. Embed one in a
// component, or use named fields and register each. The zero value is ready to
// use and starts from the zero T; it must not be copied after first use. All
// methods are safe for concurrent use.
//
// The state is encoded as JSON unless it encodes itself, and comes back as it was.
// Register refuses a T that JSON would drop or could not read back: unexported
// fields without `json:"-"`, interfaces with methods, channels, functions. What
// only a value tells is refused by the save: text that is not UTF-8, NaN, a key
// that is not read as itself, a struct behind an any. In a map[string]any integers
// come back as int64 (uint64 above it), exact, other numbers as float64. Two
// pointers to one object come back as two objects; docs/guarantees.md names this
// and the few other exceptions.
//
// Methods with special meaning are looked for on the registered component
// first, where they are called without the lock, and then on *T, where they are
// called under it:
//
//   - InitState() is called before first use and after every restore. Without it
//     a nil map T is made.
//   - Clone() T: the state is cloned under the lock and encoded outside it, so
//     that writers wait for the clone only.
//   - MarshalState() ([]byte, error) and UnmarshalState([]byte) error: the state's
//     own encoding (codec "binary") in place of JSON. What was stored as JSON is
//     still read as JSON.
//   - StateSchema() int and MigrateState(from int, data []byte) ([]byte, error): the
//     version of the state's format, and one step from the version from to the
//     next. A restore takes as many steps as needed. State of a schema above the
//     program's is ErrTooNew and stays untouched.
//
// Register refuses a method that bears such a name and would not be called: one with
// another signature, one of two embedded types, one of a pointer where a value was
// registered; an encoding that the state has from one of several fields; and an
// UnmarshalState of the state without a pointer receiver, which decodes into a copy.
type StatefulComponent[T any] struct {
	mu      sync.RWMutex
	state   atomic.Pointer[T] // which is out of the reach of whatever prints or dumps a component
	changes atomic.Uint64     // grows with every Update and RestoreState; written under mu
	ready   atomic.Bool       // the state was initialised
	owned   bool              // the state is this component's own; before, a copy before first use shares it
	primed  bool              // started from something other than the zero T
	host    atomic.Pointer[component.Registered]
}

// NewStatefulComponent returns a component whose state starts from initial,
// which belongs to the component from then on.
func NewStatefulComponent[T any](initial T) *StatefulComponent[T] {
	c := &StatefulComponent[T]{primed: true}
	c.state.Store(&initial)
	return c
}

// Update calls fn with exclusive access to the state and marks it as changed.
// The pointer is valid only until fn returns. An Update before Restore sets the
// state to start from when none is stored.
func (c *StatefulComponent[T]) Update(fn func(*T)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.change(fn)
}

func (c *StatefulComponent[T]) change(fn func(*T)) {
	if !c.ready.Load() {
		c.init()
	}
	c.changes.Add(1) // first: also when fn panics half-way
	fn(c.at())
}

// at returns the state. The caller holds the lock, for writing if it was never used.
func (c *StatefulComponent[T]) at() *T {
	if !c.owned {
		own := new(T)
		if start := c.state.Load(); start != nil {
			*own = *start
		}
		c.state.Store(own)
		c.owned = true
	}
	return c.state.Load()
}

// View calls fn with shared access to the state. The pointer is valid only until
// fn returns, and fn must not modify the state.
func (c *StatefulComponent[T]) View(fn func(*T)) {
	c.ensure()
	c.mu.RLock()
	defer c.mu.RUnlock()
	fn(c.at())
}

// ensure initialises the state before first use.
func (c *StatefulComponent[T]) ensure() {
	if c.ready.Load() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ready.Load() {
		c.init()
	}
}

// Commit is Update, and returns when that change is durable. An error does not
// undo fn: the change stays and the next checkpoint saves it, unless the error
// is ErrNotApplied (ctx ended before fn was called), ErrReplaced (a restore replaced
// the state meanwhile), ErrFenced, or ErrClosed (nothing is saved any more). Concurrent Commits share saves. Calling it inside
// Update or View is a programming error that ends with ctx; fn is not called then.
func (c *StatefulComponent[T]) Commit(ctx context.Context, fn func(*T)) error {
	if err := wait.Lock(ctx, &c.mu); err != nil {
		return c.fault("commit", fmt.Errorf("%w: %w", ErrNotApplied, err))
	}
	host := c.host.Load()
	var life component.Life
	func() {
		defer c.mu.Unlock()
		if host != nil {
			life = host.Life() // before the change, which is the life's to keep or lose
		}
		c.change(fn)
	}()
	return c.save(ctx, host, life)
}

// CheckpointState saves the state now and returns when every change made before
// the call is durable, or ctx ends. It is ErrNotRegistered without a
// Checkpointer, ErrNotRestored before a successful Restore, ErrReplaced when a restore
// replaced the state meanwhile, ErrFenced after a newer owner took over, and ErrClosed
// after Close.
func (c *StatefulComponent[T]) CheckpointState(ctx context.Context) error {
	host := c.host.Load()
	var life component.Life
	if host != nil {
		life = host.Life()
	}
	return c.save(ctx, host, life)
}

// save returns when what the state was in that life is durable.
func (c *StatefulComponent[T]) save(ctx context.Context, host *component.Registered, life component.Life) error {
	if host == nil {
		return c.fault("checkpoint", ErrNotRegistered)
	}
	if !host.Has(cell[T]{c}) {
		return c.fault("checkpoint", fmt.Errorf("%w: this StatefulComponent is a copy of the registered one, and its changes are lost; use a pointer", ErrNotRegistered))
	}
	err := host.Checkpoint(ctx)
	if life.Goes(host.Life()) {
		return err
	}
	return c.fault("save", component.Replaced(err))
}

// fault words err.
func (c *StatefulComponent[T]) fault(op string, err error) error {
	id := ""
	if host := c.host.Load(); host != nil {
		id = host.ID()
	}
	return newError("", op, id, err)
}

// SnapshotState returns the encoded state. The caller owns the result.
func (c *StatefulComponent[T]) SnapshotState() ([]byte, error) {
	if m, ok := c.outer().(component.Marshaler); ok {
		return m.MarshalState()
	}
	if encodeClone := c.freeze(); encodeClone != nil {
		return encodeClone()
	}
	c.ensure()
	c.mu.RLock()
	defer c.mu.RUnlock()
	return encode(c.at())
}

// freeze clones the state and returns what encodes the clone, nil when the state
// cannot be cloned.
func (c *StatefulComponent[T]) freeze() func() ([]byte, error) {
	if _, ok := c.outer().(component.Marshaler); ok {
		return nil
	}
	if o, ok := c.outer().(interface{ Clone() T }); ok {
		v := o.Clone()
		return func() ([]byte, error) { return encode(&v) }
	}
	type cloner interface{ Clone() T }
	if _, ok := any((*T)(nil)).(cloner); !ok {
		return nil
	}
	var v T
	c.View(func(state *T) { v = any(state).(cloner).Clone() })
	return func() ([]byte, error) { return encode(&v) }
}

func encode[T any](v *T) ([]byte, error) {
	if m, ok := any(v).(component.Marshaler); ok {
		return m.MarshalState()
	}
	return jsonstate.Marshal(v)
}

// RestoreState replaces the state by data, which it decodes into a fresh T: it
// never merges. After an error the state is as it was before. Called by the
// program itself it is a change, which the next checkpoint saves.
func (c *StatefulComponent[T]) RestoreState(data []byte) error {
	host := c.host.Load()
	a := host.TakeArrival(data)
	own := a == nil // the program itself replaces the state, which is a change like any other
	if own {
		a = &component.Arrival{}
	}
	if a.Codec == "" {
		a.Codec = c.codec()
	}
	if u, ok := c.outer().(component.Unmarshaler); ok && a.Codec == codecBinary {
		return host.Replace(func() error {
			if err := u.UnmarshalState(data); err != nil {
				return err
			}
			if own {
				c.changes.Add(1)
			}
			c.initOuter()
			return nil
		})
	}
	var fresh T
	unknown, err := decode(a.Codec, data, &fresh)
	if err != nil {
		return err
	}
	a.Unknown = unknown
	return host.Replace(func() error {
		a.Changes = c.replace(fresh)
		c.initOuter()
		return nil
	})
}

// decode decodes data into *v and names the fields that v does not have.
func decode[T any](codec string, data []byte, v *T) (unknown []string, err error) {
	if codec != codecBinary {
		return jsonstate.Unmarshal(data, v)
	}
	u, ok := any(v).(component.Unmarshaler)
	if !ok {
		return nil, fmt.Errorf("the state was stored by MarshalState, but %T has no UnmarshalState; run the program that wrote it, or add the method", v)
	}
	return nil, u.UnmarshalState(data)
}

// replace makes v the state, initialises it and returns the change count. When
// InitState panics the state is as it was before.
func (c *StatefulComponent[T]) replace(v T) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	old, done := *c.at(), false
	defer func() {
		if !done {
			*c.at() = old
		}
	}()
	*c.at() = v
	c.init()
	done = true
	return c.changes.Add(1)
}

// initOuter calls the registered component's InitState.
func (c *StatefulComponent[T]) initOuter() {
	if i, ok := c.outer().(component.Initialiser); ok {
		i.InitState()
	}
}

// init makes the state usable. The caller holds the lock.
func (c *StatefulComponent[T]) init() {
	if v := reflect.ValueOf(c.at()).Elem(); v.Kind() == reflect.Map && v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	if i, ok := any(c.at()).(component.Initialiser); ok {
		i.InitState()
	}
	c.ready.Store(true)
}

// outer returns the registered component, nil before Register and when the
// StatefulComponent was registered itself.
func (c *StatefulComponent[T]) outer() Component {
	if r := c.host.Load(); r != nil && r.Outer() != component.Component(c) {
		return r.Outer()
	}
	return nil
}

const (
	codecJSON   = "json"
	codecBinary = "binary"
)

func (c *StatefulComponent[T]) codec() string {
	_, byOuter := c.outer().(component.Marshaler)
	if _, byState := any((*T)(nil)).(component.Marshaler); byState || byOuter {
		return codecBinary
	}
	return codecJSON
}

// stateful is a component that is, or embeds, a StatefulComponent: cell is promoted
// to whatever embeds one.
type stateful interface{ cell() component.Cell }

func (c *StatefulComponent[T]) cell() component.Cell {
	if c == nil {
		panic("it is nil")
	}
	return cell[T]{c}
}

// cellOf returns the inner face of comp, nil for none. It is an error when comp
// is nil, or would have one, but embeds a nil pointer or more than one of them.
func cellOf(comp Component) (inner component.Cell, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("the component, or the StatefulComponent that it embeds, is nil")
		}
	}()
	if isNil(comp) {
		return nil, fmt.Errorf("the component is a nil %T", comp)
	}
	if s, ok := comp.(stateful); ok {
		return s.cell(), nil
	}
	if component.Embeds(reflect.TypeOf(comp), reflect.TypeFor[stateful]()) {
		return nil, fmt.Errorf("%T embeds more than one StatefulComponent, of which none can be told to be its state; make them named fields and register each", comp)
	}
	return nil, nil
}

// cell is what a Checkpointer knows of a StatefulComponent beyond Component.
type cell[T any] struct{ *StatefulComponent[T] }

func (c cell[T]) ChangeCount() uint64               { return c.changes.Load() }
func (c cell[T]) Fresh() bool                       { return c.changes.Load() == 0 && !c.primed }
func (c cell[T]) Type() reflect.Type                { return reflect.TypeFor[StatefulComponent[T]]() }
func (c cell[T]) State() reflect.Type               { return reflect.TypeFor[T]() }
func (c cell[T]) Freeze() func() ([]byte, error)    { return c.freeze() }
func (c cell[T]) Codec() string                     { return c.codec() }
func (c cell[T]) WithState(fn func(state any))      { c.View(func(v *T) { fn(v) }) }
func (c cell[T]) Detach(from *component.Registered) { c.host.CompareAndSwap(from, nil) }

func (c cell[T]) Attach(to *component.Registered) error {
	if err := c.check(to.Outer()); err != nil {
		return err
	}
	if !c.host.CompareAndSwap(nil, to) {
		return errors.New("it is registered already; each component needs a StatefulComponent of its own")
	}
	c.ensure()
	c.initOuter()
	return nil
}

func (c cell[T]) Reset() {
	var zero T
	c.replace(zero)
	c.initOuter()
}

func (c cell[T]) Schema() (version int) {
	if _, ok := any((*T)(nil)).(component.SchemaHolder); ok {
		c.View(func(state *T) { version = any(state).(component.SchemaHolder).StateSchema() })
	}
	return version
}

// check refuses a state that could not be encoded or read back.
func (c cell[T]) check(comp component.Component) error {
	for _, v := range []any{comp, (*T)(nil)} {
		_, m := v.(component.Marshaler)
		_, u := v.(component.Unmarshaler)
		switch {
		case m && u:
			return nil
		case m != u:
			return fmt.Errorf("%T has only one of MarshalState and UnmarshalState; give it both, or none", v)
		}
	}
	return jsonstate.Check(reflect.TypeFor[T]())
}
