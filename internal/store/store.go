// Package store is everybody's ground floor: the plain types that cross the border
// of package durable, the answers a store may give, and the rules: the save rule,
// the lease rule, which place of a state is newer, which outcome a policy accepts.
// A store (internal/memstore, internal/filestore, internal/redisstore) implements
// [Store]; internal/adapter validates ids and fills in what a caller left out, and
// package durable words the errors, once for all of them.
package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"
)

// The answers a store gives, and those of whoever uses one at the wrong time.
// Package durable exports them under the same names.
var (
	ErrNotFound   = errors.New("durable: no state saved")
	ErrExpired    = errors.New("durable: state expired")
	ErrLost       = errors.New("durable: state lost")
	ErrCorrupt    = errors.New("durable: state corrupt")
	ErrTooNew     = errors.New("durable: state written by a newer version")
	ErrFenced     = errors.New("durable: fenced by a newer owner")
	ErrConflict   = errors.New("durable: version conflict")
	ErrLeaseHeld  = errors.New("durable: lease held by another owner")
	ErrTooLarge   = errors.New("durable: state too large")
	ErrClosed     = errors.New("durable: closed")
	ErrNotDurable = errors.New("durable: saved, but below the configured durability")
	ErrInvalidID  = errors.New("durable: invalid component id")
	ErrPermanent  = errors.New("durable: waiting will not help")

	ErrNotRegistered = errors.New("durable: component not registered")
	ErrNotRestored   = errors.New("durable: component not restored")
	ErrNotApplied    = errors.New("durable: change not applied")
	ErrReplaced      = errors.New("durable: state replaced by a restore")
)

// Snapshot has the fields of durable.Snapshot, so that the two convert freely.
type Snapshot struct {
	Epoch   uint64
	Version uint64
	WriteID string
	Schema  int
	Codec   string
	SavedAt time.Time
	Data    []byte

	LastVersion uint64
}

// Lease has the fields of durable.Lease.
type Lease struct {
	Name, Holder string
	Epoch        uint64
	TTL          time.Duration
	Expires      time.Time
	Released     bool
}

// SnapshotInfo has the fields of durable.SnapshotInfo.
type SnapshotInfo struct {
	Epoch, Version uint64
	SavedAt        time.Time
	Schema         int
	Codec          string
	Bytes          int
	Err            error
}

// Stored is one generation as a store has it.
type Stored struct {
	Version  uint64    // as far as it is known
	Snapshot *Snapshot // nil: it does not verify, or is of a newer format
	Raw      []byte    // then its bytes
	Shared   string    // names bytes that the store shows for several components
}

// A Fence is what a store remembers of a component for ever: the highest epoch
// ever claimed or accepted and the highest version ever accepted.
type Fence struct{ Epoch, Version uint64 }

// An Attempt names one save. The zero Attempt names none.
type Attempt struct {
	Epoch, Version uint64
	WriteID        string
}

// Attempt returns the name of the save of s.
func (s *Snapshot) Attempt() Attempt { return Attempt{s.Epoch, s.Version, s.WriteID} }

// Fence returns what a load that returned s tells about the fence.
func (s *Snapshot) Fence() Fence { return Fence{s.Epoch, max(s.Version, s.LastVersion)} }

