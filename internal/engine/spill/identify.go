package spill

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/durablestate/durable/internal/store"
)

var errItself = errors.New("Options.Spill (spill_directory) is the store itself: give it a directory, or a key prefix, of its own")

var errAStore = errors.New("Options.Spill (spill_directory) is a store of its own, in which states of other programs would be mixed up with what is spilled: " +
	"give it a directory, or a key prefix, that nothing else uses")

func errUnlabelled(id string) error {
	return fmt.Errorf("Options.Spill (spill_directory) holds the state %q, which nobody spilled: if it is the store of another program, give the spill a directory of its own; "+
		"if not, copy the state away and delete it there", id)
}

// identityTries is how often the identity is looked at again while others save theirs.
const identityTries = 4

// Ask calls do, again when it had no answer and there is time.
type Ask func(do func(ctx context.Context) error) error

// Identify finds out which store this is, and makes it an identity if it has none.
// names are those of all states that this program knows. A spill that is the store
// is refused, and nothing in it is touched. A store that has no identity although
// something was spilled under these names may have come back empty; if that cannot
// be told for certain, it is an error, since a fresh start would bury the states.
//
// The identity is saved by once, which does not ask again: a store that can be read
// and takes no saves for now is none that a program should wait for.
func (d *Depot) Identify(ask, once Ask, names func() []string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for range identityTries {
		known, fence, err := d.stored(ask)
		if err == nil {
			err = d.refuseStore(ask, known)
		}
		if err != nil {
			return err
		}
		if known != "" {
			return d.is(ask, known)
		}
		id := d.identity // the store was emptied while this process ran
		if id == "" {
			if id, err = d.recognise(ask, names()); err != nil {
				return err
			}
		}
		err = once(func(ctx context.Context) error {
			return d.Store.Save(ctx, d.Namespace+store.StoreID, &store.Snapshot{Version: fence.Version + 1, Codec: "json", Data: id.State()})
		})
		if errors.Is(err, store.ErrConflict) {
			continue
		}
		if !store.IsStored(err) {
			d.Log.Warn("durable: the identity of the store could not be saved; the next start does it", "id", d.Namespace+store.StoreID, "error", err)
		}
		if err = d.refuseStore(ask, id); err != nil {
			return err
		}
		return d.is(ask, id)
	}
	return errors.New("the identity of the store is being changed by somebody else; start again when that is over")
}

// is takes id for the identity of the store, and looks who has spilled.
func (d *Depot) is(ask Ask, id store.Identity) (err error) {
	d.identity, d.entered = id, false
	d.book, err = d.read(ask)
	return err
}

// read returns the book, nil where nobody can read it.
func (d *Depot) read(ask Ask) (b *store.SpillBook, err error) {
	err = ask(func(ctx context.Context) (err error) {
		b, _, err = d.look(ctx)
		return err
	})
	return b, err
}

// stored returns the identity that the store has, empty for none.
func (d *Depot) stored(ask Ask) (id store.Identity, f store.Fence, err error) {
	var s *store.Snapshot
	err = ask(func(ctx context.Context) (err error) {
		s, err = d.Store.Load(ctx, d.Namespace+store.StoreID)
		return err
	})
	switch store.OutcomeOf(err) {
	case store.FirstBoot, store.Expired, store.Lost, store.Corrupt:
		f, _ = d.Words.Fence(err)
		return "", f, nil
	}
	if err != nil {
		return "", f, fmt.Errorf("the identity of the store, %q, could not be read: %w", d.Namespace+store.StoreID, err)
	}
	id, _ = store.ReadIdentity(s.Data)
	return id, s.Fence(), nil
}

// refuseStore refuses a spill that has an identity: that is what stores have. One
// that cannot be read tells nothing: were this the store, its own could not be either.
func (d *Depot) refuseStore(ask Ask, known store.Identity) error {
	s, err := d.load(ask, d.Namespace+store.StoreID)
	if err != nil || s == nil {
		return err
	}
	if id, ok := store.ReadIdentity(s.Data); ok && id == known {
		return store.MarkPermanent(errItself)
	}
	return store.MarkPermanent(errAStore)
}

// found is what was spilled under a name for a store.
type found struct {
	id, name        string
	*store.Snapshot // nil: nobody can read it
}

// recognise returns the identity of a store that has none: a new one, or that of the
// store that spilled from this place, if it is that one, come back empty.
func (d *Depot) recognise(ask Ask, names []string) (store.Identity, error) {
	book, err := d.read(ask)
	if err != nil {
		return "", err
	}
	spilled, err := d.search(ask, book, names)
	if err != nil {
		return "", err
	}
	if book == nil {
		return "", store.MarkPermanent(fmt.Errorf("%w: the record of who spilled, %q, cannot be read", d.ambiguous(spilled, new(store.SpillBook)), d.bookID()))
	}
	var same []store.Identity
	for i := range book.Stores {
		if d.Self.SameStore(&book.Stores[i]) {
			same = append(same, book.Stores[i].Store)
		}
	}
	if len(same) == 1 {
		empty, err := d.untouched(ask, same[0], spilled)
		if err != nil {
			return "", err
		}
		if empty {
			d.Log.Warn("durable: the store has come back empty; what was spilled for it is written back", "store", d.Self.Where, "identity", same[0])
			return same[0], nil
		}
	}
	if len(spilled) == 0 {
		return store.NewIdentity(), nil
	}
	return "", store.MarkPermanent(d.ambiguous(spilled, book))
}

