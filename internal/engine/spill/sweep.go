package spill

import (
	"context"
	"strings"

	"github.com/durablestate/durable/internal/store"
)

// Sweep is called when what was spilled is back in the store. It tells of what is
// left of ours under other names than names, and removes the record of us when
// nothing is. A spill that cannot list what it holds keeps the record.
func (d *Depot) Sweep(ask Ask, names func() []string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var records []string
	for _, id := range []string{d.record(), apart(d.identity, d.record())} {
		s, _, err := d.load(ask, id)
		if err != nil {
			return err
		}
		if s == nil {
			continue
		}
		if r := readRecord(s); r != nil && r.Store == d.identity {
			records = append(records, id)
		}
	}
	if len(records) == 0 || d.List == nil {
		return nil
	}
	left, unknown, err := d.left(ask, names())
	if err != nil {
		return err
	}
	if len(unknown) > 0 {
		d.Log.Warn("durable: states of components that are not registered stay in the spill", "ids", Named(unknown))
	}
	for _, id := range records {
		if left {
			return nil
		}
		if err := ask(func(ctx context.Context) error { return belowLevel(d.States.Delete(ctx, id)) }); err != nil {
			return err
		}
		d.settled, d.recorded = false, false
	}
	return nil
}

// left reports that something of ours is in the spill, and what of it has a name
// that is none of names.
func (d *Depot) left(ask Ask, names []string) (any bool, unknown []string, err error) {
	ids, err := d.list(ask)
	if err != nil {
		return false, nil, err
	}
	places := d.places(d.identity, names)
	for _, name := range names {
		places[name] = name
	}
	for _, id := range ids {
		name, plain := strings.CutPrefix(id, d.Namespace)
		plain = plain && !strings.Contains(name, "/") && id != d.record()
		ours := strings.HasPrefix(id, store.SpillPrefix+string(d.identity)+"/") && id != apart(d.identity, d.record())
		if plain && !ours {
			s, _, err := d.load(ask, id)
			if err != nil {
				return false, nil, err
			}
			ours = s != nil && store.LabelOf(s) == d.identity
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