// Error is an answer together with the fence that goes with it.
type Error struct {
	Fence Fence
	Err   error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Answer returns err with detail, carrying the fence f. An empty detail adds
// nothing to the text of err.
func Answer(f Fence, err error, detail string, args ...any) error {
	if detail != "" {
		err = fmt.Errorf("%w: "+detail, append([]any{err}, args...)...)
	}
	return &Error{Fence: f, Err: err}
}

// FenceOf returns the fence that goes with err, zero where there is none.
func FenceOf(err error) Fence {
	if a := (*Error)(nil); errors.As(err, &a) {
		return a.Fence
	}
	return Fence{}
}

// Judge applies the save rule to s. It returns repeat when s is the last
// accepted save again, which must not be written but refreshed, and an error
// when s is refused. Otherwise the fence becomes (s.Epoch, s.Version) and last
// becomes s.Attempt() once s is stored. last is the zero Attempt when nothing
// was accepted since the component was first seen or deleted.
func Judge(f Fence, last Attempt, s *Snapshot) (repeat bool, err error) {
	switch {
	case s.Epoch < f.Epoch:
		return false, Answer(f, ErrFenced, "epoch %d is below %d", s.Epoch, f.Epoch)
	case s.Version > f.Version && s.Data != nil:
		return false, nil
	case s.Version > f.Version:
		return false, Answer(f, ErrLost, "version %d is not stored", s.Version)
	case last != (Attempt{}) && s.Attempt() == last:
		return true, nil
	default:
		return false, Answer(f, ErrConflict, "version %d is not above %d", s.Version, f.Version)
	}
}

// TakeLease decides whether holder may take the lease name whose stored record
// is prev (nil when there is none) and returns the record to store in its
// place. now is the store's clock. ended reports that the store knows the
// holder of prev to be gone, whatever the record says. atLeast is the lowest
// epoch to hand out.
func TakeLease(prev *Lease, ended bool, name, holder string, ttl time.Duration, atLeast uint64, now time.Time) (*Lease, error) {
	epoch := max(atLeast, uint64(max(now.UnixMilli(), 1)))
	if prev != nil {
		if !prev.Released && !ended && prev.Holder != holder && now.Before(prev.Expires) {
			return nil, Answer(Fence{Epoch: prev.Epoch}, ErrLeaseHeld, "%q holds it for another %s",
				prev.Holder, prev.Expires.Sub(now).Round(time.Millisecond))
		}
		next, err := Fence{Epoch: prev.Epoch}.NextEpoch()
		if err != nil {
			return nil, err
		}
		epoch = max(epoch, next)
	}
	return &Lease{Name: name, Holder: holder, Epoch: epoch, TTL: ttl, Expires: now.Add(ttl)}, nil
}

// RenewedLease returns the record that renews l, given the stored record (nil
// when it was lost). A released lease stays released: a late renewal must not
// revive it.
func RenewedLease(stored, l *Lease, now time.Time) (*Lease, error) {
	if err := ownLease(stored, l); err != nil {
		return nil, err
	}
	if stored != nil && stored.Epoch == l.Epoch && stored.Released {
		return nil, Answer(Fence{Epoch: stored.Epoch}, ErrFenced, "the lease was released")
	}
	n := *l
	n.Released, n.Expires = false, now.Add(l.TTL)
	return &n, nil
}

// ReleasedLease returns the record that releases l, given the stored record.
func ReleasedLease(stored, l *Lease, now time.Time) (*Lease, error) {
	if err := ownLease(stored, l); err != nil {
		return nil, err
	}
	n := *l
	n.Released = true
	if stored != nil && stored.Epoch == l.Epoch {
		n.Expires = stored.Expires
	}
	return &n, nil
}

func ownLease(stored, l *Lease) error {
	if stored != nil && stored.Epoch > l.Epoch {
		return Answer(Fence{Epoch: stored.Epoch}, ErrFenced, "%q took the lease with epoch %d", stored.Holder, stored.Epoch)
	}
	return nil
}

// Store keeps snapshots, fences and leases. Ids and snapshots arrive validated;
// Epoch, Version, WriteID and SavedAt of a snapshot are set. Implementations must
// be safe for concurrent use and must not keep or change what they are given.
// Their errors are those above (wrapped by Answer where a fence goes with them)
// or, for everything that could not be read or written, any other error.
type Store interface {
	// Fence returns the fence of id, zero when the store knows nothing of it.
	Fence(ctx context.Context, id string) (Fence, error)
	// Save applies Judge to s and stores it, atomically.
	Save(ctx context.Context, id string, s *Snapshot) error
	// Load returns the newest snapshot that verifies, with LastVersion set.
	Load(ctx context.Context, id string) (*Snapshot, error)
	// Delete removes all generations and raises the fence's epoch by one, by
	// compare-and-set on the fence as it was when the call began.
	Delete(ctx context.Context, id string) error
	// Claim raises the fence's epoch to epoch; ErrFenced when it is above.
	Claim(ctx context.Context, id string, epoch uint64) error

	// List yields every id that was saved and not deleted, in no order, and
	// deleted ones where ListsDeleted asks for them.
	List(ctx context.Context) iter.Seq2[string, error]
	// History reads and verifies every generation of id, newest first.
	History(ctx context.Context, id string) ([]SnapshotInfo, error)
	// LoadVersion returns one generation.
	LoadVersion(ctx context.Context, id string, version uint64) (*Snapshot, error)

	// Stored returns the generations of id as they are, newest first, down to the
	// first that verifies: what a fresh start would run over. What expired is gone.
	Stored(ctx context.Context, id string) ([]Stored, error)

	// AcquireLease applies TakeLease by compare-and-set on the stored record.
	AcquireLease(ctx context.Context, name, holder string, ttl time.Duration, atLeast uint64) (*Lease, error)
	// RenewLease applies RenewedLease and returns the stored record.
	RenewLease(ctx context.Context, l *Lease) (*Lease, error)
	// ReleaseLease applies ReleasedLease and returns the stored record.
	ReleaseLease(ctx context.Context, l *Lease) (*Lease, error)
	// LoadLease returns the stored record, ErrNotFound when there is none.
	LoadLease(ctx context.Context, name string) (*Lease, error)

	// Close releases what the store holds. It is called once.
	Close() error
}
