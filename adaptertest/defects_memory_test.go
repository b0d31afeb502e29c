package adaptertest_test

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/adaptertest"
)

// These are faults of the optional capabilities, planted in a memory adapter.
var memoryDefects = []defect{
	{"claims nothing", "owner/a claim closes the window in which a predecessor could still save",
		memory(func(a *durable.MemoryAdapter) claimsNothing { return claimsNothing{a} })},
	{"claims nothing behind a wrapper", "owner/a claim closes the window in which a predecessor could still save",
		memory(func(a *durable.MemoryAdapter) wrapper { return wrapper{claimsNothing{a}} })},
	{"claims only what is stored", "owner/a claim raises the fence when nothing is stored",
		memory(func(a *durable.MemoryAdapter) claimsTheStored { return claimsTheStored{a} })},
	{"accepts a claim below the fence", "owner/a claim below the fence is refused with ErrFenced",
		memory(func(a *durable.MemoryAdapter) claimsBelow { return claimsBelow{a} })},
	{"refuses a claim twice", "owner/a claim is idempotent",
		memory(func(a *durable.MemoryAdapter) *claimsOnce { return &claimsOnce{MemoryAdapter: a} })},
	{"counts epochs per process", "reopen/epochs grow across adapters", countedEpochs()},
	{"lends a lease to anybody", "owner/a lease has one holder at a time",
		memory(func(a *durable.MemoryAdapter) lendsToAnybody { return lendsToAnybody{a} })},
	{"lends a lease by prefix", "owner/a lease has one holder at a time",
		memory(func(a *durable.MemoryAdapter) lendsByPrefix { return lendsByPrefix{a} })},
	{"does not know the same holder again", "owner/the same holder takes its own lease back at once with a greater epoch",
		memory(func(a *durable.MemoryAdapter) *strangers { return &strangers{MemoryAdapter: a} })},
	{"renews what was superseded", "owner/a superseded lease is not renewed and not released",
		memory(func(a *durable.MemoryAdapter) renewsAnything { return renewsAnything{a} })},
	{"revives a released lease", "owner/a late renewal does not revive a released lease",
		memory(func(a *durable.MemoryAdapter) revives { return revives{a} })},
	{"renews without saying until when", "owner/a renewal extends the lease",
		memory(func(a *durable.MemoryAdapter) renewsSilently { return renewsSilently{a} })},
	{"does not tell of a release", "owner/a released lease is free at once, and the next owner is told",
		memory(func(a *durable.MemoryAdapter) forgetsReleases { return forgetsReleases{a} })},
	{"hands an expired lease on under its old epoch", "owner/an expired lease lets another in",
		memory(func(a *durable.MemoryAdapter) sameEpoch { return sameEpoch{a} })},
	{"answers nil, nil for a lease that nobody had", "owner/a lease that nobody had is ErrNotFound",
		memory(func(a *durable.MemoryAdapter) nilLease { return nilLease{a} })},
	{"lists what was deleted", "historian/a deleted component is not listed",
		memory(func(a *durable.MemoryAdapter) *listsTheDeleted { return &listsTheDeleted{MemoryAdapter: a} })},
	{"lists the first page", "historian/every component is listed, however many there are",
		memory(func(a *durable.MemoryAdapter) firstPage { return firstPage{a} })},
	{"lists what it has pruned", "historian/every generation that is listed can be loaded, and the newest is the first",
		memory(func(a *durable.MemoryAdapter) listsThePruned { return listsThePruned{a} })},
	{"keeps the lease it has renewed", "owner/the caller owns the lease",
		memory(func(a *durable.MemoryAdapter) *keepsTheLease { return &keepsTheLease{MemoryAdapter: a} })},
	{"lists what it saved itself", "reopen/a second adapter lists what the first one saved", ownLists()},
	{"lists twice", "historian/a saved component is listed, once",
		memory(func(a *durable.MemoryAdapter) listsTwice { return listsTwice{a} })},
	{"lists snapshots oldest first", "historian/snapshots are listed newest first with all they say",
		memory(func(a *durable.MemoryAdapter) oldestFirst { return oldestFirst{a} })},
	{"loads the newest for any version", "historian/a generation that is not stored is ErrNotFound",
		memory(func(a *durable.MemoryAdapter) loadsTheNewest { return loadsTheNewest{a} })},
	{"lists nothing without an error", "historian/a component without generations answers as LoadState does",
		memory(func(a *durable.MemoryAdapter) emptyHistory { return emptyHistory{a} })},
	{"keeps one generation", "historian/at least two generations are kept, and not all",
		memory(func(*durable.MemoryAdapter) *durable.MemoryAdapter { return keeping(1) })},
	{"keeps every generation", "historian/at least two generations are kept, and not all",
		memory(func(*durable.MemoryAdapter) *durable.MemoryAdapter { return keeping(1000) })},
}

