// Package adapter is what the adapters of package durable share: they check ids
// and limits, fill in what a save leaves open, and remember the greatest epoch
// seen. What differs is the store behind.
package adapter

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync/atomic"
	"time"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/limits"
	"github.com/durablestate/durable/internal/store"
)

// Adapter puts a store behind the contract of durable.StateAdapter, durable.Owner
// and durable.Historian. It is safe for concurrent use.
type Adapter struct {
	Store    store.Store
	MaxBytes int64         // of one state; 0: no limit
	Invalid  error         // what is wrong with its options: nothing can be asked for
	TTL      time.Duration // of a state that is not refreshed; 0: no expiry

	closed atomic.Bool
	seen   atomic.Uint64 // greatest epoch seen in any answer or request
}

// Borrows reports that the store calls code that is not ours: of a client that somebody
// lends it.
func (a *Adapter) Borrows() bool {
	b, ok := a.Store.(interface{ Borrows() bool })
	return ok && b.Borrows()
}

// Save stores s as the newest snapshot of id. It fills a zero Epoch or Version in
// from the fence.
func (a *Adapter) Save(ctx context.Context, id string, s *store.Snapshot) error {
	if err := a.check(ctx, id); err != nil {
		return err
	}
	if s == nil {
		return ErrNil
	}
	rec := *s
	if err := a.complete(&rec); err != nil {
		return err
	}
	a.saw(rec.Epoch)
	if s.Epoch != 0 && s.Version != 0 {
		return a.told(a.Store.Save(ctx, id, &rec))
	}
	return a.told(a.saveNext(ctx, id, s, &rec))
}

// saveNext fills a zero Epoch or Version in from the fence. A refusal means
// that somebody else was quicker, so it tries again from the new fence while
// the caller waits: the last writer wins.
func (a *Adapter) saveNext(ctx context.Context, id string, asked, rec *store.Snapshot) error {
	for {
		f, err := a.Store.Fence(ctx, id)
		if err != nil {
			return err
		}
		if asked.Epoch == 0 {
			rec.Epoch = f.Epoch
		}
		if asked.Version == 0 {
			if rec.Version, err = f.NextVersion(); err != nil {
				return err
			}
		}
		err = a.Store.Save(ctx, id, rec)
		again := asked.Epoch == 0 && errors.Is(err, store.ErrFenced) || asked.Version == 0 && errors.Is(err, store.ErrConflict)
		if !again || ctx.Err() != nil {
			return err
		}
	}
}

// complete checks what the caller of a save decides and fills in the rest.
func (a *Adapter) complete(rec *store.Snapshot) error {
	if rec.Data == nil && (rec.Version == 0 || rec.WriteID == "") {
		return errors.New("nil Data only refreshes a known save: set Version and WriteID, or make an empty state a non-nil slice")
	}
	if a.MaxBytes > 0 && !envelope.Fits(rec, a.MaxBytes) {
		return fmt.Errorf("%w: %d bytes, the limit is %d; raise MaxStateBytes or keep less state", store.ErrTooLarge, len(rec.Data), a.MaxBytes)
	}
	if rec.WriteID == "" {
		rec.WriteID = rand.Text()
	}
	if rec.SavedAt.IsZero() {
		rec.SavedAt = time.Now()
	}
	return envelope.Check(rec)
}

// Load returns the newest snapshot of id that verifies.
func (a *Adapter) Load(ctx context.Context, id string) (*store.Snapshot, error) {
	return a.loaded(ctx, id, func() (*store.Snapshot, error) { return a.Store.Load(ctx, id) })
}

// LoadVersion returns one generation of id.
func (a *Adapter) LoadVersion(ctx context.Context, id string, version uint64) (*store.Snapshot, error) {
	if strings.HasPrefix(id, store.DamagedPrefix) && version != damagedVersion {
		return nil, store.Answer(store.Fence{}, store.ErrNotFound, "version %d is not stored", version)
	}
	return a.loaded(ctx, id, func() (*store.Snapshot, error) { return a.Store.LoadVersion(ctx, id, version) })
}

func (a *Adapter) loaded(ctx context.Context, id string, load func() (*store.Snapshot, error)) (*store.Snapshot, error) {
	if name, ok := strings.CutPrefix(id, store.DamagedPrefix); ok {
		return a.loadDamaged(ctx, name)
	}
	if err := a.check(ctx, id); err != nil {
		return nil, err
	}
	s, err := load()
	if err != nil {
		return nil, a.told(err)
	}
	a.saw(s.Epoch)
	return s, nil
}

