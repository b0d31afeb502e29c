package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/durablestate/durable/internal/engine/backend"
	"github.com/durablestate/durable/internal/engine/component"
	"github.com/durablestate/durable/internal/engine/saver"
	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
)

// member is a registered component, and the saver of its state by itself. With
// Options.Consistent that saver only tells what was found of it by itself.
type member struct {
	component.Registered // its Order is that of the registry
	own                  saver.Saver
}

// registry has the members in the order of registration, and finds one by its id,
// at a cost that does not depend on the others. It is safe for concurrent use.
type registry struct {
	words   backend.Words
	members atomic.Int64 // how many

	mu      sync.Mutex
	byID    map[string]*member             // nil: is being registered
	plain   map[component.Component]string // the ids of those that have no cell to tell that they are here
	order   []*member                      // nil: was removed
	removed int                            // of those
}

func newRegistry(words backend.Words) *registry {
	return &registry{words: words, byID: map[string]*member{}, plain: map[component.Component]string{}}
}

// announce takes the id for a member that is to be added. A plain component is one
// without a cell, which would know.
func (r *registry) announce(id string, comp component.Component, plain bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, taken := r.byID[id]; taken {
		return errors.New("the id is registered already; give each component one of its own")
	}
	if plain = plain && hasIdentity(comp); plain {
		if other, taken := r.plain[comp]; taken {
			return fmt.Errorf("the component is registered already, as %q; register each once", other)
		}
		r.plain[comp] = id
	}
	r.byID[id] = nil
	return nil
}

// hasIdentity reports that a component that is equal to comp is comp itself: pointers to
// nothing are equal and equal values are not the same.
func hasIdentity(comp component.Component) bool {
	t := reflect.TypeOf(comp)
	return t.Kind() == reflect.Pointer && t.Elem().Size() > 0
}

// withdraw takes back what was announced.
func (r *registry) withdraw(id string, comp component.Component) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.byID, id)
	r.forget(id, comp)
}

// forget takes a plain component out. The caller holds the lock.
func (r *registry) forget(id string, comp component.Component) {
	if hasIdentity(comp) && r.plain[comp] == id {
		delete(r.plain, comp)
	}
}

// add takes in the member that was announced.
func (r *registry) add(id string, m *member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m.Order = uint32(len(r.order))
	r.byID[id] = m
	r.order = append(r.order, m)
	r.members.Add(1)
}

// remove takes a member out.
func (r *registry) remove(m *member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.byID, m.ID())
	r.forget(m.ID(), m.Outer())
	r.order[m.Order] = nil
	r.removed++
	r.members.Add(-1)
	if r.removed <= len(r.order)/2 {
		return
	}
	left := make([]*member, 0, len(r.order)-r.removed) // a new one: all may be reading the old one
	for _, m := range r.order {
		if m != nil {
			m.Order = uint32(len(left))
			left = append(left, m)
		}
	}
	r.order, r.removed = left, 0
}

// find returns the member of that id, nil if there is none.
func (r *registry) find(id string) *member {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byID[id]
}

// all yields the members in the order of registration. It holds no lock while it
// does, and may yield one that is removed meanwhile.
func (r *registry) all() iter.Seq[*member] {
	return func(yield func(*member) bool) {
		r.mu.Lock()
		order := r.order
		r.mu.Unlock()
		var some [256]*member
		for len(order) > 0 {
			r.mu.Lock()
			n := copy(some[:], order)
			r.mu.Unlock()
			order = order[n:]
			for _, m := range some[:n] {
				if m != nil && !yield(m) {
					return
				}
			}
		}
	}
}

// choose returns the members of the ids, each once; all for none.
func (r *registry) choose(ids []string) ([]*member, error) {
	if len(ids) == 0 {
		return slices.AppendSeq(make([]*member, 0, r.members.Load()), r.all()), nil
	}
	chosen := make([]*member, 0, len(ids))
	seen := make(map[string]bool, len(ids))
	var errs []error
	for _, id := range ids {
		switch m := r.find(id); {
		case seen[id]:
		case m == nil:
			errs = append(errs, r.words.Fault("choose", id, store.ErrNotRegistered))
		default:
			seen[id] = true
			chosen = append(chosen, m)
		}
	}
	return chosen, errors.Join(errs...)
}

