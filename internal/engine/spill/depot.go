// Package spill keeps what could not be saved in an adapter of its own, which
// several stores may share: every snapshot there names the store that it is for.
package spill

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/durablestate/durable/internal/engine/backend"
	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
)

// Adapter is what takes snapshots that a store cannot.
type Adapter struct {
	backend.States
	List func(ctx context.Context) ([]string, error) // ids of all that it holds; nil: it cannot tell
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

	mu       sync.Mutex     // held while it is found out what follows
	identity store.Identity // of the store; empty: not known yet
	moved    bool           // what is there was spilled for a store of this identity at another place
	apart    bool           // states of ours may have ids with the prefix
	settled  bool           // first is known, and the record says who we are
	first    bool           // the states have their own ids
	recorded bool           // and so does the record beside those with the prefix
}

// New returns a Depot that is yet to be identified.
func New(c Config) *Depot { return &Depot{Config: c} }

// Save stores snap, the state name, under an id of ours, labelled with the store it
// is for. Whatever is another's is neither overwritten nor aged out. It sets the
// WriteID of snap.
func (d *Depot) Save(ctx context.Context, name string, snap *store.Snapshot) error {
	own, err := d.settle(ctx)
	if err == nil && own {
		own, err = d.free(ctx, name)
	}
	if err != nil {
		return err
	}
	snap.WriteID = d.identity.Label()
	if own {
		err = d.States.Save(ctx, name, snap)
	}
	if !own || errors.Is(err, store.ErrFenced) { // by whoever used the id before
		err = d.saveApart(ctx, name, snap)
	}
	return err
}

// saveApart stores snap where the state's own id is another's.
func (d *Depot) saveApart(ctx context.Context, name string, snap *store.Snapshot) error {
	d.mu.Lock()
	var err error
	if !d.recorded {
		d.recorded, err = d.leaveRecord(ctx, apart(d.identity, d.record()))
		d.apart = true
	}
	d.mu.Unlock()
	if err != nil {
		return err
	}
	return d.States.Save(ctx, apart(d.identity, name), snap)
}

// record is the id of the record of whose the plain ids are.
func (d *Depot) record() string { return d.Namespace + store.SpillID }

// apart returns the id of the state name of a store that has no plain ids.
func apart(of store.Identity, name string) string {
	return envelope.JoinID(store.SpillPrefix+string(of)+"/", name)
}

// free reports that nothing but our own is stored under the id name.
func (d *Depot) free(ctx context.Context, name string) (bool, error) {
	s, err := d.States.Load(ctx, name)
	switch {
	case err == nil:
		return store.LabelOf(s) == d.identity, nil
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrExpired):
		return true, nil
	case store.OutcomeOf(err) == store.Unreachable:
		return false, err
	}
	return false, nil // something is there that nobody can read
}

// settle finds out who has the plain ids: whoever left a record there first.
func (d *Depot) settle(ctx context.Context) (first bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.settled {
		d.first, err = d.leaveRecord(ctx, d.record())
		d.settled = err == nil
	}
	return d.first, err
}

const recordTries = 4

// leaveRecord stores a record of us under id, and reports that it stands there: if
// another one does, that stays.
func (d *Depot) leaveRecord(ctx context.Context, id string) (ours bool, err error) {
	self := d.Self
	self.Store, self.At = d.identity, time.Now().UTC().Truncate(time.Second)
	data, _ := json.Marshal(self) // cannot fail
	for range recordTries {
		s, err := d.States.Load(ctx, id)
		next := store.Snapshot{Codec: "json", Data: data}
		switch f, _ := d.Words.Fence(err); {
		case err == nil:
			if r := readRecord(s); r == nil || r.Store != d.identity {
				return false, nil
			}
			next.Version = s.Fence().Version + 1
		case errors.Is(err, store.ErrNotFound):
			next.Version = f.Version + 1
		case store.OutcomeOf(err) == store.Unreachable:
			return false, err
		default:
			return false, nil
		}
		if err = d.States.Save(ctx, id, &next); !errors.Is(err, store.ErrConflict) {
			return store.IsStored(err), belowLevel(err)
		}
	}
	return false, nil
}

// belowLevel takes what is stored for enough: it is in a spill for a while.
func belowLevel(err error) error {
	if store.IsStored(err) {
		return nil
	}
	return err
}

// readRecord returns the record in s, nil if it is none.
func readRecord(s *store.Snapshot) *store.SpillRecord {
	var r store.SpillRecord
	if json.Unmarshal(s.Data, &r) != nil || r.Store == "" {
		return nil
	}
	return &r
}

// An Entry is a spilled snapshot.
type Entry struct {
	ID string // in the spill adapter
	*store.Snapshot
}

// Find returns what is spilled of the state name: entries of ours, of which there
// may be two, and the id of one that is another's, if there is one. fence is the
// highest epoch that the adapter tells of. What cannot be read stays, and is told.
func (d *Depot) Find(ctx context.Context, name string) (ours []Entry, others string, fence uint64, err error) {
	ids := []string{name, apart(d.identity, name)}
	if !d.apart {
		ids = ids[:1]
	}
	for _, id := range ids {
		s, err := d.States.Load(ctx, id)
		f, _ := d.Words.Fence(err)
		fence = max(fence, f.Epoch)
		switch {
		case err == nil && (id != name || store.LabelOf(s) == d.identity):
			ours = append(ours, Entry{id, s})
		case err == nil && store.LabelOf(s) == "":
			return nil, "", 0, store.MarkPermanent(errUnlabelled(id))
		case err == nil:
			others = id
		case store.OutcomeOf(err) == store.Unreachable:
			return nil, "", 0, err
		case !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrExpired):
			d.Log.Error("durable: spilled state cannot be read; it stays where it is", "id", id, "error", err)
		}
	}
	return ours, others, fence, nil
}

// Moved reports that what is there was spilled by a store of the same identity at
// another place: this one was moved, or is a copy of that one, which still counts on
// what it spilled.
func (d *Depot) Moved() bool { return d.moved }
