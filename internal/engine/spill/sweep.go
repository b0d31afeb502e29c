package spill

import (
	"context"
	"strings"

	"github.com/durablestate/durable/internal/store"
)

// Sweep is called when what was spilled is back in the store. It tells of what is
// left of ours under other names than names, and takes us out of the book when
// nothing is. Of a spill that cannot list what it holds nobody knows that.
func (d *Depot) Sweep(ask Ask, names func() []string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.List == nil || d.book == nil || d.book.Of(d.identity) == nil {
		return nil
	}
	left, unknown, err := d.left(ask, names())
	if err != nil {
		return err
	}
	if len(unknown) > 0 {
		d.Log.Warn("durable: states of components that are not registered stay in the spill", "ids", Named(unknown))
	}
	if left {
		return nil
	}
	d.entered = false
	return ask(func(ctx context.Context) (err error) {
		d.book, err = d.change(ctx, func(b *store.SpillBook) { b.Leave(d.identity) })
		return err
	})
}

// left reports that something of ours is in the spill, and what of it has a name
// that is none of names.
func (d *Depot) left(ask Ask, names []string) (any bool, unknown []string, err error) {
	ids, err := d.list(ask)
	if err != nil {
		return false, nil, err
	}
	places := d.placesOf([]store.Identity{d.identity}, names)
	for _, id := range ids {
		ours, err := d.isOurs(ask, id)
		if err != nil {
			return false, nil, err
		}
		if !ours {
			continue
		}
		any = true
		if _, ok := places[id]; !ok {
			unknown = append(unknown, id)
		}
	}
	return any, unknown, nil
}

// isOurs reports that a state of ours is under id, or one of the first that nobody
// can read while we are that.
func (d *Depot) isOurs(ask Ask, id string) (bool, error) {
	if strings.HasPrefix(id, store.SpillPrefix+string(d.identity)+"/") {
		return true, nil
	}
	name, ok := strings.CutPrefix(id, d.Namespace)
	if !ok || strings.Contains(name, "/") || id == d.bookID() {
		return false, nil
	}
	s, err := d.load(ask, id)
	if s == nil {
		return d.first() && err == nil, err
	}
	return store.LabelOf(s) == d.identity, nil
}