// Delete removes all generations of id.
func (a *Adapter) Delete(ctx context.Context, id string) error {
	if name, ok := strings.CutPrefix(id, store.DamagedPrefix); ok {
		return a.removeDamaged(ctx, name)
	}
	if err := a.check(ctx, id); err != nil {
		return err
	}
	return a.told(a.Store.Delete(ctx, id))
}

// Claim raises the epoch of the fence of id.
func (a *Adapter) Claim(ctx context.Context, id string, epoch uint64) error {
	if err := a.check(ctx, id); err != nil {
		return err
	}
	a.saw(epoch)
	return a.told(a.Store.Claim(ctx, id, epoch))
}

// List yields every component that was saved and not deleted.
func (a *Adapter) List(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if err := a.ready(ctx); err != nil {
			yield("", err)
			return
		}
		for id, err := range a.Store.List(ctx) {
			if !yield(id, a.told(err)) || err != nil {
				return
			}
		}
		if store.ListsDamaged(ctx) {
			a.listDamaged(ctx, yield)
		}
	}
}

// History reads and verifies every generation of id, newest first.
func (a *Adapter) History(ctx context.Context, id string) ([]store.SnapshotInfo, error) {
	if name, ok := strings.CutPrefix(id, store.DamagedPrefix); ok {
		s, err := a.loadDamaged(ctx, name)
		if err != nil {
			return nil, err
		}
		return []store.SnapshotInfo{{Version: s.Version, Codec: s.Codec, Bytes: len(s.Data)}}, nil
	}
	if err := a.check(ctx, id); err != nil {
		return nil, err
	}
	infos, err := a.Store.History(ctx, id)
	return infos, a.told(err)
}

// Stored returns the generations of id as they are, newest first, down to the
// first that verifies.
func (a *Adapter) Stored(ctx context.Context, id string) ([]store.Stored, error) {
	if err := a.check(ctx, id); err != nil {
		return nil, err
	}
	all, err := a.Store.Stored(ctx, id)
	return all, a.told(err)
}

// Fence returns the fence of id, zero when the store knows nothing of it.
func (a *Adapter) Fence(ctx context.Context, id string) (store.Fence, error) {
	if err := a.check(ctx, id); err != nil {
		return store.Fence{}, err
	}
	f, err := a.Store.Fence(ctx, id)
	return f, a.told(err)
}

// AcquireLease takes the lease name for holder.
func (a *Adapter) AcquireLease(ctx context.Context, name, holder string, ttl time.Duration) (*store.Lease, error) {
	return a.lease(ctx, name, func() (*store.Lease, error) {
		if err := checkLease(holder, ttl); err != nil {
			return nil, err
		}
		atLeast, err := store.Next("epoch", a.seen.Load())
		if err != nil {
			return nil, err
		}
		return a.Store.AcquireLease(ctx, name, holder, ttl, atLeast)
	})
}

// checkLease asks the table of limits; who asks an adapter himself may want a lease
// that is shorter than that of a Checkpointer.
func checkLease(holder string, ttl time.Duration) error {
	c := &limits.Check{Name: func(l *limits.Limit) string { return "the lease's " + strings.ToLower(l.Field) }}
	if holder == "" {
		c.Refuse("the lease's holder", "is empty")
	}
	c.Text("holder", holder)
	if ttl <= 0 {
		c.Refuse("the lease's TTL", "must be above 0, not %s", ttl)
	} else {
		c.NumberAs("the lease's TTL", "ttl", int64(ttl))
	}
	return c.Err()
}

// ErrNil is the answer to a call that lacks what it is about.
var ErrNil = store.MarkPermanent(errors.New("the snapshot or lease is nil; pass one"))

// RenewLease extends l and returns the new record.
func (a *Adapter) RenewLease(ctx context.Context, l *store.Lease) (*store.Lease, error) {
	return a.lease(ctx, l.Name, func() (*store.Lease, error) { return a.Store.RenewLease(ctx, l) })
}

// ReleaseLease ends l and returns the new record.
func (a *Adapter) ReleaseLease(ctx context.Context, l *store.Lease) (*store.Lease, error) {
	return a.lease(ctx, l.Name, func() (*store.Lease, error) { return a.Store.ReleaseLease(ctx, l) })
}

// LoadLease returns who owns the lease name, or owned it last.
func (a *Adapter) LoadLease(ctx context.Context, name string) (*store.Lease, error) {
	return a.lease(ctx, name, func() (*store.Lease, error) { return a.Store.LoadLease(ctx, name) })
}

