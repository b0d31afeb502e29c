package filestore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
	"github.com/durablestate/durable/internal/vfs"
)

// A heldLease is the kernel lock that shows others that the holder of a lease
// lives. There is a file for each acquisition.
type heldLease struct {
	epoch uint64
	lock  vfs.Lock // nil while it is being taken
}

// AcquireLease implements store.Store. The lock is held before the record is
// published: there is no moment in which a living holder looks dead.
func (s *Store) AcquireLease(ctx context.Context, name, holder string, ttl time.Duration, atLeast uint64) (_ *store.Lease, err error) {
	defer s.owned(&err)()
	take := func(prev *store.Lease) (*store.Lease, error) {
		ended, err := s.holderGone(prev)
		if err != nil {
			return nil, s.told(err)
		}
		return store.TakeLease(prev, ended, name, holder, ttl, atLeast, time.Now())
	}
	for {
		n, at, err := s.nextLease(ctx, name, take)
		if err != nil {
			return nil, err
		}
		took, err := s.hold(name, n.Epoch)
		if err != nil {
			return nil, s.told(err)
		}
		if !took { // somebody else is about to take it with this epoch
			if atLeast, err = store.Next("epoch", n.Epoch); err != nil {
				return nil, err
			}
			continue
		}
		if err = s.putLease(ctx, n, at); err == nil {
			s.letGo(name, func(epoch uint64) bool { return epoch < n.Epoch })
			return n, nil
		}
		s.letGo(name, func(epoch uint64) bool { return epoch == n.Epoch })
		if !errors.Is(err, errAgain) {
			return nil, err
		}
	}
}

// RenewLease implements store.Store.
func (s *Store) RenewLease(ctx context.Context, l *store.Lease) (_ *store.Lease, err error) {
	defer s.owned(&err)()
	mine := func(epoch uint64) bool { return epoch == l.Epoch }
	for {
		n, at, err := s.nextLease(ctx, l.Name, func(stored *store.Lease) (*store.Lease, error) {
			return store.RenewedLease(stored, l, time.Now())
		})
		if errors.Is(err, store.ErrFenced) {
			s.letGo(l.Name, mine)
		}
		if err != nil {
			return nil, err
		}
		s.dropUnnamed(l)
		// The lock is usually held already, by this store or, in the same
		// process, by another one.
		if _, err := s.hold(l.Name, l.Epoch); err != nil {
			return nil, s.told(err)
		}
		if err := s.putLease(ctx, n, at); !errors.Is(err, errAgain) {
			return n, err
		}
	}
}

// ReleaseLease implements store.Store.
func (s *Store) ReleaseLease(ctx context.Context, l *store.Lease) (_ *store.Lease, err error) {
	defer s.owned(&err)()
	for {
		n, at, err := s.nextLease(ctx, l.Name, func(stored *store.Lease) (*store.Lease, error) {
			return store.ReleasedLease(stored, l, time.Now())
		})
		if err == nil {
			err = s.putLease(ctx, n, at)
		}
		if errors.Is(err, errAgain) {
			continue
		}
		if err == nil || errors.Is(err, store.ErrFenced) {
			s.letGo(l.Name, func(epoch uint64) bool { return epoch == l.Epoch })
		}
		return n, err
	}
}

// owned frames a call that changes a lease: while it is under way the store stays
// the writer that it has become for it. When that failed it may have no use for the
// writers' lock.
func (s *Store) owned(err *error) (end func()) {
	s.count(1)
	return func() {
		s.count(-1)
		if *err != nil {
			s.resign()
		}
	}
}

func (s *Store) count(n int) {
	s.mu.Lock()
	s.owning += n
	s.mu.Unlock()
}

// LoadLease implements store.Store.
func (s *Store) LoadLease(ctx context.Context, name string) (*store.Lease, error) {
	l, err := s.askedLease(ctx, name)
	if err != nil {
		return nil, err
	}
	if l != nil {
		return l, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.x.damage); n > 0 {
		return nil, s.x.damage[n-1].err
	}
	return nil, store.Answer(store.Fence{}, store.ErrNotFound, "nobody ever held the lease")
}

