package saver

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	"github.com/durablestate/durable/internal/engine/backend"
	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
)

// Answer is what a load of a claimed state said.
type Answer struct {
	Epoch uint64          // under which it was claimed
	Err   error           // nil: there is a state
	Shown *store.Snapshot // that state, or bytes that the adapter gave with the error; nil: none
}

// unusable reports that something is there that no load returns.
func (a Answer) unusable() bool {
	return errors.Is(a.Err, store.ErrCorrupt) || errors.Is(a.Err, store.ErrTooNew)
}

// SetStoredAside sets aside what the store has of the state, down to the newest
// generation that verifies: the saves of a fresh state would soon take its place.
// Bytes that may be about several states pass through once, which does the same for
// all of one name, and for an empty one each time. Where a state is there that
// nobody can show, it fails: what cannot be kept must not be overwritten.
func (s *Saver) SetStoredAside(ctx context.Context, a Answer, once func(shared string, do func() error) error) error {
	all, err := s.stored(ctx)
	if err != nil {
		return err
	}
	if len(all) == 0 && a.Shown != nil {
		all = []store.Stored{{Version: a.Shown.Version, Raw: a.Shown.Data}}
		if a.Err == nil {
			all[0].Snapshot = a.Shown
		}
	}
	for _, g := range all {
		if err := once(g.Shared, func() error { return s.SetAside(ctx, s.sys, Bytes(g)) }); err != nil {
			return err
		}
	}
	if len(all) > 0 || !a.unusable() {
		return nil
	}
	return s.nothingStored(ctx, a)
}

// Bytes returns what is kept of g: its snapshot, or one of its bytes as they are.
func Bytes(g store.Stored) *store.Snapshot {
	if g.Snapshot != nil {
		return g.Snapshot
	}
	return &store.Snapshot{Version: g.Version, Codec: store.RawCodec, Data: g.Raw}
}

// nothingStored fails unless the store itself has nothing of a state of which a load
// said that it is unusable. That a store knows of the claim shows that it is asked
// for the right one: a wrapper may have changed the name.
func (s *Saver) nothingStored(ctx context.Context, a Answer) error {
	if s.sys.Bytes != nil && a.Epoch > 0 {
		ctx, cancel := context.WithTimeout(ctx, s.sys.Timeout)
		defer cancel()
		f, err := s.sys.Bytes.Fence(ctx, s.Name())
		if err != nil {
			return err
		}
		if f.Epoch == a.Epoch {
			return nil
		}
	}
	return fmt.Errorf("the adapter does not show its bytes: keep a copy of them, then delete the state %q: %w", s.Name(), a.Err)
}

// stored returns the generations that the adapter can show, newest first, down to
// the first that verifies. An adapter that does not show bytes may have a history.
func (s *Saver) stored(ctx context.Context) ([]store.Stored, error) {
	ctx, cancel := context.WithTimeout(ctx, s.sys.Timeout)
	defer cancel()
	if s.sys.Bytes != nil {
		return s.sys.Bytes.Stored(ctx, s.Name())
	}
	if s.sys.History == nil {
		return nil, nil
	}
	infos, err := s.sys.History.History(ctx, s.Name())
	if store.OutcomeOf(err) == store.Unreachable && err != nil {
		return nil, err
	}
	for _, i := range infos {
		if i.Err == nil {
			snap, err := s.sys.History.LoadVersion(ctx, s.Name(), i.Version)
			return []store.Stored{{Version: i.Version, Snapshot: snap}}, err
		}
	}
	return nil, nil
}

// mostAside bounds how many copies may be set aside under names of one content: more
// than one only where something else is, or cannot be read.
const mostAside = 100

// SetAside copies snap to an id of its own in a, where neither a TTL nor retention
// reaches it. The id names the content: the same bytes are not set aside twice,
// however often a program begins afresh, and nothing overwrites what is there. Every
// copy that is set aside passes here.
func (s *Saver) SetAside(ctx context.Context, a backend.States, snap *store.Snapshot) error {
	ctx, cancel := context.WithTimeout(ctx, s.sys.Timeout)
	defer cancel()
	for n := 1; n <= mostAside; n++ {
		as := asideName(s.Name(), snap, n)
		there, err := s.setAsideAs(ctx, a, as, snap)
		if err != nil {
			return err
		}
		if there {
			s.sys.Log.Warn("durable: a state that is not used was set aside", "component", s.ID(), "version", snap.Version, "as", as)
			return nil
		}
	}
	return fmt.Errorf("%d states are set aside under ids like %q, and none of them can be read: delete those that nobody needs", mostAside, asideName(s.Name(), snap, 1))
}

// setAsideAs stores snap under the id as if nothing is there, and reports that it is.
func (s *Saver) setAsideAs(ctx context.Context, a backend.States, as string, snap *store.Snapshot) (there bool, err error) {
	for range conflictTries {
		kept, err := a.Load(ctx, as)
		if err == nil {
			return bytes.Equal(kept.Data, snap.Data) && kept.Codec == snap.Codec && kept.Schema == snap.Schema, nil
		}
		if store.OutcomeOf(err) == store.Unreachable {
			return false, err
		}
		if !errors.Is(err, store.ErrNotFound) {
			return false, nil
		}
		f, _ := s.sys.Words.Fence(err) // not zero where a person removed it
		first := *snap
		first.Epoch, first.Version, first.WriteID, first.LastVersion = f.Epoch, f.Version+1, "", 0
		switch err = a.Save(ctx, as, &first); {
		case store.IsStored(err):
			return true, s.sys.GoOn(s.ID(), err)
		case !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrFenced):
			return false, err
		}
	}
	return false, nil
}

// asideName is the n-th name under which snap, of the state name, may be set aside.
func asideName(name string, snap *store.Snapshot, n int) string {
	h := sha256.New()
	fmt.Fprintf(h, "%d %s\n", snap.Schema, snap.Codec)
	h.Write(snap.Data)
	prefix := store.AsidePrefix + hex.EncodeToString(h.Sum(nil)[:8])
	if n > 1 {
		prefix += "-" + strconv.Itoa(n)
	}
	return envelope.JoinID(prefix+"/", name)
}
