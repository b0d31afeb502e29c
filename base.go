package durable

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"math"
	"sync/atomic"
	"time"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
)

// base is what the three adapters have in common: it checks ids, fills in what
// a save leaves open, words errors and remembers the greatest epoch seen. What
// differs is the store behind it.
type base struct {
	name     string // "redis", "file", "memory"
	store    store.Store
	maxBytes int64         // 0: no limit
	ttl      time.Duration // of a state that is not refreshed; 0: no expiry
	closed   atomic.Bool
	seen     atomic.Uint64 // greatest epoch seen in any answer or request
}

// SaveState implements [StateAdapter].
func (b *base) SaveState(ctx context.Context, componentID string, s *Snapshot) error {
	if err := b.check(ctx, componentID); err != nil {
		return b.fail("save", componentID, err)
	}
	rec := store.Snapshot(*s)
	if err := b.complete(&rec); err != nil {
		return b.fail("save", componentID, err)
	}
	b.saw(rec.Epoch)
	if s.Epoch != 0 && s.Version != 0 {
		return b.fail("save", componentID, b.store.Save(ctx, componentID, &rec))
	}
	return b.fail("save", componentID, b.saveNext(ctx, componentID, s, &rec))
}

// saveNext fills a zero Epoch or Version in from the fence. A refusal means
// that somebody else was quicker, so it tries again from the new fence while
// the caller waits: the last writer wins.
func (b *base) saveNext(ctx context.Context, id string, asked *Snapshot, rec *store.Snapshot) error {
	for {
		f, err := b.store.Fence(ctx, id)
		if err != nil {
			return err
		}
		if asked.Epoch == 0 {
			rec.Epoch = f.Epoch
		}
		if asked.Version == 0 {
			if f.Version == math.MaxUint64 {
				return store.Answer(f, ErrConflict, "no version is left above %d", f.Version)
			}
			rec.Version = f.Version + 1
		}
		err = b.store.Save(ctx, id, rec)
		again := asked.Epoch == 0 && errors.Is(err, ErrFenced) || asked.Version == 0 && errors.Is(err, ErrConflict)
		if !again || ctx.Err() != nil {
			return err
		}
	}
}

// complete checks what the caller of a save decides and fills in the rest.
func (b *base) complete(rec *store.Snapshot) error {
	if rec.Data == nil && (rec.Version == 0 || rec.WriteID == "") {
		return errors.New("nil Data only refreshes a known save: set Version and WriteID, or make an empty state a non-nil slice")
	}
	if b.maxBytes > 0 && int64(len(rec.Data)) > b.maxBytes {
		return fmt.Errorf("%w: %d bytes, the limit is %d; raise MaxStateBytes or keep less state", ErrTooLarge, len(rec.Data), b.maxBytes)
	}
	if rec.WriteID == "" {
		rec.WriteID = rand.Text()
	}
	if rec.SavedAt.IsZero() {
		rec.SavedAt = time.Now()
	}
	return envelope.Check(rec)
}

// LoadState implements [StateAdapter].
func (b *base) LoadState(ctx context.Context, componentID string) (*Snapshot, error) {
	return b.loaded("load", componentID, b.check(ctx, componentID), func() (*store.Snapshot, error) {
		return b.store.Load(ctx, componentID)
	})
}

// LoadSnapshot implements [Historian].
func (b *base) LoadSnapshot(ctx context.Context, componentID string, version uint64) (*Snapshot, error) {
	return b.loaded("load", componentID, b.check(ctx, componentID), func() (*store.Snapshot, error) {
		return b.store.LoadVersion(ctx, componentID, version)
	})
}

func (b *base) loaded(op, id string, err error, load func() (*store.Snapshot, error)) (*Snapshot, error) {
	var s *store.Snapshot
	if err == nil {
		s, err = load()
	}
	if err != nil {
		return nil, b.fail(op, id, err)
	}
	b.saw(s.Epoch)
	return (*Snapshot)(s), nil
}

// DeleteState implements [StateAdapter].
func (b *base) DeleteState(ctx context.Context, componentID string) error {
	err := b.check(ctx, componentID)
	if err == nil {
		err = b.store.Delete(ctx, componentID)
	}
	return b.fail("delete", componentID, err)
}