// askedLease returns the stored record of the lease, nil when there is none, and
// says whether its holder is gone where AskHolder asks. What cannot be found out
// about the holder is no reason not to show the lease.
func (s *Store) askedLease(ctx context.Context, name string) (*store.Lease, error) {
	gone := store.HolderGone(ctx)
	for {
		l, at, err := s.storedLease(ctx, name)
		if err != nil || l == nil || gone == nil {
			return l, err
		}
		dead, err := s.holderGone(l)
		if *gone = dead && err == nil; !*gone {
			return l, nil
		}
		if _, again, err := s.storedLease(ctx, name); err != nil || again == at {
			return l, err
		}
	}
}

// nextLease returns what next makes of the stored record of the lease, nil for
// none, and the commit of that. When it returns a record the writers' lock is held;
// whoever is refused has only asked. A record that does not verify stands for an
// expired lease of an unknown holder: taking it is safe, because the epoch is known
// and fences that holder.
func (s *Store) nextLease(ctx context.Context, name string, next func(*store.Lease) (*store.Lease, error)) (*store.Lease, uint64, error) {
	for {
		writer := s.isWriter()
		l, at, err := s.storedLease(ctx, name)
		if err != nil && (l == nil || !errors.Is(err, store.ErrCorrupt)) {
			return nil, 0, err
		}
		if l != nil { // whoever had an earlier one has lost it
			s.letGo(name, func(epoch uint64) bool { return epoch < l.Epoch })
		}
		n, err := next(l)
		if writer || err != nil {
			return n, at, err
		}
		if err := s.becomeWriter(ctx); err != nil {
			return nil, 0, err
		}
	}
}

// storedLease returns the stored record of the lease, nil when there is none,
// and its commit. With ErrCorrupt it returns what is known of the record.
func (s *Store) storedLease(ctx context.Context, name string) (*store.Lease, uint64, error) {
	for try := 1; ; try++ {
		if err := s.refresh(ctx); err != nil {
			return nil, 0, err
		}
		r, ok := s.knownLease(name)
		if !ok {
			return nil, 0, nil
		}
		if r.rec != nil {
			l := *r.rec
			return &l, r.seq, nil
		}
		l, err := s.readLease(name, &r)
		if !errors.Is(err, fs.ErrNotExist) {
			return l, r.seq, s.told(err)
		}
		if try == 3 {
			return &store.Lease{Name: name, Epoch: r.epoch}, r.seq, fmt.Errorf("%w: the lease record in %s is gone", store.ErrCorrupt, commitName(r.file.seq))
		}
		if err := s.lookAgain(ctx); err != nil {
			return nil, 0, err
		}
	}
}

func (s *Store) knownLease(name string) (leaseRecord, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.x.leases[name]; r != nil {
		return *r, true
	}
	return leaseRecord{}, false
}