var errLate = errors.New("it must come before Restore")

// Register adds a component before the first Restore; cell: its inner face, or nil.
func (e *Engine) Register(id string, comp component.Component, cell component.Cell) error {
	return e.add(id, comp, cell, envelope.CheckPart(id), false)
}

// Admit adds a component at any time, under an id that may have slashes. It is
// saved once a Restore that names it has succeeded.
func (e *Engine) Admit(id string, comp component.Component, cell component.Cell) error {
	err := envelope.CheckID(id)
	switch {
	case e.opts.Consistent:
		err = errors.New("with Options.Consistent no component may come while others work")
	case strings.HasPrefix(id, "~"):
		err = fmt.Errorf(`%w: %q must not begin with "~"`, store.ErrInvalidID, id)
	}
	return e.add(id, comp, cell, err, true)
}

// add adds a component unless wrong says what is wrong with that.
func (e *Engine) add(id string, comp component.Component, cell component.Cell, wrong error, late bool) error {
	name := e.opts.namespace() + id
	switch {
	case e.invalid != nil:
		return e.invalid
	case wrong != nil:
		return wrong
	case comp == nil:
		return errors.New("the component is nil")
	case envelope.CheckID(name) != nil:
		return fmt.Errorf("%w: with system and replica %q is too long", store.ErrInvalidID, name)
	case e.isClosing():
		return store.ErrClosed
	case !late && e.begun.Load():
		return errLate
	}
	if err := e.registry.announce(id, comp, cell == nil); err != nil {
		return err
	}
	m, err := e.newMember(id, name, comp, cell) // calls the component, so no lock is held
	e.joining.Lock()
	defer e.joining.Unlock()
	if err == nil && !late && e.begun.Load() { // by now
		m.Unregister()
		err = errLate
	}
	if err != nil {
		e.registry.withdraw(id, comp)
		return err
	}
	if e.opts.Consistent {
		e.set.Add(&m.Registered, &m.own)
	}
	if e.begun.Load() {
		m.own.NoteSetUp()
	}
	e.registry.add(id, m)
	if e.started.Load() && !e.opts.Consistent {
		e.due.Add(&m.own)
	}
	return nil
}

func (e *Engine) newMember(id, name string, comp component.Component, cell component.Cell) (*member, error) {
	own := e.opts.Components[id]
	p := component.Profile{
		Log: e.opts.Logger, Arrivals: &e.arrivals, Prefix: len(name) - len(id), Promoted: component.Promoted(comp, cell),
		Handed: component.Handed(comp, cell), Plain: component.Plain(comp, cell), Calls: e.opts.Calls,
		Interval: cmp.Or(own.Interval, e.opts.Interval), Policy: cmp.Or(own.Restore, e.opts.Restore),
	}
	e.joining.Lock()
	if e.profiles[p] == nil {
		e.profiles[p] = &p
	}
	alike := e.profiles[p]
	e.joining.Unlock()
	m := &member{}
	m.own.Init(e.system, &m.Registered)
	saved := &m.own
	if e.opts.Consistent {
		saved = &e.set.Saver
	}
	return m, m.Register(name, comp, cell, alike, saved)
}

// Release saves a component, if it changed, and forgets it, unless there is an
// error: it can be registered again. Nothing may change it during the call.
func (e *Engine) Release(ctx context.Context, id string) error {
	m := e.registry.find(id)
	switch {
	case m == nil:
		return e.fault("release", id, store.ErrNotRegistered)
	case e.opts.Consistent:
		return e.fault("release", id, errors.New("with Options.Consistent no component may go while others work"))
	}
	if m.own.Restored() && !m.own.Current(time.Now()) {
		if err := m.own.Checkpoint(ctx); err != nil {
			return err
		}
	}
	if err := m.own.Retire(); err != nil {
		return err
	}
	e.due.Remove(&m.own)
	e.registry.remove(m)
	e.system.Note(id, nil)
	m.Unregister()
	return nil
}
