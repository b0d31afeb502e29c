// Package component is a registered component as the engine sees it: its changes,
// its state in one call, and its restore. What a component does wrong, a panic
// included, is its own error.
package component

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"reflect"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/durablestate/durable/internal/foreign"
	"github.com/durablestate/durable/internal/store"
)

// Component is anything with state; see durable.Component.
type Component interface {
	SnapshotState() ([]byte, error)
	RestoreState(data []byte) error
}

// Cell is the inner face of a durable.StatefulComponent, which counts its changes.
type Cell interface {
	ChangeCount() uint64
	Fresh() bool // it is the state of a program that has done nothing yet
	Type() reflect.Type
	State() reflect.Type // the type of the state
	Attach(to *Registered) error
	Detach(from *Registered)        // unless it belongs to another
	Freeze() func() ([]byte, error) // clones the state; nil: it cannot be cloned
	Reset()                         // makes it the initialised zero state
	Codec() string
	Schema() int
	WithState(fn func(state any)) // calls fn with a pointer to the state, under its lock
}

// The methods with special meaning, of a component or of the state of its Cell.
type (
	Initialiser  interface{ InitState() }
	Marshaler    interface{ MarshalState() ([]byte, error) }
	Unmarshaler  interface{ UnmarshalState([]byte) error }
	SchemaHolder interface{ StateSchema() int }
	Migrator     interface {
		MigrateState(from int, data []byte) ([]byte, error)
	}
)

// Profile is what registered components have in common with others.
type Profile struct {
	Log      *slog.Logger
	Prefix   int // length of what precedes the id in the name
	Interval time.Duration
	Policy   store.Policy
	Arrivals *sync.Map // of *Registered: what a restore has announced, while it lasts
	Promoted bool      // SnapshotState is that of the Cell, so a clone of its state is all there is to capture
	Handed   bool      // RestoreState is that of the Cell, which gets the data of the restore itself
	Plain    bool      // and neither of the two calls code of the program
	Calls    *foreign.Helpers
}

// Registered is one registered component. A program may have a million of them of
// which most do nothing, so it holds what an idle one needs.
type Registered struct {
	name string // as the adapter knows it
	comp Component
	*Profile
	saver Saver

	cell   Cell        // nil: it does not count its changes
	hiding atomic.Bool // its last snapshot may tell more than the cell counts

	restores restores

	Order uint32 // of registration; of whoever keeps it in an order
}

// Saver is what saves the component: its own, or that of the set.
type Saver interface {
	Checkpoint(ctx context.Context) error
}

// Arrival is what RestoreState is about to be given by a restore.
type Arrival struct {
	Data    []byte
	Codec   string
	Changes uint64 // change count up to which the state is the stored one; set by the cell

	Unknown []string // fields of the stored state that it does not have; set by the cell
}

// Mark is what can be told of a state without asking for it.
type Mark struct {
	Changes uint64 // grows with every change
	Exact   bool   // Changes tells of every change
	Fresh   bool   // of a program that has done nothing yet
}

// Capture is a state at one moment.
type Capture struct {
	Snapshot *store.Snapshot // Schema, Codec and Data
	Changes  uint64          // that it covers
	Digest   Digest          // of what Changes may not tell of; zero: it tells all
}

// Digest tells states apart.
type Digest = [sha256.Size]byte

// Register makes r the component comp under the full name name, saved by saver,
// ties cell to it and checks the component's hooks. r must not be copied after it.
func (r *Registered) Register(name string, comp Component, cell Cell, p *Profile, saver Saver) (err error) {
	r.name, r.comp, r.cell, r.Profile, r.saver = name, comp, cell, p, saver
	var state reflect.Type
	if cell != nil {
		state = cell.State()
	}
	if err := CheckHooks(comp, state); err != nil {
		return err
	}
	r.hiding.Store(cell != nil && !p.Promoted) // until a capture tells
	defer func() {
		if err != nil {
			r.Unregister()
		}
	}()
	return r.called("InitState", foreign.Call("InitState", func() error { // no helper stays: nothing was restored

		if cell != nil {
			if err := cell.Attach(r); err != nil {
				return err
			}
		} else if i, ok := comp.(Initialiser); ok {
			i.InitState()
		}
		if err := checkFilled(comp); err != nil { // only now: InitState may fill it
			return err
		}
		return r.checkSchema()
	}))
}

// Unregister unties the cell.
func (r *Registered) Unregister() {
	if r.cell != nil {
		r.cell.Detach(r)
	}
}

func (r *Registered) ID() string                           { return r.name[r.Prefix:] } // as it was registered
func (r *Registered) Name() string                         { return r.name }
func (r *Registered) Every() time.Duration                 { return r.Interval }
func (r *Registered) Outer() Component                     { return r.comp }
func (r *Registered) Checkpoint(ctx context.Context) error { return r.saver.Checkpoint(ctx) }

// Has reports that cell is that of the component, and no copy of it.
func (r *Registered) Has(cell Cell) bool { return r.cell == cell }

