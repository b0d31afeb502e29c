package durable

import (
	"cmp"
	"path/filepath"

	"github.com/durablestate/durable/internal/adapter"
	"github.com/durablestate/durable/internal/filestore"
	"github.com/durablestate/durable/internal/limits"
	"github.com/durablestate/durable/internal/vfs"
)

// FileOptions configures a [FileAdapter]. Zero fields mean the defaults named
// here.
type FileOptions struct {
	Keep          int   // generations of a component that verify, which each save of it leaves; 3
	MaxStateBytes int64 // of one state; 1 GiB

	// RequireDurable refuses a file system that loses what was synced, or of
	// which that is not known: see [FileAdapter.Durable].
	RequireDurable bool
}

// FileAdapter keeps state in files of one directory. It implements
// [StateAdapter], [Owner] and [Historian] and is safe for concurrent use, also
// by several processes on the same directory.
//
// # What survives
//
// When a save returns nil its snapshot survives a crash of the process, of the
// operating system and a power cut, provided that the file system and the disk
// do what they say:
//
//   - ext4, xfs and btrfs on Linux keep the promise. The content, then the name
//     of each file is synced before a save returns.
//   - macOS: the same calls; Sync there asks the disk to empty its cache.
//   - Windows has no sync for names; NTFS journals them. Best effort.
//   - tmpfs and overlay file systems mounted as volatile lose everything with
//     the machine, whatever is synced.
//   - Network file systems: as far as their server. Ownership needs locks, and
//     those of a network are weaker; the fence holds without them.
//   - A disk that reports a write as done before it is can lose it.
//
// A crash leaves a prefix of what was saved, also when several processes save:
// a save is published only when all that it was judged by is durable.
//
// A sync that failed is never repeated: the save fails, and its outcome is
// unknown. When the sync of the directory failed all further saves fail until
// the adapter is opened again. File systems with a journal stop at such an error
// and then have to be mounted anew; on one that goes on, open the adapter only
// after that, because what is seen before may not be on the disk.
//
// All this is tried out on a simulated disk that crashes, fails and rots: see the
// tests TestCrash_simulated_* of internal/filestore.
//
// # Files
//
// All files are private to the user. Saves that wait at the same time share one
// file, one sync of its content and one of the directory. Files are immutable:
// a save adds one, and what is superseded is deleted later, beside other saves,
// but never while another process has the directory open for writing. Files most
// of which is superseded, and many small ones, are compacted in the same way.
// A save trims the component that it saves to Keep, and nothing else does. A
// generation that does not verify does not count towards it. State does not expire.
//
// The directory has to stay in its place: once the path leads elsewhere every call
// fails with [ErrPermanent], until it leads back.
//
// Damage within a file is found out, and so is a file in the place of another
// where the order matters. Files do not name their store or their number, so
// that their second line is plain state: a file overwritten by a copy of another
// one, or removed by hand, is as if its state had never been saved. Back up and
// restore the directory as a whole.
//
// A lease is over at once when its holder's process ends, because the kernel
// frees a lock that it held. A holder that hangs keeps it until it expires.
type FileAdapter struct {
	storeAdapter
	durable error // why the file system may lose what was synced
}

// NewFileAdapter opens the directory dir, which is created with its parents if
// it does not exist; nil opts mean defaults. It writes nothing yet and takes no
// lock, so that a tool can look into the store of a running program. A relative dir
// is that of the moment: a later change of the working directory moves nothing. What
// only a shell expands, "~" and "$HOME", is refused.
//
// The error is ErrCorrupt when the directory holds half a store and ErrTooNew
// when a newer program wrote it.
func NewFileAdapter(dir string, opts *FileOptions) (*FileAdapter, error) {
	o := given(opts)
	whole, err := o.check(dir)
	if err != nil {
		return nil, &Error{Op: "open", Adapter: "file", Err: err}
	}
	o.Keep = cmp.Or(o.Keep, 3)
	o.MaxStateBytes = cmp.Or(o.MaxStateBytes, 1<<30)
	s, err := filestore.Open(whole, filestore.Options{Keep: o.Keep, MaxBytes: o.MaxStateBytes, RequireDurable: o.RequireDurable})
	if err != nil {
		return nil, &Error{Op: "open", Adapter: "file", Err: err}
	}
	a := &FileAdapter{durable: vfs.CheckDurable(whole)}
	a.over("file", &adapter.Adapter{Store: s, MaxBytes: o.MaxStateBytes}, a)
	return a, nil
}

// check returns the whole path of dir, and what is wrong with it and the options.
func (o *FileOptions) check(dir string) (whole string, err error) {
	c := limits.Fields("FileOptions", "file")
	if dir == "" {
		c.Refuse("dir", "is empty; a directory is needed")
	}
	c.TextAs("dir", "directory", dir)
	c.Number("keep", int64(o.Keep))
	c.Number("max_state_bytes", o.MaxStateBytes)
	if err := c.Err(); err != nil {
		return "", err
	}
	return filepath.Abs(dir)
}

// Durable returns nil if the directory lies on a file system that is known to
// keep what was synced, and otherwise an error that says why not: a program may
// log it at its start. On Linux it tells file systems in memory, overlays mounted
// as volatile and those of a network from the usual local ones; what lies below
// an overlay it cannot see. On macOS and Windows it returns nil.
func (a *FileAdapter) Durable() error {
	if a.durable == nil {
		return nil
	}
	return &Error{Op: "check", Adapter: "file", Err: a.durable}
}