const mostNamed = 5 // ids in an error or a log line

// ambiguous says that nobody can tell whose the spilled states are, and the way out.
func (d *Depot) ambiguous(spilled []found, book *store.SpillBook) error {
	var ids, told []string
	for _, e := range spilled {
		ids = append(ids, e.id)
		if of := describe(e, book); !slices.Contains(told, of) {
			told = append(told, of)
		}
	}
	return fmt.Errorf("the spill holds %s for %s, and this store has no identity of its own yet: is it that store, come back empty or moved? "+
		"If so, bring the states into it with \"durable export\" and \"durable import\", and remove them from the spill with \"durable delete\"; "+
		"if not, give this program a spill of its own (docs/recovery.md). A fresh start would bury them", Named(ids), strings.Join(told, " and "))
}

// Named names some of ids.
func Named(ids []string) string {
	slices.Sort(ids)
	text := fmt.Sprintf("%q", ids[:min(len(ids), mostNamed)])
	if n := len(ids) - mostNamed; n > 0 {
		text += fmt.Sprintf(" and %d more", n)
	}
	return text
}

// describe says which store e is for.
func describe(e found, book *store.SpillBook) string {
	if e.Snapshot == nil {
		return "a store that cannot be told, since they cannot be read"
	}
	owner := store.LabelOf(e.Snapshot)
	r := book.Of(owner)
	if r == nil {
		return fmt.Sprintf("the store %s, of which nothing else is known", owner)
	}
	return fmt.Sprintf("the store %s (%s, system %q, spilled by %q at %s)", owner, cmp.Or(r.Where, "at an unknown place"),
		store.Namespace(r.System, r.Replica), r.Holder, r.At.Format(time.RFC3339))
}

// load returns what the spill has under id, nil for nothing that can be read.
func (d *Depot) load(ask Ask, id string) (s *store.Snapshot, err error) {
	err = ask(func(ctx context.Context) (err error) {
		s, err = d.States.Load(ctx, id)
		return err
	})
	switch {
	case err == nil:
		return s, nil
	case store.OutcomeOf(err) == store.Unreachable:
		return nil, err
	}
	return nil, nil
}

// untouched reports that the store has nothing under the names of what was spilled
// for owner, or what the same owner, or a later one, saved: it is then for the save
// rule to decide.
func (d *Depot) untouched(ask Ask, owner store.Identity, spilled []found) (bool, error) {
	for _, e := range spilled {
		if e.Snapshot == nil || store.LabelOf(e.Snapshot) != owner {
			continue
		}
		var s *store.Snapshot
		err := ask(func(ctx context.Context) (err error) {
			s, err = d.Store.Load(ctx, e.name)
			return err
		})
		if err != nil && store.OutcomeOf(err) == store.Unreachable {
			return false, err
		}
		f, _ := d.Words.Fence(err)
		if err == nil {
			f = s.Fence()
		}
		if f != (store.Fence{}) && f.Epoch < e.Epoch {
			return false, nil
		}
	}
	return true, nil
}

// search returns what was spilled under names, for whatever store.
func (d *Depot) search(ask Ask, book *store.SpillBook, names []string) (all []found, err error) {
	places, err := d.places(ask, book, names)
	if err != nil {
		return nil, err
	}
	for id, name := range places {
		var s *store.Snapshot
		err := ask(func(ctx context.Context) (err error) {
			s, err = d.States.Load(ctx, id)
			return err
		})
		switch {
		case errors.Is(err, store.ErrNotFound):
			continue
		case err == nil && store.LabelOf(s) == "":
			return nil, store.MarkPermanent(errUnlabelled(id))
		case err != nil && store.OutcomeOf(err) == store.Unreachable:
			return nil, err
		case err != nil:
			s = nil
		}
		all = append(all, found{id, name, s})
	}
	return all, nil
}

// places returns the ids under which states of these names may be spilled, with the
// names: by what the adapter lists, or, where it does not, by who is in the book.
func (d *Depot) places(ask Ask, book *store.SpillBook, names []string) (map[string]string, error) {
	var owners []store.Identity
	if book != nil {
		for i := range book.Stores {
			owners = append(owners, book.Stores[i].Store)
		}
	}
	ids, err := d.list(ask)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if rest, ok := strings.CutPrefix(id, store.SpillPrefix); ok {
			owner, _, _ := strings.Cut(rest, "/")
			owners = append(owners, store.Identity(owner))
		}
	}
	slices.Sort(owners)
	places := d.placesOf(slices.Compact(owners), names)
	if d.List != nil {
		maps.DeleteFunc(places, func(id, _ string) bool { _, listed := slices.BinarySearch(ids, id); return !listed })
	}
	return places, nil
}

// placesOf returns the ids under which states of these names may be spilled for owners.
func (d *Depot) placesOf(owners []store.Identity, names []string) map[string]string {
	m := make(map[string]string, len(names)*(1+len(owners)))
	for _, name := range names {
		m[name] = name
		for _, owner := range owners {
			m[apart(owner, name)] = name
		}
	}
	return m
}

// list returns the ids of all that the spill holds, in order, as far as it can tell.
func (d *Depot) list(ask Ask) (ids []string, err error) {
	if d.List == nil {
		return nil, nil
	}
	err = ask(func(ctx context.Context) (err error) {
		ids, err = d.List(ctx)
		return err
	})
	slices.Sort(ids)
	return ids, err
}
