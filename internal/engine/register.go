package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/durablestate/durable/internal/engine/component"
	"github.com/durablestate/durable/internal/engine/saver"
	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
)

// profiles are what members have in common: the same for all that are alike.
type profiles struct {
	mu sync.Mutex
	of map[component.Profile]*component.Profile
}

func (p *profiles) like(k component.Profile) *component.Profile {
	p.mu.Lock()
	defer p.mu.Unlock()
	shared := p.of[k]
	if shared == nil {
		shared = &k
		p.of[k] = shared
	}
	return shared
}

// Register adds a component before the first Restore; cell is its inner face, nil
// if it has none.
func (e *Engine) Register(id string, comp component.Component, cell component.Cell) error {
	switch {
	case e.invalid != nil:
		return e.invalid
	case envelope.CheckPart(id) != nil:
		return envelope.CheckPart(id)
	case comp == nil:
		return errors.New("the component is nil")
	}
	return e.add(id, comp, cell, func() error {
		if e.hasBegun() {
			return errors.New("it must come before Restore")
		}
		return nil
	})
}

// Admit adds a component at any time, under an id that may have slashes. It is
// saved once a Restore that names it has succeeded.
func (e *Engine) Admit(id string, comp component.Component, cell component.Cell) error {
	if e.opts.Consistent {
		return errors.New("with Options.Consistent no component may come while others work")
	}
	return e.add(id, comp, cell, func() error { return nil })
}

func (e *Engine) add(id string, comp component.Component, cell component.Cell, timely func() error) error {
	name := e.opts.namespace() + id
	if envelope.CheckID(name) != nil {
		return fmt.Errorf("%w: with system and replica %q is too long", store.ErrInvalidID, name)
	}
	if e.isClosing() {
		return store.ErrClosed
	}
	if err := e.registry.announce(id); err != nil {
		return err
	}
	m, err := e.newMember(id, name, comp, cell) // calls the component, so no lock is held
	if err == nil {
		err = timely()
	}
	if err != nil {
		e.registry.add(id, nil)
		return err
	}
	if e.opts.Consistent {
		e.set.Add(&m.Registered, &m.own)
	}
	if e.hasBegun() {
		m.own.NoteSetUp()
	}
	e.registry.add(id, m)
	e.mu.Lock()
	started := e.started
	e.mu.Unlock()
	if started && !e.opts.Consistent {
		e.due.Add(&m.own)
	}
	return nil
}

func (e *Engine) newMember(id, name string, comp component.Component, cell component.Cell) (*member, error) {
	p := component.Profile{
		Log: e.opts.Logger, Prefix: len(name) - len(id), Interval: e.opts.Interval, Policy: e.opts.Restore,
		Promoted: component.Promoted(comp, cell),
	}
	if own := e.opts.Components[id]; own != (ComponentOptions{}) {
		if own.Interval != 0 {
			p.Interval = own.Interval
		}
		if own.Restore != "" {
			p.Policy = own.Restore
		}
	}
	m := &member{}
	m.own.Init(e.system, &m.Registered)
	saved := &m.own
	if e.opts.Consistent {
		saved = &e.set.Saver
	}
	return m, m.Register(name, comp, cell, e.profiles.like(p), saved)
}

// Release saves a component, if it changed, and forgets it: it can be registered
// again. Nothing may change it during the call. After an error it is still
// registered.
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
	e.system.Down.Over(id)
	e.system.Stuck.Over(id)
	m.Unregister()
	return nil
}

var _ saver.Subject = (*component.Registered)(nil)
