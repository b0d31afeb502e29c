// Package backend is what the engine knows of the outside: an adapter, by the
// capabilities it has, and the words in which package durable puts an error.
package backend

import (
	"context"
	"time"

	"github.com/durablestate/durable/internal/store"
)

// Backend is an adapter. A capability that it lacks is nil. The methods follow
// the contract of durable.StateAdapter, durable.Owner and durable.Historian.
type Backend struct {
	States
	Owner     Owner
	History   History
	Custodian Custodian
	Bytes     Bytes
	Taker     Taker
}

// States keeps snapshots, each under the full name of a component.
type States interface {
	Save(ctx context.Context, name string, s *store.Snapshot) error
	Load(ctx context.Context, name string) (*store.Snapshot, error)
	Delete(ctx context.Context, name string) error
}

// Owner has one owner at a time. A lease that is renewed or released is returned
// as it is then; the one given is not changed.
type Owner interface {
	Claim(ctx context.Context, name string, epoch uint64) error
	AcquireLease(ctx context.Context, name, holder string, ttl time.Duration) (*store.Lease, error)
	RenewLease(ctx context.Context, l *store.Lease) (*store.Lease, error)
	ReleaseLease(ctx context.Context, l *store.Lease) (*store.Lease, error)
	LoadLease(ctx context.Context, name string) (*store.Lease, error)
}

// History shows older generations.
type History interface {
	History(ctx context.Context, name string) ([]store.SnapshotInfo, error)
	LoadVersion(ctx context.Context, name string, version uint64) (*store.Snapshot, error)
}

// A Custodian can say more about what it stores: for how long it stays, and
// whether the store was seen to have lost something. It is found through wrappers.
type Custodian interface {
	Lifetime() time.Duration     // of a stored state that is not refreshed; 0: no end
	Losses() uint64              // how often the store was seen to have lost something
	Rollback(name string) string // what was seen of one component; empty: nothing since the last call
}

// Bytes shows what is stored as it is, also what no load returns. It is found
// through wrappers: whatever they make of bytes, those that are stored are kept.
type Bytes interface {
	// Stored returns the generations, newest first, down to the first that verifies.
	Stored(ctx context.Context, name string) ([]store.Stored, error)
	Fence(ctx context.Context, name string) (store.Fence, error)
}

// A Taker can claim and load many components in one step. It is not found through
// wrappers: they may make something of what they load.
type Taker interface {
	// TakeOver returns the newest snapshots of the components that it could claim
	// and load, and nil for those about which a claim or a load has more to say.
	// The caller owns the result.
	TakeOver(ctx context.Context, names []string, epoch uint64) []*store.Snapshot
}

// Words puts errors as package durable shows them.
type Words struct {
	// Fault says which operation failed for which component. A fence that goes with
	// the answer is in err, as store.Answer puts it.
	Fault func(op, id string, err error) error
	// Fence returns the fence of err; worded: Fault or an adapter has made err.
	Fence func(err error) (f store.Fence, worded bool)
}

// Fail words err, unless that says it all.
func (w Words) Fail(op, id string, err error) error {
	if _, worded := w.Fence(err); worded {
		return err
	}
	return w.Fault(op, id, err)
}