func (a *Adapter) lease(ctx context.Context, name string, do func() (*store.Lease, error)) (*store.Lease, error) {
	if err := a.ready(ctx); err != nil {
		return nil, err
	}
	if name != "" && !envelope.ValidID(name) {
		return nil, fmt.Errorf("%w: lease name %q", store.ErrInvalidID, name)
	}
	l, err := do()
	if !store.IsStored(err) {
		return nil, a.told(err)
	}
	a.saw(l.Epoch)
	return l, err
}

// errNoStore is the answer of a nil Adapter, which stands for none.
var errNoStore = errors.New("this adapter is a zero value, which has no store: make one with NewFileAdapter, OpenRedisAdapter, NewRedisAdapter or NewMemoryAdapter")

// Unusable says why nothing can ever be asked for, nil if it can.
func (a *Adapter) Unusable() error {
	if a == nil {
		return errNoStore
	}
	return a.Invalid
}

// Close closes the store, once.
func (a *Adapter) Close() error {
	if a == nil || a.Store == nil || a.closed.Swap(true) {
		return nil
	}
	return a.Store.Close()
}

// check reports why id cannot be asked for.
func (a *Adapter) check(ctx context.Context, id string) error {
	if strings.HasPrefix(id, store.DamagedPrefix) {
		return fmt.Errorf("%w: %q is for what the store sets aside, which can only be read and removed", store.ErrInvalidID, id)
	}
	if err := envelope.CheckID(id); err != nil {
		return err
	}
	return a.ready(ctx)
}

// ready reports why nothing can be asked for.
func (a *Adapter) ready(ctx context.Context) error {
	if err := a.Unusable(); err != nil {
		return err
	}
	if a.closed.Load() {
		return store.ErrClosed
	}
	return ctx.Err()
}

// saw remembers epoch if it is the greatest seen: leases are acquired above it.
func (a *Adapter) saw(epoch uint64) {
	for {
		seen := a.seen.Load()
		if epoch <= seen || a.seen.CompareAndSwap(seen, epoch) {
			return
		}
	}
}

// A Worder is a store whose errors say more once they leave it: what to do, and
// whether waiting helps.
type Worder interface{ Word(err error) error }

// told remembers the epoch that err tells of, and words it.
func (a *Adapter) told(err error) error {
	if err == nil {
		return nil
	}
	a.saw(store.FenceOf(err).Epoch)
	if w, ok := a.Store.(Worder); ok {
		return w.Word(err)
	}
	return err
}

// Lifetime returns for how long a stored state stays that is not refreshed; 0: until
// it is deleted.
func (a *Adapter) Lifetime() time.Duration { return a.TTL }

// Location says where the store is, the same for all who open it, and for no other
// store; empty if it cannot tell. It holds no secret.
func (a *Adapter) Location() string {
	if l, ok := a.Store.(interface{ Location() string }); ok {
		return l.Location()
	}
	return ""
}

// A Watcher is a store that notices what it has lost.
type Watcher interface {
	Losses() uint64
	Rollback(id string) string
}

// Losses returns how often the store was seen to have lost something.
func (a *Adapter) Losses() uint64 {
	if w, ok := a.Store.(Watcher); ok {
		return w.Losses()
	}
	return 0
}

// Rollback returns what was seen of one component since the last call.
func (a *Adapter) Rollback(id string) string {
	if w, ok := a.Store.(Watcher); ok {
		return w.Rollback(id)
	}
	return ""
}

// A Taker is a store that can claim and load many components in one step.
type Taker interface {
	TakeOver(ctx context.Context, ids []string, epoch uint64) []*store.Snapshot
}

// TakesOver reports that the store is a Taker.
func (a *Adapter) TakesOver() bool {
	_, ok := a.Store.(Taker)
	return ok
}

// TakeOver claims and loads the components of a store that is a Taker. It returns
// nil for those about which a claim or a load has more to say.
func (a *Adapter) TakeOver(ctx context.Context, ids []string, epoch uint64) []*store.Snapshot {
	t, ok := a.Store.(Taker)
	if !ok || a.ready(ctx) != nil {
		return make([]*store.Snapshot, len(ids))
	}
	a.saw(epoch)
	snaps := t.TakeOver(ctx, ids, epoch)
	for _, s := range snaps {
		if s != nil {
			a.saw(s.Epoch)
		}
	}
	return snaps
}