func (s *Store) readLease(name string, r *leaseRecord) (*store.Lease, error) {
	var l store.Lease
	err := r.err
	if err == nil {
		l, err = s.decodeLease(name, r)
	}
	if err != nil {
		return &store.Lease{Name: name, Epoch: r.epoch}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.x.leases[name]; now.seq == r.seq {
		kept := l
		now.rec = &kept
	}
	return &l, nil
}

// maxLease bounds the record of a lease: more than any name and holder take.
const maxLease = 64 << 10

func (s *Store) decodeLease(name string, r *leaseRecord) (l store.Lease, err error) {
	if r.size > maxLease {
		return l, fmt.Errorf("%w: the lease record in %s has %d bytes", store.ErrCorrupt, commitName(r.file.seq), r.size)
	}
	b, err := s.readRecord(r.place)
	if err != nil {
		return l, err
	}
	rec, _, err := envelope.Parse(b)
	if err != nil {
		return l, err
	}
	if err = json.Unmarshal(rec.Data, &l); err != nil || l.Name != name || l.Epoch != r.epoch {
		return l, fmt.Errorf("%w: the lease record in %s does not read", store.ErrCorrupt, commitName(r.file.seq))
	}
	return l, nil
}

// putLease stores l in place of the record in commit at, errAgain when another
// one took that place.
func (s *Store) putLease(ctx context.Context, l *store.Lease, at uint64) (err error) {
	r := s.newRequest(envelope.Lease, l.Name)
	r.snap.Epoch, r.prev = l.Epoch, at
	if r.lease, err = json.Marshal(l); err != nil {
		return err
	}
	_, err = s.submit(ctx, r)
	return err
}

// holderGone reports whether the holder of l is known to be dead: its kernel
// lock is free. It asks with a shared lock, so that two who ask at the same time
// do not take each other for the holder.
func (s *Store) holderGone(l *store.Lease) (bool, error) {
	if l == nil || l.Released {
		return false, nil
	}
	lock, err := s.dir.OpenLock(leaseFileName(l.Name, l.Epoch), false)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	defer lock.Close()
	return lock.Shared()
}

// hold takes the kernel lock of the acquisition of name with epoch and reports
// whether this call took it: not when this store or another one has it.
func (s *Store) hold(name string, epoch uint64) (bool, error) {
	file := leaseFileName(name, epoch)
	s.mu.Lock()
	if s.held[file] != nil {
		s.mu.Unlock()
		return false, nil
	}
	h := &heldLease{epoch: epoch}
	s.held[file] = h // from here on cleaning leaves the file alone
	s.mu.Unlock()
	lock, ok, err := s.lockFile(file)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed && ok {
		lock.Close()
		ok, err = false, store.ErrClosed
	}
	if !ok || err != nil {
		delete(s.held, file)
		return false, err
	}
	h.lock = lock
	return true, nil
}

func (s *Store) lockFile(file string) (vfs.Lock, bool, error) {
	lock, err := s.dir.OpenLock(file, true)
	if err != nil {
		return nil, false, err
	}
	ok, err := lock.Exclusive()
	if !ok || err != nil {
		lock.Close()
		return nil, false, err
	}
	return lock, true, nil
}

// endLeases gives up all locks.
func (s *Store) endLeases() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for file, h := range s.held {
		if h.lock != nil { // otherwise hold sees that the store is closed
			s.drop(file, h)
		}
	}
}

// drop gives the lock h up. mu is held.
func (s *Store) drop(file string, h *heldLease) {
	h.lock.Close()
	delete(s.held, file)
	s.litter.stray = append(s.litter.stray, file)
}

// dropUnnamed gives up the lock of l if its file has lost its name: others would
// take its holder for dead.
func (s *Store) dropUnnamed(l *store.Lease) {
	file := leaseFileName(l.Name, l.Epoch)
	s.mu.Lock()
	var lock vfs.Lock
	h := s.held[file]
	if h != nil {
		lock = h.lock
	}
	s.mu.Unlock()
	if lock == nil {
		return
	}
	if here, err := lock.InPlace(); err != nil || here {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[file] == h {
		lock.Close()
		delete(s.held, file)
	}
}

// letGo gives up the locks of the acquisitions of name that which selects.
func (s *Store) letGo(name string, which func(epoch uint64) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for file, h := range s.held {
		if h.lock != nil && file == leaseFileName(name, h.epoch) && which(h.epoch) {
			s.drop(file, h)
		}
	}
}

// leaseFileFree reports whether nobody holds the lock file of a lease.
func (s *Store) leaseFileFree(file string) bool {
	s.mu.Lock()
	_, mine := s.held[file]
	s.mu.Unlock()
	if mine || !strings.HasPrefix(file, leasePrefix) {
		return false
	}
	lock, err := s.dir.OpenLock(file, false)
	if err != nil {
		return false
	}
	defer lock.Close()
	ok, err := lock.Exclusive()
	return ok && err == nil
}
