// Package lease is how the saves of a system are kept apart from those of other
// processes: under a lease that is held and renewed, or alone.
package lease

import (
	"context"
	"errors"
	"time"

	"github.com/durablestate/durable/internal/store"
)

// Ownership says who may save a system's states, and under which epoch.
type Ownership interface {
	// Take returns the epoch of the lease, and the record that was there before this
	// process had one; nil: none. It waits for another holder, and for the store to
	// be reached.
	Take(ctx context.Context) (epoch uint64, prev *store.Lease, err error)
	Drop() // forgets the lease, so that the next Take acquires a new one
	// Claim makes sure that no predecessor saves the state name any more;
	// store.ErrOutclaimed when a successor has claimed it.
	Claim(ctx context.Context, name string, epoch uint64) error
	Grouped() bool // a backend.Taker may claim and load in one step
	// EpochFor returns the epoch of the saves of a state that was restored under
	// the epoch of Take, and has been seen under seen.
	EpochFor(taken, seen uint64) uint64
	// Superseded reports that err, of a save, says that somebody else has the
	// state, who must not be overwritten.
	Superseded(err error) bool
	Suspect()                   // somebody met a greater epoch
	Renewed(now time.Time) bool // the store was reached lately, and nobody had taken over
	Lost() error                // why nothing is owned any more, or not for long; nil while it is
	Keep(ctx context.Context)   // renews until ctx ends, while Close saves
	// Release gives the lease up. clean says that all is saved, which the next owner
	// is told.
	Release(ctx context.Context, clean bool) error
}

// Alone is the Ownership of a system whose adapter knows no owners, or that wants
// none. Saves go on under the epoch that was loaded.
type Alone struct{}

func (Alone) Take(context.Context) (uint64, *store.Lease, error) { return 0, nil, nil }
func (Alone) Claim(context.Context, string, uint64) error        { return nil }
func (Alone) Release(context.Context, bool) error                { return nil }
func (Alone) Lost() error                                        { return nil }
func (Alone) Renewed(time.Time) bool                             { return false } // nothing is known of others
func (Alone) Grouped() bool                                      { return false }
func (Alone) Drop()                                              {}
func (Alone) Suspect()                                           {}
func (Alone) Keep(context.Context)                               {}

// EpochFor is never 0, which asks for the fence as
// it is when the save arrives: a deletion would not stop such a save.
func (Alone) EpochFor(_, seen uint64) uint64 { return max(seen, 1) }

// Superseded counts conflicts in: one is another writer's save.
func (Alone) Superseded(err error) bool {
	return errors.Is(err, store.ErrFenced) || errors.Is(err, store.ErrConflict)
}