func keeping(n int) *durable.MemoryAdapter {
	return durable.NewMemoryAdapter(&durable.MemoryOptions{Keep: n})
}

type claimsNothing struct{ *durable.MemoryAdapter }

func (claimsNothing) ClaimState(context.Context, string, uint64) error { return nil }

type claimsTheStored struct{ *durable.MemoryAdapter }

func (d claimsTheStored) ClaimState(ctx context.Context, id string, epoch uint64) error {
	if _, err := d.LoadState(ctx, id); errors.Is(err, durable.ErrNotFound) {
		return nil
	}
	return d.MemoryAdapter.ClaimState(ctx, id, epoch)
}

type claimsBelow struct{ *durable.MemoryAdapter }

func (d claimsBelow) ClaimState(ctx context.Context, id string, epoch uint64) error {
	if err := d.MemoryAdapter.ClaimState(ctx, id, epoch); !errors.Is(err, durable.ErrFenced) {
		return err
	}
	return nil
}

type claimsOnce struct {
	*durable.MemoryAdapter
	claimed uint64
}

func (d *claimsOnce) ClaimState(ctx context.Context, id string, epoch uint64) error {
	if epoch == d.claimed {
		return durable.ErrFenced
	}
	d.claimed = epoch
	return d.MemoryAdapter.ClaimState(ctx, id, epoch)
}

// epochCounter counts the epochs of all leases in the adapter.
type epochCounter struct {
	*durable.MemoryAdapter
	mu   sync.Mutex
	last uint64
}

func (d *epochCounter) AcquireLease(ctx context.Context, name, holder string, ttl time.Duration) (*durable.Lease, error) {
	l, err := d.MemoryAdapter.AcquireLease(ctx, name, holder, ttl)
	if err == nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.last++
		l.Epoch = d.last
	}
	return l, err
}

func (d *epochCounter) Close() error { return nil }

func countedEpochs() adaptertest.Store {
	s := memory(func(a *durable.MemoryAdapter) *epochCounter { return &epochCounter{MemoryAdapter: a} })
	s.Reopen = func(_ *testing.T, a durable.StateAdapter) durable.StateAdapter {
		return &epochCounter{MemoryAdapter: a.(*epochCounter).MemoryAdapter}
	}
	return s
}

type lendsToAnybody struct{ *durable.MemoryAdapter }

func (d lendsToAnybody) AcquireLease(ctx context.Context, name, holder string, ttl time.Duration) (*durable.Lease, error) {
	if l, err := d.LoadLease(ctx, name); err == nil {
		_ = d.ReleaseLease(ctx, l)
	}
	return d.MemoryAdapter.AcquireLease(ctx, name, holder, ttl)
}

type lendsByPrefix struct{ *durable.MemoryAdapter }

func (d lendsByPrefix) AcquireLease(ctx context.Context, name, holder string, ttl time.Duration) (*durable.Lease, error) {
	return d.MemoryAdapter.AcquireLease(ctx, name, holder[:min(len(holder), 3)], ttl)
}

type strangers struct {
	*durable.MemoryAdapter
	n int
}

func (d *strangers) AcquireLease(ctx context.Context, name, holder string, ttl time.Duration) (*durable.Lease, error) {
	d.n++
	return d.MemoryAdapter.AcquireLease(ctx, name, holder+string(rune('0'+d.n)), ttl)
}

type renewsAnything struct{ *durable.MemoryAdapter }

func (d renewsAnything) RenewLease(ctx context.Context, l *durable.Lease) error {
	if err := d.MemoryAdapter.RenewLease(ctx, l); !errors.Is(err, durable.ErrFenced) {
		return err
	}
	return nil
}

type revives struct{ *durable.MemoryAdapter }

func (d revives) RenewLease(ctx context.Context, l *durable.Lease) error {
	err := d.MemoryAdapter.RenewLease(ctx, l)
	if s, lost := d.LoadLease(ctx, l.Name); lost == nil && s.Released && errors.Is(err, durable.ErrFenced) {
		_, err = d.AcquireLease(ctx, l.Name, l.Holder, l.TTL)
	}
	return err
}

type renewsSilently struct{ *durable.MemoryAdapter }

func (d renewsSilently) RenewLease(ctx context.Context, l *durable.Lease) error {
	n := *l
	return d.MemoryAdapter.RenewLease(ctx, &n)
}

type forgetsReleases struct{ *durable.MemoryAdapter }

func (d forgetsReleases) ReleaseLease(_ context.Context, l *durable.Lease) error {
	l.Released = true
	return nil
}

