// Package survey reads a store without changing it: which components there are,
// whether they are sound, and who owns them.
package survey

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/store"
)

// A Store is an adapter with all that this tool needs of it, and the part of it
// that the tool was asked to look at.
type Store struct {
	durable.StateAdapter
	durable.Owner
	durable.Historian

	Namespace string // "", "system/" or "system/replica/"

	Say  func(format string, args ...any) // nil: nobody listens
	told sync.Once                        // that something is less durable than configured
}

// New returns the store behind a.
func New(a durable.StateAdapter, namespace string) (*Store, error) {
	o, ok1 := a.(durable.Owner)
	h, ok2 := a.(durable.Historian)
	if !ok1 || !ok2 {
		return nil, errors.New("the adapter must have the capabilities Owner and Historian")
	}
	return &Store{StateAdapter: a, Owner: o, Historian: h, Namespace: namespace}, nil
}

// Name returns the full id of a component that was named with or without its
// namespace.
func (s *Store) Name(id string) string {
	if _, kept := store.KeptName(id); kept || strings.HasPrefix(id, s.Namespace) {
		return id
	}
	return s.Namespace + id
}

// Internal reports whether id is no component of a program but something that the
// library keeps about one. The consistent set of a system is not internal.
func Internal(id string) bool {
	_, kept := store.KeptName(id)
	return kept || slices.Contains([]string{store.StartsID, store.StoreID, store.SpillID}, path.Base(id))
}

// IsSet reports whether id holds all components of a system as one snapshot.
func IsSet(id string) bool { return path.Base(id) == store.SetID && !Internal(id) }

// LeaseOf returns the name of the lease that covers the component id.
func LeaseOf(id string) string {
	id, _ = store.KeptName(id)
	dir, _ := path.Split(id)
	return strings.TrimSuffix(dir, "/")
}

// IDs lists the components of the namespace in order. The error may stand beside
// a list that is not complete.
func (s *Store) IDs(ctx context.Context) ([]string, error) {
	var ids []string
	var failed error
	for id, err := range s.ListComponents(ctx) {
		if err != nil {
			failed = err
			break
		}
		if s.covers(id) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids, failed
}

func (s *Store) covers(id string) bool {
	name, _ := store.KeptName(id)
	return strings.HasPrefix(name, s.Namespace) || name == "" && strings.HasPrefix(id, store.DamagedPrefix)
}

// A Fence is what the store will refuse: lower epochs, and versions up to this.
type Fence struct {
	Epoch   uint64 `json:"epoch"`
	Version uint64 `json:"version"`
}

// patience is how long Fence tries to catch a component that is saved without a
// pause.
const patience = 2 * time.Second

// Fence returns the fence of a component. It asks for a version that nobody
// saves, because that answer carries the fence and changes nothing.
func (s *Store) Fence(ctx context.Context, id string) (Fence, error) {
	for begin := time.Now(); ; {
		f, err := s.fence(ctx, id)
		if err == nil || ctx.Err() != nil || time.Since(begin) > patience {
			return f, err
		}
		time.Sleep(rand.N(10 * time.Millisecond))
	}
}

func (s *Store) fence(ctx context.Context, id string) (Fence, error) {
	snap, err := s.LoadSnapshot(ctx, id, math.MaxUint64)
	var e *durable.Error
	switch {
	case err == nil:
		return Fence{snap.Epoch, max(snap.Version, snap.LastVersion)}, nil
	case errors.As(err, &e) && VerdictOf(err) != Unreadable:
		return Fence{e.Epoch, e.Version}, nil
	}
	return Fence{}, fmt.Errorf("the fence cannot be read: %w", err)
}
