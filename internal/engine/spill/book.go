package spill

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/durablestate/durable/internal/store"
)

// bookTries bounds how often a change of the book begins again because somebody
// else changed it: each time one of those who want to has done so.
const bookTries = 100

// bookID is the id of the book of who has spilled.
func (d *Depot) bookID() string { return d.Namespace + store.SpillID }

// look returns the book, an empty one where there is none and nil where something is
// that nobody can read, and the version that its next save takes.
func (d *Depot) look(ctx context.Context) (b *store.SpillBook, next uint64, err error) {
	s, err := d.States.Load(ctx, d.bookID())
	f, _ := d.Words.Fence(err)
	switch {
	case err == nil:
		if b = new(store.SpillBook); json.Unmarshal(s.Data, b) != nil {
			return nil, 0, nil
		}
		return b, s.Fence().Version + 1, nil
	case errors.Is(err, store.ErrNotFound):
		return new(store.SpillBook), f.Version + 1, nil
	case store.OutcomeOf(err) == store.Unreachable:
		return nil, 0, err
	}
	return nil, 0, nil
}

// change makes a change of the book and returns the book as it is then, nil where
// nobody can read it: it stays as it is. An empty one is removed.
func (d *Depot) change(ctx context.Context, do func(*store.SpillBook)) (*store.SpillBook, error) {
	for range bookTries {
		b, next, err := d.look(ctx)
		if b == nil {
			return nil, err
		}
		if do(b); len(b.Stores) == 0 {
			return b, belowLevel(d.States.Delete(ctx, d.bookID()))
		}
		data, _ := json.Marshal(b) // cannot fail
		err = d.States.Save(ctx, d.bookID(), &store.Snapshot{Version: next, Codec: "json", Data: data})
		if !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrFenced) {
			return b, belowLevel(err)
		}
	}
	return nil, errors.New("the record of who spilled is being changed by others; give each program a spill of its own")
}

// belowLevel takes what is stored for enough: it is in a spill for a while.
func belowLevel(err error) error {
	if store.IsStored(err) {
		return nil
	}
	return err
}

// enter makes sure that the book names us, and reports that we came first: the ids
// of the states are ours. The caller holds d.mu.
func (d *Depot) enter(ctx context.Context) (first bool, err error) {
	if !d.entered {
		self := d.Self
		self.Store, self.At = d.identity, time.Now().UTC().Truncate(time.Second)
		if d.book, err = d.change(ctx, func(b *store.SpillBook) { b.Enter(self) }); err != nil {
			return false, err
		}
		d.entered = true
	}
	return d.first(), nil
}

// first reports that the ids of the states are ours, as far as the book tells.
func (d *Depot) first() bool {
	return d.book != nil && len(d.book.Stores) > 0 && d.book.Stores[0].Store == d.identity
}
