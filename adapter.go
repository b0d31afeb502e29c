// Package durable keeps the state of long-lived components through crashes,
// restarts, rolling updates and storage outages.
//
// A component embeds [StatefulComponent], changes its state under Update and
// reads it under View. A [Checkpointer] restores every component on start-up,
// saves the changed ones periodically and flushes them on shutdown. State goes to
// a [StateAdapter]: Redis (the production default), files, or memory for tests.
// [LoadConfig] wires all of it from YAML.
//
//	cfg, err := durable.LoadConfig("config.yaml")
//	cp, err := cfg.Open(ctx)
//	words := &WordCounter{}        // embeds durable.StatefulComponent[counts]
//	cp.Register("word_counter", words)
//	report, err := cp.Restore(ctx) // after set-up, before any processing
//	cp.Start()                     // periodic checkpoints from here on
//	words.Update(func(c *counts) { c.Words["hello"]++ })
//	err = cp.Close()               // workers are quiet; final checkpoint. Then clean up.
//
// # What is promised
//
// When a save returns nil the snapshot survives what its adapter says it
// survives: a power cut for [FileAdapter], what the configured durability level
// says for [RedisAdapter], nothing for [MemoryAdapter]. A restore returns exactly
// the bytes of one save of that component, never a mixture, and tells absent,
// expired, lost, corrupt, too new and unreachable state apart. State that could
// not be read is never overwritten. One process owns the components of a system
// at a time; whoever was superseded is refused with [ErrFenced].
//
// # Calls and locks
//
// No callback of a component is called with a lock of this package held other
// than that component's own. Nothing is global: any number of Checkpointers and
// adapters may live in one process.
package durable

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"time"

	"github.com/durablestate/durable/internal/adapter"
	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
)

// StateAdapter stores snapshots of components. Implement these four methods to
// keep state somewhere else; package adaptertest checks an implementation.
// Optional capabilities are [Owner] and [Historian].
//
// All methods must be safe for concurrent use, must return soon after ctx ends,
// and answer [ErrInvalidID] to a component id that is not 1 to 255 bytes of valid
// UTF-8 without control characters. After Close they answer [ErrClosed].
type StateAdapter interface {
	// SaveState stores s as the newest snapshot of componentID. When it
	// returns nil the snapshot is durable. It must not keep or change s.
	//
	// A save is accepted exactly when its Epoch is not below, and its
	// Version is above, the component's fence: the highest epoch ever
	// claimed or accepted, and the highest version ever accepted. A lower
	// epoch is answered with ErrFenced, otherwise ErrConflict; the *Error
	// carries the fence, which has no TTL and outlives expiry and deletion.
	//
	// The last accepted save again (same Epoch, Version and WriteID, not
	// fenced since) succeeds without writing and refreshes the TTL, so that
	// a retry is recognised. With nil Data it only refreshes, and answers
	// ErrLost when the stored copy has vanished; an empty state is a
	// non-nil slice of length 0.
	//
	// An Epoch or Version of 0 is filled in from the fence when the call
	// begins; if that is refused meanwhile and ctx has not ended, the fence
	// is read again: the last writer wins, for callers who keep no versions.
	// An empty WriteID is filled in too.
	//
	// Any other error leaves the outcome open: the snapshot may have been
	// stored. New bytes then take the next version.
	//
	// An adapter whose states expire gives no TTL to those whose id begins
	// with "~aside/": they stay until a person removes them.
	SaveState(ctx context.Context, componentID string, s *Snapshot) error

	// LoadState returns the newest snapshot of componentID that verifies.
	// If none was ever saved, or it was deleted, the error is ErrNotFound.
	// ErrExpired, ErrLost, ErrCorrupt and ErrTooNew say why a state that
	// was saved cannot be returned; any other error means that it could not
	// be read. None of them means that there is no state. The caller owns
	// the result.
	//
	// With ErrCorrupt or ErrTooNew it may return a snapshot of which Data
	// are the bytes as they are stored. A Checkpointer that may start fresh
	// sets them aside; where it gets none it does not start, since its saves
	// would overwrite them.
	LoadState(ctx context.Context, componentID string) (*Snapshot, error)

	// DeleteState removes all generations of componentID and raises the
	// fence's epoch by one, so that a running owner is refused. It works
	// when nothing is stored. A late copy of the call does nothing.
	DeleteState(ctx context.Context, componentID string) error

	// Close releases what the adapter holds. Calling it again does nothing.
	Close() error
}

// Snapshot is the state of one component at one moment.
type Snapshot struct {
	Epoch   uint64    // of the owner that saved it; 0 when the adapter knows no owners
	Version uint64    // 1 for a component's first save, grows with each; 0 in a save means "the next"
	WriteID string    // names the attempt, so that a retry is recognised; 1 to 32 ASCII letters and digits
	Schema  int       // version of the state's own format, 0 if the component has none
	Codec   string    // "json", "binary" or the component's own; at most 64 bytes of text
	SavedAt time.Time // writer's clock; informative, never used for ordering; zero in a save means now
	Data    []byte    // the encoded state

	// LastVersion is set by loads: the highest version ever accepted. It is
	// above Version when the newest generations did not verify. Version 0
	// marks state that a plain writer left without an envelope.
	LastVersion uint64
}

// Format writes s with the length of Data in its place, whatever the verb: state is
// nobody's to print. JSON has all of it, for adapters that store it so.
func (s Snapshot) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.LogValue().String()) }

