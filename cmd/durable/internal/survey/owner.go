package survey

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/store"
)

// Owners remembers the leases that cover components. It is safe for concurrent
// use.
type Owners struct {
	s  *Store
	mu sync.Mutex
	m  map[string]Ownership
}

// An Ownership is who owns the components of a system.
type Ownership struct {
	Lease *durable.Lease // nil: nobody ever did, or it could not be read
	Gone  bool           // the holder's process has ended, although the lease has not
	Err   error
}

// Owners returns an empty memory of leases.
func (s *Store) Owners() *Owners { return &Owners{s: s, m: map[string]Ownership{}} }

// Of returns the ownership of the component id.
func (o *Owners) Of(ctx context.Context, id string) Ownership {
	name := LeaseOf(id)
	o.mu.Lock()
	defer o.mu.Unlock()
	if w, ok := o.m[name]; ok {
		return w
	}
	w := o.s.Ownership(ctx, name)
	o.m[name] = w
	return w
}

// Ownership reads the lease name.
func (s *Store) Ownership(ctx context.Context, name string) Ownership {
	ctx, gone := store.AskHolder(ctx)
	l, err := s.LoadLease(ctx, name)
	if errors.Is(err, durable.ErrNotFound) {
		return Ownership{}
	}
	return Ownership{l, *gone, err}
}

// Live reports whether somebody holds the lease, by this machine's clock and by
// what a file store knows of its holder.
func (w Ownership) Live(now time.Time) bool {
	return w.Lease != nil && !w.Lease.Released && !w.Gone && now.Before(w.Lease.Expires)
}

// Holder names a living owner, "-" if there is none, "?" if that cannot be read.
func (w Ownership) Holder(now time.Time) string {
	switch {
	case w.Err != nil:
		return "?"
	case w.Live(now):
		return w.Lease.Holder
	}
	return "-"
}

// State says in a word what became of the lease.
func (w Ownership) State(now time.Time) string {
	switch {
	case w.Err != nil:
		return "unreadable"
	case w.Lease == nil:
		return "never owned"
	case w.Lease.Released:
		return "released"
	case w.Live(now):
		return "held"
	case w.Gone:
		return "holder gone"
	}
	return "expired"
}

// String describes the ownership in a sentence.
func (w Ownership) String() string {
	now := time.Now()
	switch w.State(now) {
	case "unreadable":
		return fmt.Sprintf("who owns it cannot be read: %v", w.Err)
	case "never owned":
		return "nobody ever owned it"
	case "released":
		return fmt.Sprintf("nobody owns it; %s released it", w.Lease.Holder)
	case "held":
		return fmt.Sprintf("%s owns it (epoch %d, its lease ends in %s unless renewed)", w.Lease.Holder, w.Lease.Epoch, w.Lease.Expires.Sub(now).Round(time.Second))
	}
	if w.Gone {
		return fmt.Sprintf("nobody owns it; the process of %s has ended without a release, and the next one gets the lease at once", w.Lease.Holder)
	}
	return fmt.Sprintf("nobody owns it; the lease of %s ended %s ago without a release", w.Lease.Holder, now.Sub(w.Lease.Expires).Round(time.Second))
}