// ClaimState implements [Owner].
func (b *base) ClaimState(ctx context.Context, componentID string, epoch uint64) error {
	err := b.check(ctx, componentID)
	if err == nil {
		b.saw(epoch)
		err = b.store.Claim(ctx, componentID, epoch)
	}
	return b.fail("claim", componentID, err)
}

// ListComponents implements [Historian].
func (b *base) ListComponents(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if err := b.ready(ctx); err != nil {
			yield("", b.fail("list", "", err))
			return
		}
		for id, err := range b.store.List(ctx) {
			if !yield(id, b.fail("list", "", err)) || err != nil {
				return
			}
		}
	}
}

// ListSnapshots implements [Historian].
func (b *base) ListSnapshots(ctx context.Context, componentID string) ([]SnapshotInfo, error) {
	err := b.check(ctx, componentID)
	var found []store.SnapshotInfo
	if err == nil {
		found, err = b.store.History(ctx, componentID)
	}
	if err != nil {
		return nil, b.fail("list", componentID, err)
	}
	infos := make([]SnapshotInfo, len(found))
	for i, f := range found {
		infos[i] = SnapshotInfo(f)
	}
	return infos, nil
}

// AcquireLease implements [Owner].
func (b *base) AcquireLease(ctx context.Context, name, holder string, ttl time.Duration) (*Lease, error) {
	return b.lease("acquire lease", ctx, name, func() (*store.Lease, error) {
		if holder == "" || ttl < time.Millisecond {
			return nil, fmt.Errorf("a lease needs a holder and a TTL of at least 1ms, not %q and %s", holder, ttl)
		}
		return b.store.AcquireLease(ctx, name, holder, ttl, b.seen.Load()+1)
	})
}

// RenewLease implements [Owner].
func (b *base) RenewLease(ctx context.Context, l *Lease) error {
	n, err := b.lease("renew lease", ctx, l.Name, func() (*store.Lease, error) {
		return b.store.RenewLease(ctx, (*store.Lease)(l))
	})
	if err == nil {
		*l = *n
	}
	return err
}

// ReleaseLease implements [Owner].
func (b *base) ReleaseLease(ctx context.Context, l *Lease) error {
	n, err := b.lease("release lease", ctx, l.Name, func() (*store.Lease, error) {
		return b.store.ReleaseLease(ctx, (*store.Lease)(l))
	})
	if err == nil {
		*l = *n
	}
	return err
}

// LoadLease implements [Owner].
func (b *base) LoadLease(ctx context.Context, name string) (*Lease, error) {
	return b.lease("load lease", ctx, name, func() (*store.Lease, error) {
		return b.store.LoadLease(ctx, name)
	})
}

func (b *base) lease(op string, ctx context.Context, name string, do func() (*store.Lease, error)) (*Lease, error) {
	err := b.ready(ctx)
	if err == nil && name != "" && !envelope.ValidID(name) {
		err = fmt.Errorf("%w: lease name %q", ErrInvalidID, name)
	}
	var l *store.Lease
	if err == nil {
		l, err = do()
	}
	if err != nil {
		return nil, b.fail(op, name, err)
	}
	b.saw(l.Epoch)
	return (*Lease)(l), nil
}

// Close implements [StateAdapter].
func (b *base) Close() error {
	if b.closed.Swap(true) {
		return nil
	}
	return b.fail("close", "", b.store.Close())
}

func (b *base) check(ctx context.Context, id string) error {
	if err := checkID(id); err != nil {
		return err
	}
	return b.ready(ctx)
}

func (b *base) ready(ctx context.Context) error {
	if b.closed.Load() {
		return ErrClosed
	}
	return ctx.Err()
}

func checkID(id string) error {
	if !envelope.ValidID(id) {
		return fmt.Errorf("%w: %q is not 1 to 255 bytes of valid UTF-8 without control characters", ErrInvalidID, id)
	}
	return nil
}

func (b *base) saw(epoch uint64) {
	for {
		seen := b.seen.Load()
		if epoch <= seen || b.seen.CompareAndSwap(seen, epoch) {
			return
		}
	}
}

// fail words err, nil for nil.
func (b *base) fail(op, id string, err error) error {
	if err == nil {
		return nil
	}
	e := &Error{Op: op, ComponentID: id, Adapter: b.name, Err: err}
	if a := (*store.Error)(nil); errors.As(err, &a) {
		e.Epoch, e.Version, e.Err = a.Fence.Epoch, a.Fence.Version, a.Err
		b.saw(a.Fence.Epoch)
	}
	return e
}