// LogValue describes s with the length of Data in its place.
func (s Snapshot) LogValue() slog.Value {
	return slog.GroupValue(slog.Uint64("Epoch", s.Epoch), slog.Uint64("Version", s.Version), slog.String("WriteID", s.WriteID),
		slog.Int("Schema", s.Schema), slog.String("Codec", s.Codec), slog.Time("SavedAt", s.SavedAt), slog.Int("Bytes", len(s.Data)),
		slog.Uint64("LastVersion", s.LastVersion))
}

// Owner is the optional capability of an adapter to have one owner at a time.
// It is found through a wrapper's Unwrap() StateAdapter method, so a wrapper that
// changes component ids must implement it itself.
//
// A lease belongs to a system, that is to all components of one Checkpointer.
// Its epoch fences every save, so a lease is safe even if clocks are wrong: a
// holder that was superseded without noticing is refused by the store.
type Owner interface {
	// AcquireLease takes the lease name for holder and answers at once:
	// ErrLeaseHeld while another holder has it. The same holder takes its
	// own lease back, another one after release or expiry, judged by the
	// store's clock. Each acquisition has an epoch above all before it.
	// ErrNotDurable, here and below, comes with a lease that is stored.
	AcquireLease(ctx context.Context, name, holder string, ttl time.Duration) (*Lease, error)

	// RenewLease extends l by its TTL and sets l.Expires. A lost record is
	// written again; ErrFenced once a greater epoch is stored or the lease
	// was released. It must not be called concurrently with the same l.
	RenewLease(ctx context.Context, l *Lease) error

	// ReleaseLease ends l in an orderly way, which the next owner is told,
	// and sets l.Released. ErrFenced once a greater epoch is stored.
	ReleaseLease(ctx context.Context, l *Lease) error

	// LoadLease returns who owns the lease name or owned it last,
	// ErrNotFound if nobody ever did. The caller owns the result.
	LoadLease(ctx context.Context, name string) (*Lease, error)

	// ClaimState raises the epoch of the component's fence, also when
	// nothing is stored. It is idempotent and answers ErrFenced when the
	// fence is above epoch already. Whoever takes a component over claims
	// it first and loads it then, so that no save falls in between.
	ClaimState(ctx context.Context, componentID string, epoch uint64) error
}

// Historian is the optional capability of an adapter to show older generations.
// A wrapper that changes state (encryption) must implement it itself.
type Historian interface {
	// ListComponents yields every component that was saved and not deleted,
	// each once and in no particular order, also those whose state expired
	// or was lost. It ends with the first error.
	ListComponents(ctx context.Context) iter.Seq2[string, error]

	// ListSnapshots reads and verifies every stored generation, newest
	// first. What does not verify has its Err set. A component without
	// generations yields the error that LoadState answers.
	ListSnapshots(ctx context.Context, componentID string) ([]SnapshotInfo, error)

	// LoadSnapshot returns one generation, ErrNotFound if it is not stored.
	// The caller owns the result.
	LoadSnapshot(ctx context.Context, componentID string, version uint64) (*Snapshot, error)
}

// Lease is a record of ownership. See [Owner].
type Lease struct {
	Name, Holder string
	Epoch        uint64        // fences the saves of everybody who held the lease before
	TTL          time.Duration // how long a silent holder keeps it
	Expires      time.Time     // by the store's clock, set by acquisition and renewal
	Released     bool          // ended in an orderly way
}

// SnapshotInfo describes one stored generation.
type SnapshotInfo struct {
	Epoch, Version uint64
	SavedAt        time.Time
	Schema         int
	Codec          string
	Bytes          int   // length of the state, or of the stored bytes when Err is set
	Err            error // why it does not verify, nil if it does
}

// EncodeSnapshot returns s in the format in which all adapters of this package
// store it: one ASCII header line, then s.Data as it is. It is for third-party
// adapters, which need not know the format. s must have a WriteID. The caller
// owns the result.
func EncodeSnapshot(componentID string, s *Snapshot) ([]byte, error) {
	err := envelope.CheckID(componentID)
	if s == nil {
		err = adapter.ErrNil
	}
	if err != nil {
		return nil, &Error{Op: "encode", ComponentID: componentID, Err: err}
	}
	b, err := envelope.Append(nil, &envelope.Record{ID: componentID, Kind: envelope.Snapshot, Snapshot: store.Snapshot(*s)})
	if err != nil {
		return nil, &Error{Op: "encode", ComponentID: componentID, Err: err}
	}
	return b, nil
}

// DecodeSnapshot reads what EncodeSnapshot wrote. The error is ErrCorrupt when b
// is not exactly one intact envelope of componentID, and ErrTooNew when a newer
// version of this package wrote it. A JSON object without an envelope, as plain
// writers leave it, is returned with Version 0, unverified. It does not keep b.
func DecodeSnapshot(componentID string, b []byte) (*Snapshot, error) {
	s, err := envelope.Decode(componentID, b)
	if err != nil && !envelope.HasMagic(b) {
		if plain, ok := envelope.Plain(b); ok {
			s, err = plain, nil
		}
	}
	if err != nil {
		return nil, &Error{Op: "decode", ComponentID: componentID, Err: err}
	}
	s.Data = bytes.Clone(s.Data)
	return (*Snapshot)(s), nil
}