type sameEpoch struct{ *durable.MemoryAdapter }

func (d sameEpoch) AcquireLease(ctx context.Context, name, holder string, ttl time.Duration) (*durable.Lease, error) {
	before, _ := d.LoadLease(ctx, name)
	l, err := d.MemoryAdapter.AcquireLease(ctx, name, holder, ttl)
	if err == nil && before != nil {
		l.Epoch = before.Epoch
	}
	return l, err
}

type nilLease struct{ *durable.MemoryAdapter }

func (d nilLease) LoadLease(ctx context.Context, name string) (*durable.Lease, error) {
	l, err := d.MemoryAdapter.LoadLease(ctx, name)
	if errors.Is(err, durable.ErrNotFound) {
		err = nil
	}
	return l, err
}

type listsTheDeleted struct {
	*durable.MemoryAdapter
	deleted string
}

func (d *listsTheDeleted) DeleteState(ctx context.Context, id string) error {
	d.deleted = id
	return d.MemoryAdapter.DeleteState(ctx, id)
}

func (d *listsTheDeleted) ListComponents(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if d.deleted == "" || yield(d.deleted, nil) {
			d.MemoryAdapter.ListComponents(ctx)(yield)
		}
	}
}

type listsTwice struct{ *durable.MemoryAdapter }

func (d listsTwice) ListComponents(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for id, err := range d.MemoryAdapter.ListComponents(ctx) {
			for range 2 {
				if !yield(id, err) {
					return
				}
			}
		}
	}
}

type oldestFirst struct{ *durable.MemoryAdapter }

func (d oldestFirst) ListSnapshots(ctx context.Context, id string) ([]durable.SnapshotInfo, error) {
	infos, err := d.MemoryAdapter.ListSnapshots(ctx, id)
	slices.Reverse(infos)
	return infos, err
}

type loadsTheNewest struct{ *durable.MemoryAdapter }

func (d loadsTheNewest) LoadSnapshot(ctx context.Context, id string, _ uint64) (*durable.Snapshot, error) {
	return d.LoadState(ctx, id)
}

type emptyHistory struct{ *durable.MemoryAdapter }

func (d emptyHistory) ListSnapshots(ctx context.Context, id string) ([]durable.SnapshotInfo, error) {
	infos, err := d.MemoryAdapter.ListSnapshots(ctx, id)
	if errors.Is(err, durable.ErrNotFound) {
		return nil, nil
	}
	return infos, err
}

type firstPage struct{ *durable.MemoryAdapter }

func (d firstPage) ListComponents(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		n := 0
		for id, err := range d.MemoryAdapter.ListComponents(ctx) {
			if n++; n > 100 || !yield(id, err) {
				return
			}
		}
	}
}

type listsThePruned struct{ *durable.MemoryAdapter }

func (d listsThePruned) ListSnapshots(ctx context.Context, id string) ([]durable.SnapshotInfo, error) {
	infos, err := d.MemoryAdapter.ListSnapshots(ctx, id)
	if n := len(infos); n > 2 {
		pruned := infos[n-1]
		pruned.Version--
		infos = append(infos, pruned)
	}
	return infos, err
}

// keepsTheLease answers with the lease that it was given to renew.
type keepsTheLease struct {
	*durable.MemoryAdapter
	kept *durable.Lease
}

func (d *keepsTheLease) RenewLease(ctx context.Context, l *durable.Lease) error {
	d.kept = l
	return d.MemoryAdapter.RenewLease(ctx, l)
}

func (d *keepsTheLease) LoadLease(ctx context.Context, name string) (*durable.Lease, error) {
	if d.kept != nil && d.kept.Name == name {
		l := *d.kept
		return &l, nil
	}
	return d.MemoryAdapter.LoadLease(ctx, name)
}

// ownList lists what was saved through it.
type ownList struct {
	*durable.MemoryAdapter
	mine map[string]bool
}

func (d ownList) SaveState(ctx context.Context, id string, s *durable.Snapshot) error {
	d.mine[id] = true
	return d.MemoryAdapter.SaveState(ctx, id, s)
}

func (d ownList) ListComponents(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for id, err := range d.MemoryAdapter.ListComponents(ctx) {
			if (d.mine[id] || err != nil) && !yield(id, err) {
				return
			}
		}
	}
}

func (d ownList) Close() error { return nil }

func ownLists() adaptertest.Store {
	s := memory(func(a *durable.MemoryAdapter) ownList { return ownList{a, map[string]bool{}} })
	s.Reopen = func(_ *testing.T, a durable.StateAdapter) durable.StateAdapter {
		return ownList{a.(ownList).MemoryAdapter, map[string]bool{}}
	}
	return s
}
