// Package spill keeps what could not be saved in an adapter of its own, which
// several stores may share: every snapshot there names the store that it is for.
package spill

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/durablestate/durable/internal/engine/backend"
	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
)

// Adapter is what takes snapshots that a store cannot.
type Adapter struct {
	backend.States
	List  func(ctx context.Context) ([]string, error) // ids of all that it holds; nil: it cannot tell
	Bytes backend.Bytes                               // nil: it does not show them
}

// Config is what a Depot is made of.
type Config struct {
	Adapter
	Store     backend.States    // that the snapshots are for
	Namespace string            // what precedes the ids of the system
	Self      store.SpillRecord // without Store and At
	Words     backend.Words
	Log       *slog.Logger
}

// A Depot is a spill adapter as one system of one store uses it. The system whose
// store came first has its states under their own ids there, others have a prefix
// in front. It is safe for concurrent use.
type Depot struct {
	Config

	mu       turn             // held while it is found out what follows, and while the spill is asked for that
	identity store.Identity   // of the store; empty: not known yet
	book     *store.SpillBook // of who has spilled, not changed once it is here; nil: nobody can read it
	entered  bool             // it names us as we are
	stay     map[string]bool  // ids of ours at which something has to stay
}

// New returns a Depot that is yet to be identified.
func New(c Config) *Depot {
	c.States = named{c.States, c.Words}
	return &Depot{Config: c, mu: make(turn, 1)}
}

// named says of what an adapter answers that it is the spill, where that is no answer
// about a state: a program has two stores then.
type named struct {
	of    backend.States
	words backend.Words
}

func (n named) say(id string, err error) error {
	switch class := store.ClassOf(err); {
	case class == store.Unreached, class == store.Permanent && store.OutcomeOf(err) == store.Unreachable:
		return n.words.Fault("spill", id, err)
	}
	return err
}

func (n named) Save(ctx context.Context, name string, s *store.Snapshot) error {
	return n.say(name, n.of.Save(ctx, name, s))
}

func (n named) Load(ctx context.Context, name string) (*store.Snapshot, error) {
	s, err := n.of.Load(ctx, name)
	return s, n.say(name, err)
}

func (n named) Delete(ctx context.Context, name string) error {
	return n.say(name, n.of.Delete(ctx, name))
}

// A turn is a lock that may be held for as long as the spill takes to answer: one may
// give up waiting for it.
type turn chan struct{}

func (t turn) Lock()   { t <- struct{}{} }
func (t turn) Unlock() { <-t }

// take is Lock, unless ctx ends first.
func (t turn) take(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Save stores snap, the state name, under an id of ours, labelled with the store it
// is for. Whatever is another's is neither overwritten nor aged out. It sets the
// WriteID of snap.
func (d *Depot) Save(ctx context.Context, name string, snap *store.Snapshot) error {
	if err := d.mu.take(ctx); err != nil {
		return err
	}
	entering, cancel := half(ctx)
	own, err := d.enter(entering)
	cancel()
	us := d.identity
	own = own && !d.stay[name]
	full := d.stay[apart(us, name)]
	d.mu.Unlock()
	if err == nil && own {
		own, err = d.free(ctx, us, name)
	}
	if err == nil && !own && full {
		err = fmt.Errorf("the spill holds states of %q that could not be set aside", name)
	}
	if err != nil {
		return err
	}
	snap.WriteID = us.Label()
	if own {
		err = d.States.Save(ctx, name, snap)
	}
	if !own || errors.Is(err, store.ErrFenced) { // by whoever used the id before
		err = d.States.Save(ctx, apart(us, name), snap)
	}
	return err
}

// Leave keeps Save from using an id of ours: what is there could not be set aside.
func (d *Depot) Leave(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stay == nil {
		d.stay = map[string]bool{}
	}
	d.stay[id] = true
}

// half returns a context that leaves half of what is left of ctx to others: all wait
// for one who finds out who has spilled, and the spill may answer the next.
func half(ctx context.Context) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(end)/2)
}

// apart returns the id of the state name of a store that did not come first.
func apart(of store.Identity, name string) string {
	return envelope.JoinID(store.SpillPrefix+string(of)+"/", name)
}

// free reports that nothing but our own is stored under the id name.
func (d *Depot) free(ctx context.Context, us store.Identity, name string) (bool, error) {
	s, err := d.States.Load(ctx, name)
	switch {
	case err == nil:
		return store.LabelOf(s) == us, nil
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrExpired):
		return true, nil
	case store.OutcomeOf(err) == store.Unreachable:
		return false, err
	}
	return false, nil // something is there that nobody can read
}

// An Entry is a spilled snapshot.
type Entry struct {
	ID string // in the spill adapter
	*store.Snapshot
}

// Found is what is spilled of a state.
type Found struct {
	Ours   []Entry // perhaps two
	Others string  // the id of one that is another's; empty: none
	Fence  uint64  // the highest epoch that the adapter tells of
	Unread *Unread
}

// Unread is what is spilled of a state and cannot be read, or what is newer than the
// entry that can. It stays where it is until it is set aside.
type Unread struct {
	IDs []string
	Err error // with the fence, as far as that is known
}

// add takes the state under id in. Of two the one of a newer release counts.
func (f *Found) add(id string, err error) {
	if f.Unread == nil {
		f.Unread = &Unread{}
	}
	f.Unread.IDs = append(f.Unread.IDs, id)
	f.Unread.Err = errors.Join(f.Unread.Err, fmt.Errorf("the spill holds a state that cannot be read, under %q: %w", id, err))
}

// Find returns what is spilled of the state name.
func (d *Depot) Find(ctx context.Context, name string) (f Found, err error) {
	d.mu.Lock()
	us, ids := d.identity, []string{name}
	if d.book == nil || d.book.Of(us) != nil {
		ids = append(ids, apart(us, name))
	}
	anothers := d.book != nil && len(d.book.Stores) > 0 && !d.first() // what has no prefix
	d.mu.Unlock()
	for _, id := range ids {
		s, err := d.States.Load(ctx, id)
		fence, _ := d.Words.Fence(err)
		f.Fence = max(f.Fence, fence.Epoch)
		switch {
		case err == nil && (id != name || store.LabelOf(s) == us):
			f.Ours = append(f.Ours, Entry{id, s})
			if s.LastVersion > s.Version {
				f.add(id, store.Answer(s.Fence(), store.ErrCorrupt, "version %d", s.LastVersion))
			}
		case err == nil && store.LabelOf(s) == "":
			return f, store.MarkPermanent(errUnlabelled(id))
		case err == nil:
			f.Others = id
		case errors.Is(err, store.ErrNotFound):
		case store.OutcomeOf(err) == store.Unreachable:
			return f, err
		case id == name && anothers:
			f.Others = id
			d.Log.Error("durable: spilled state of another store cannot be read; it stays where it is", "id", id, "error", err)
		default:
			f.add(id, err)
		}
	}
	return f, nil
}

// Moved reports that what is there was spilled by a store of the same identity at
// another place: this one was moved, or is a copy of that one, which still counts on
// what it spilled.
func (d *Depot) Moved() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.book == nil {
		return false
	}
	r := d.book.Of(d.identity)
	return r != nil && r.Where != "" && d.Self.Where != "" && !d.Self.SameStore(r)
}
