package durable

import (
	"fmt"
	"reflect"

	"github.com/durablestate/durable/internal/jsonstate"
)

// The methods below are what a Checkpointer knows of a StatefulComponent beyond
// Component. They are promoted to whatever embeds it.

// counted is a state that counts its changes.
type counted interface {
	changeCount() uint64
	fresh() bool // it is the state of a program that has done nothing yet
}

// tracked is a component that counts its changes.
type tracked interface {
	counted
	attach(m *member) error
	move(to *member)
	freeze() func() ([]byte, error)
	reset()
	stateCodec() string
	stateSchema() int
	withState(fn func(state any))
}

func (c *StatefulComponent[T]) attach(m *member) error {
	if err := c.check(m.comp); err != nil {
		return err
	}
	if !c.host.CompareAndSwap(nil, m) {
		return fmt.Errorf("it is registered already; each component needs a StatefulComponent of its own")
	}
	c.ensure()
	c.restored()
	return nil
}

// move ties the component to a member that is like the one it was attached to.
func (c *StatefulComponent[T]) move(to *member) { c.host.Store(to) }

func (c *StatefulComponent[T]) check(comp Component) error {
	for _, v := range []any{comp, &c.value} {
		_, m := v.(stateMarshaler)
		_, u := v.(stateUnmarshaler)
		switch {
		case m && u:
			return nil
		case m != u:
			return fmt.Errorf("%T has only one of MarshalState and UnmarshalState", v)
		}
	}
	if t := reflect.TypeFor[T](); t.Kind() == reflect.Pointer && hooked(any(c.value)) {
		return fmt.Errorf("the methods of %s would not be called, because the state is a pointer; use StatefulComponent[%s]", t, t.Elem())
	}
	return jsonstate.Check(reflect.TypeFor[T]())
}

// hooked reports that v has a method with special meaning.
func hooked(v any) bool {
	switch v.(type) {
	case stateInitialiser, stateMarshaler, stateUnmarshaler, schemaHolder, schemaMigrator:
		return true
	}
	return false
}

func (c *StatefulComponent[T]) changeCount() uint64 { return c.changes.Load() }

// fresh reports whether the state is still the initialised zero T.
func (c *StatefulComponent[T]) fresh() bool {
	return c.changes.Load() == 0 && !c.primed
}

// reset replaces the state by the initialised zero T.
func (c *StatefulComponent[T]) reset() {
	var zero T
	c.replace(zero)
	c.restored()
}

// restoring gives the component data in that codec, and returns the change count
// up to which the state is what was restored.
func (m *member) restoring(codec string, data []byte) (changes uint64, err error) {
	a := &arrival{codec: codec, changes: m.changeCount()}
	m.arrive(a)
	defer m.arrive(nil)
	err = m.comp.RestoreState(data)
	return a.changes, err
}

func (m *member) arrive(a *arrival) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rest().arrival = a
	m.trim()
}

// takeArrival returns what a Restore has announced, nil when it is the program that
// calls RestoreState.
func (m *member) takeArrival() *arrival {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.more == nil {
		return nil
	}
	a := m.more.arrival
	m.more.arrival = nil
	m.trim()
	return a
}

const (
	codecJSON   = "json"
	codecBinary = "binary"
)

func (c *StatefulComponent[T]) stateCodec() string {
	_, onOwner := c.owner().(stateMarshaler)
	if _, onState := any(&c.value).(stateMarshaler); onState || onOwner {
		return codecBinary
	}
	return codecJSON
}

func (c *StatefulComponent[T]) stateSchema() int {
	h, ok := any(&c.value).(schemaHolder)
	if !ok {
		return 0
	}
	c.ensure()
	c.mu.RLock()
	defer c.mu.RUnlock()
	return h.StateSchema()
}

// withState calls fn with the *T under the lock.
func (c *StatefulComponent[T]) withState(fn func(state any)) { c.View(func(v *T) { fn(v) }) }

type (
	stateInitialiser interface{ InitState() }
	stateMarshaler   interface{ MarshalState() ([]byte, error) }
	stateUnmarshaler interface{ UnmarshalState([]byte) error }
	schemaHolder     interface{ StateSchema() int }
	schemaMigrator   interface {
		MigrateState(from int, data []byte) ([]byte, error)
	}
)
