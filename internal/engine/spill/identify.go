package spill

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/durablestate/durable/internal/store"
)

var errItself = errors.New("Options.Spill (spill_directory) is the store itself: give it a directory, or a key prefix, of its own")

var errAStore = errors.New("Options.Spill (spill_directory) is a store of its own, in which states of other programs would be mixed up with what is spilled: " +
	"give it a directory, or a key prefix, that nothing else uses")

func errUnlabelled(id string) error {
	return fmt.Errorf("Options.Spill (spill_directory) holds the state %q, which nobody spilled: if it is the store of another program, give the spill a directory of its own; "+
		"if not, copy the state away and delete it there", id)
}

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
	for range recordTries {
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
	return errors.New("the identity of the store is being changed by somebody else")
}

// is takes id for the identity of the store, and looks what was spilled for it.
func (d *Depot) is(ask Ask, id store.Identity) error {
	d.identity = id
	_, fence, err := d.load(ask, apart(id, d.record()))
	if err != nil {
		return err
	}
	d.apart = d.apart || fence != (store.Fence{})
	r, err := d.known(ask, id)
	d.moved = r != nil && r.Where != "" && d.Self.Where != "" && !d.Self.SameStore(r)
	return err
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

// refuseStore refuses a spill that has an identity: that is what stores have.
func (d *Depot) refuseStore(ask Ask, known store.Identity) error {
	var s *store.Snapshot
	err := ask(func(ctx context.Context) (err error) {
		s, err = d.States.Load(ctx, d.Namespace+store.StoreID)
		return err
	})
	switch {
	case err == nil:
		if id, ok := store.ReadIdentity(s.Data); ok && id == known {
			return store.MarkPermanent(errItself)
		}
		return store.MarkPermanent(errAStore)
	case errors.Is(err, store.ErrNotFound):
		return nil
	case store.OutcomeOf(err) == store.Unreachable:
		return err
	}
	return store.MarkPermanent(errAStore)
}

// found is what was spilled under a name for a store.
type found struct {
	id, name string
	*store.Snapshot
}

// recognise returns the identity of a store that has none: a new one, or that of the
// store whose states are in the spill, if it is this one that came back empty.
func (d *Depot) recognise(ask Ask, names []string) (store.Identity, error) {
	spilled, err := d.search(ask, names)
	if err != nil || len(spilled) == 0 {
		return store.NewIdentity(), err
	}
	var owners []store.Identity
	for _, e := range spilled {
		if owner := store.LabelOf(e.Snapshot); !slices.Contains(owners, owner) {
			owners = append(owners, owner)
		}
	}
	var same []store.Identity
	var told []string
	for _, owner := range owners {
		r, err := d.known(ask, owner)
		if err != nil {
			return "", err
		}
		if r != nil && d.Self.SameStore(r) {
			same = append(same, owner)
		}
		told = append(told, describe(owner, r))
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
	return "", store.MarkPermanent(d.ambiguous(spilled, told))
}

const mostNamed = 5 // ids in an error or a log line

// ambiguous says that nobody can tell whose the spilled states are, and the way out.
func (d *Depot) ambiguous(spilled []found, told []string) error {
	ids := make([]string, len(spilled))
	for i, e := range spilled {
		ids[i] = e.id
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

func describe(owner store.Identity, r *store.SpillRecord) string {
	if r == nil {
		return fmt.Sprintf("the store %s, of which nothing else is known", owner)
	}
	where := r.Where
	if where == "" {
		where = "at an unknown place"
	}
	return fmt.Sprintf("the store %s (%s, system %q, spilled by %q at %s)", owner, where, store.Namespace(r.System, r.Replica), r.Holder, r.At.Format("2006-01-02T15:04:05Z07:00"))
}

// known returns what the spill tells of the store owner, nil for nothing.
func (d *Depot) known(ask Ask, owner store.Identity) (*store.SpillRecord, error) {
	for _, id := range []string{d.record(), apart(owner, d.record())} {
		s, _, err := d.load(ask, id)
		if err != nil {
			return nil, err
		}
		if s == nil {
			continue
		}
		if r := readRecord(s); r != nil && r.Store == owner {
			return r, nil
		}
	}
	return nil, nil
}

// load returns what the spill has under id, nil for nothing that can be read, and the
// fence, which is not zero where anything ever was or that is not told.
func (d *Depot) load(ask Ask, id string) (s *store.Snapshot, f store.Fence, err error) {
	err = ask(func(ctx context.Context) (err error) {
		s, err = d.States.Load(ctx, id)
		return err
	})
	switch {
	case err == nil:
		return s, s.Fence(), nil
	case store.OutcomeOf(err) == store.Unreachable:
		return nil, f, err
	}
	f, worded := d.Words.Fence(err)
	if !worded || !errors.Is(err, store.ErrNotFound) {
		f.Version = max(f.Version, 1)
	}
	return nil, f, nil
}

// untouched reports that the store has nothing under the names of what was spilled
// for owner, or what the same owner, or a later one, saved: it is then for the save
// rule to decide.
func (d *Depot) untouched(ask Ask, owner store.Identity, spilled []found) (bool, error) {
	for _, e := range spilled {
		if store.LabelOf(e.Snapshot) != owner {
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
func (d *Depot) search(ask Ask, names []string) ([]found, error) {
	var all []found
	add := func(id, name string) error {
		s, _, err := d.load(ask, id)
		if err == nil && s != nil {
			all = append(all, found{id, name, s})
		}
		if err == nil && s != nil && store.LabelOf(s) == "" {
			err = store.MarkPermanent(errUnlabelled(id))
		}
		return err
	}
	for _, name := range names {
		if err := add(name, name); err != nil {
			return nil, err
		}
	}
	ids, err := d.list(ask)
	if err != nil {
		return nil, err
	}
	places := map[store.Identity]map[string]string{} // names by their ids apart
	for _, id := range ids {
		rest, ok := strings.CutPrefix(id, store.SpillPrefix)
		if !ok {
			continue
		}
		text, _, _ := strings.Cut(rest, "/")
		owner := store.Identity(text)
		if places[owner] == nil {
			places[owner] = d.places(owner, names)
		}
		if name, ok := places[owner][id]; ok {
			if err := add(id, name); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

func (d *Depot) places(owner store.Identity, names []string) map[string]string {
	m := make(map[string]string, len(names))
	for _, name := range names {
		m[apart(owner, name)] = name
	}
	return m
}

// list returns the ids of all that the spill holds, as far as it can tell.
func (d *Depot) list(ask Ask) (ids []string, err error) {
	if d.List == nil {
		return nil, nil
	}
	err = ask(func(ctx context.Context) (err error) {
		ids, err = d.List(ctx)
		return err
	})
	return ids, err
}
