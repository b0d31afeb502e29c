package durable

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// namespace returns what precedes a component id in the adapter.
func (c *Checkpointer) namespace() string {
	ns := ""
	for _, part := range []string{c.opts.System, c.opts.Replica} {
		if part != "" {
			ns += part + "/"
		}
	}
	return ns
}

// Register adds a component. It must come before Restore. The adapter knows the
// component as [system/][replica/]componentID; componentID must not contain "/"
// or begin with "~". It is an error to register an id or a StatefulComponent
// twice, or a state type that could not be read back; see StatefulComponent.
// Register calls the component's InitState, if it has one.
func (c *Checkpointer) Register(componentID string, comp Component) error {
	err := c.register(componentID, comp)
	if err != nil {
		return &Error{Op: "register", ComponentID: componentID, Err: err}
	}
	return nil
}

func (c *Checkpointer) register(id string, comp Component) error {
	name := c.namespace() + id
	switch {
	case c.invalid != nil:
		return c.invalid
	case checkID(id) != nil:
		return checkID(id)
	case strings.Contains(id, "/") || strings.HasPrefix(id, "~"):
		return fmt.Errorf(`%w: %q must not contain "/" or begin with "~"`, ErrInvalidID, id)
	case checkID(name) != nil:
		return fmt.Errorf("%w: with system and replica %q is too long", ErrInvalidID, name)
	case comp == nil:
		return errors.New("the component is nil")
	}
	if err := c.expect(id); err != nil {
		return err
	}
	m := &member{}
	m.init(c, name, comp)
	err := m.attach() // calls the component, so no lock is held
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.arriving, id)
	if err == nil {
		c.admit(m)
	}
	return err
}

func (c *Checkpointer) expect(id string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closing.Err() != nil:
		return ErrClosed
	case c.arriving[id] || c.roster.find(id) != nil:
		return errors.New("the id is registered already")
	case c.begun:
		return errors.New("it must come before Restore")
	}
	c.arriving[id] = true
	return nil
}

// admit makes a member like m one of the Checkpointer's. The caller holds c.mu.
func (c *Checkpointer) admit(like *member) {
	m := c.roster.next()
	m.kin, m.name, m.comp = like.kin, like.name, like.comp
	if t := m.tracked(); t != nil {
		t.move(m)
	}
	if c.opts.Consistent {
		c.set.add(m)
	}
	c.roster.add()
	c.registered.Add(1)
}

// places returns how many members are saved by themselves, and how to get at one.
func (c *Checkpointer) places() (n int, at func(place uint32) *member) {
	if c.opts.Consistent {
		return 1, func(uint32) *member { return c.set.m }
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	r := *c.roster // as it is now
	return r.n, func(place uint32) *member { return r.at(int(place)) }
}

// knows reports that a component of that id is registered.
func (c *Checkpointer) knows(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.roster.find(id) != nil
}

// choose returns the named components, all for no names.
func (c *Checkpointer) choose(ids []string) ([]*member, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(ids) == 0 {
		return c.roster.list(), nil
	}
	var chosen []*member
	var errs []error
	for _, id := range ids {
		if m := c.roster.find(id); m != nil {
			if !slices.Contains(chosen, m) {
				chosen = append(chosen, m)
			}
		} else {
			errs = append(errs, &Error{Op: "choose", ComponentID: id, Err: ErrNotRegistered})
		}
	}
	return chosen, errors.Join(errs...)
}