// TakeArrival returns what a restore has announced of data; nil: the program itself
// calls. A component with a RestoreState of its own may make other data of it.
func (r *Registered) TakeArrival(data []byte) *Arrival {
	if r == nil {
		return nil
	}
	known, ok := r.Arrivals.Load(r)
	if !ok {
		return nil
	}
	a := known.(*Arrival)
	another := len(a.Data) != len(data) || unsafe.SliceData(a.Data) != unsafe.SliceData(data)
	if another && r.Handed || !r.Arrivals.CompareAndDelete(r, a) {
		return nil
	}
	return a
}

// Counts reports that the component counts its changes.
func (r *Registered) Counts() bool { return r.cell != nil }

// Mark returns what can be told without asking for the state.
func (r *Registered) Mark() Mark {
	if r.cell == nil {
		return Mark{}
	}
	n := r.cell.ChangeCount()
	return Mark{Changes: n, Exact: !r.hiding.Load(), Fresh: n == 0 && r.cell.Fresh()}
}

// Capture encodes the state. An error of the component is for good: it would give
// this state no other way.
func (r *Registered) Capture(context.Context) (c Capture, err error) {
	err = r.call("SnapshotState", func() error {
		changes := r.Mark().Changes // before the capture, so that it covers at least these
		data, err := r.comp.SnapshotState()
		if err != nil {
			return err
		}
		if data == nil {
			data = []byte{}
		}
		r.hiding.Store(r.cell != nil && !(r.Promoted && len(data) > 0))
		c = r.captured(data, changes)
		return nil
	})
	return c, store.MarkPermanent(err)
}

// Freeze clones the state and returns what encodes the clone, which may be called
// later; nil when the state cannot be cloned.
func (r *Registered) Freeze() (encode func() (Capture, error), err error) {
	if !r.Promoted {
		return nil, nil
	}
	changes := r.cell.ChangeCount()
	var encodeClone func() ([]byte, error)
	err = r.call("Clone", func() error { encodeClone = r.cell.Freeze(); return nil })
	if encodeClone == nil || err != nil {
		return nil, err
	}
	return func() (c Capture, err error) {
		err = r.call("SnapshotState", func() error {
			data, err := encodeClone()
			if err != nil {
				return err
			}
			r.hiding.Store(false)
			c = r.captured(append([]byte{}, data...), changes)
			return nil
		})
		return c, store.MarkPermanent(err)
	}, nil
}

func (r *Registered) captured(data []byte, changes uint64) Capture {
	c := Capture{Changes: changes, Snapshot: &store.Snapshot{Schema: r.schema(), Data: data}}
	if r.cell != nil {
		c.Snapshot.Codec = r.cell.Codec()
	}
	if r.cell == nil || r.hiding.Load() {
		c.Digest = sha256.Sum256(data)
	}
	return c
}

// Apply migrates a stored state and hands it to the component. It returns the
// change count up to which the state is the stored one, and the stored fields that
// the component does not have.
func (r *Registered) Apply(s *store.Snapshot) (changes uint64, unknown []string, err error) {
	err = r.call("RestoreState", func() error {
		return r.Replace(func() (err error) {
			changes, unknown, err = r.apply(s)
			return err
		})
	})
	return changes, unknown, err
}

func (r *Registered) apply(s *store.Snapshot) (changes uint64, unknown []string, err error) {
	data, err := r.migrate(s.Schema, s.Data)
	if err != nil {
		return 0, nil, err
	}
	if r.cell == nil {
		return 0, nil, r.comp.RestoreState(data)
	}
	a := &Arrival{Data: data, Codec: s.Codec, Changes: r.cell.ChangeCount()}
	r.Arrivals.Store(r, a)
	defer r.Arrivals.Delete(r)
	err = r.comp.RestoreState(data)
	return a.Changes, a.Unknown, err
}

// Reset makes the state what the component was set up with: start, or for nil the
// initialised zero state. A component without a cell is left as it is.
func (r *Registered) Reset(start *store.Snapshot) (err error) {
	switch {
	case r.cell == nil:
	case start != nil:
		_, _, err = r.Apply(start)
	default:
		err = r.call("InitState", func() error {
			return r.Replace(func() error { r.cell.Reset(); return nil })
		})
	}
	return err
}

// call calls fn, which calls the method in of the component. What that does wrong is
// the error.
func (r *Registered) call(in string, fn func() error) (err error) {
	if r.Plain {
		err = direct(in, fn)
	} else {
		err = r.Calls.Call(in, fn)
	}
	return r.called(in, err)
}

func direct(in string, fn func() error) (err error) {
	defer foreign.Catch(in, &err)
	return fn()
}

// called returns err, with which a call of the component's method in ended; the stack
// of a panic goes to the log.
func (r *Registered) called(in string, err error) error {
	if stack := foreign.Stack(err); stack != "" {
		r.Log.Error("durable: a component panicked; only this call failed, and the stack says where", "component", r.ID(), "in", in, "stack", stack)
	}
	return err
}

// Settled has nothing to tell: nobody else is held up.
func (r *Registered) Settled(err error) (time.Duration, error) { return 0, err }
