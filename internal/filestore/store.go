// Package filestore keeps snapshots in one flat directory, so that what was
// acknowledged survives a power cut.
//
// The state is a sequence of immutable commit files c-<number>, each with one
// envelope or, when several saves waited, many. A commit is published under the
// number after the last one by a rename that replaces nothing: the sequence is
// the compare-and-set between processes, without a lock. Whoever finds the
// number taken reads what was committed there, judges its own saves again and
// tries the next. A commit is published only when all before it are durable, so
// that a crash leaves a prefix of the sequence.
//
//	FORMAT             what the directory is
//	LOCK               shared by all that write, exclusive to delete
//	c-<16 hex digits>  a commit
//	l-<name>-<epoch>   held by the holder of a lease as long as it lives
//	x-c-<number>       a superseded commit that did not verify, kept aside until a person removes it
//	.t-<random>        a file being written, or left by a crash
//
// Goroutines: one committer while saves wait, one cleaner while it deletes or
// compacts, none otherwise.
package filestore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"github.com/durablestate/durable/internal/store"
	"github.com/durablestate/durable/internal/vfs"
)

// Options of a Store.
type Options struct {
	Keep     int   // generations of a component; at least 1
	MaxBytes int64 // of one state; more is not read. 0: no limit

	RequireDurable bool // refuse a file system that may lose what was synced

	// For tests.
	Serial     bool       // clean between commits, not beside them
	CleanEvery int        // commits; 0: cleanEvery
	Compact    Compaction // when it is due
}

// Store implements store.Store on one directory.
type Store struct {
	dir   vfs.Dir
	where string
	opts  Options

	// io serialises reading new commits into the index and taking the
	// writers' lock. It is taken before mu.
	io      chan struct{}
	lock    vfs.Lock    // on LOCK; guarded by io, as is
	gaps    atomic.Bool // the lock is not held for a moment when it becomes exclusive
	format  []byte      // what FORMAT said when it was first read
	scanned time.Time   // when the directory last changed before the last scan, zero if that is not certain

	syncing chan struct{} // held during a sync of the directory

	committer committer

	mu             sync.Mutex // guards what follows; never held during I/O
	x              index
	writer         bool   // this store holds the writers' lock and has seen every commit before it
	synced         uint64 // all names of commits up to here are durable
	removals       uint64 // files removed so far
	removalsSynced uint64 // and how many of these durably
	degraded       bool   // the file system cannot sync directories
	poison         error  // the outcome of a directory sync is unknown: no more writes
	closed         bool
	held           map[string]*heldLease
	owning         int           // calls under way that change leases
	cleaning       chan struct{} // closed when the running cleaner ends, nil if there is none
	litter         litter
	temps          map[string]bool // of this store, about to be published

	// What is used again.
	requests  *sync.Pool // apart, since the runtime knows a pool until the second collection after its last use
	verifiers *sync.Pool // likewise
}

var _ store.Store = (*Store)(nil)

// Open opens the store in the directory path, which is created if it does not
// exist.
func Open(path string, opts Options) (*Store, error) {
	dir, err := vfs.Open(path)
	if err != nil {
		return nil, word(err)
	}
	var s *Store
	if opts.RequireDurable {
		err = vfs.CheckDurable(path)
	}
	if err == nil {
		s, err = New(dir, opts)
	}
	if err != nil {
		dir.Close()
		return nil, fmt.Errorf("%s: %w", path, word(err))
	}
	s.where = locate(path)
	return s, nil
}

// New opens the store in dir, which it closes in the end unless it fails. It
// writes nothing and takes no lock.
func New(dir vfs.Dir, opts Options) (*Store, error) {
	opts.CleanEvery = cmp.Or(opts.CleanEvery, cleanEvery)
	opts.Compact.setDefaults()
	s := &Store{
		dir:     dir,
		opts:    opts,
		io:      make(chan struct{}, 1),
		syncing: make(chan struct{}, 1),
		x:       newIndex(),
		held:    map[string]*heldLease{},
		temps:   map[string]bool{},

		requests:  new(sync.Pool),
		verifiers: new(sync.Pool),
	}
	s.committer.s, s.committer.handed = s, make(chan struct{}, 1)
	if err := s.rescan(context.Background()); err != nil {
		return nil, err
	}
	return s, nil
}

// Close waits for the commit under way, cleans up and gives all locks up.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.committer.fail(store.ErrClosed)
	s.mu.Unlock()
	s.committer.wait()
	s.mu.Lock()
	cleaning := s.cleaning
	s.mu.Unlock()
	if cleaning != nil {
		<-cleaning
	}
	s.endLeases() // their files are cleaned up with the rest
	s.clean()
	return s.release()
}

func (s *Store) release() error {
	s.io <- struct{}{}
	defer func() { <-s.io }()
	var errs []error
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(append(errs, s.dir.Close())...)
}

// acquireIO waits for the right to read commits into the index.
func (s *Store) acquireIO(ctx context.Context) error {
	select {
	case s.io <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// told returns err as the caller should see it: what fails because the store
// was closed meanwhile is store.ErrClosed.
func (s *Store) told(err error) error {
	if err == nil || !errors.Is(err, fs.ErrClosed) {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return store.ErrClosed
	}
	return err
}
