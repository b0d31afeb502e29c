package durable

import (
	"fmt"
	"io"
	"strings"

	"github.com/durablestate/durable/internal/store"
)

// What a load may answer instead of a snapshot. None of them is an empty state;
// only ErrNotFound means that there is none. Use [errors.Is].
var (
	// ErrNotFound: the component was never saved, or its state was deleted.
	ErrNotFound = store.ErrNotFound
	// ErrExpired: state was saved and its TTL ended. Start fresh knowingly,
	// and set ttl above the longest outage to survive.
	ErrExpired = store.ErrExpired
	// ErrLost: state was saved and is gone before its TTL, usually evicted.
	// Older generations may still be there; see Historian.
	ErrLost = store.ErrLost
	// ErrCorrupt: no stored generation verifies. The bytes are kept.
	ErrCorrupt = store.ErrCorrupt
	// ErrTooNew: a newer program wrote this state. Run that version, or newer.
	ErrTooNew = store.ErrTooNew
)

// Why a save or a lease was refused.
var (
	// ErrFenced: a newer owner took over. Stop saving until restored.
	ErrFenced = store.ErrFenced
	// ErrConflict: this version, or one above it, was accepted before.
	ErrConflict = store.ErrConflict
	// ErrLeaseHeld: another holder has the lease. Wait for its release or expiry.
	ErrLeaseHeld = store.ErrLeaseHeld
	// ErrTooLarge: the state is above MaxStateBytes. Nothing was sent.
	ErrTooLarge = store.ErrTooLarge
	// ErrNotDurable: the snapshot was stored, but fewer copies confirmed it
	// than the configured durability asks for. Saving it again (a repeat)
	// asks for the confirmation again.
	ErrNotDurable = store.ErrNotDurable
	// ErrInvalidID: a component id must be 1 to 255 bytes of valid UTF-8
	// without control characters. Register also refuses "/" and a leading "~".
	ErrInvalidID = store.ErrInvalidID
	// ErrPermanent: the store answered, and asking again will not change the
	// answer until somebody acts: wrong credentials, a missing right, a value of
	// another type. Adapters wrap it into such errors, with the remedy in the
	// text; a restore then fails at once, where it waits for a store that gives
	// any error without it, which counts as one that cannot be reached. A running
	// program goes on trying at its intervals, because credentials can be mended.
	ErrPermanent = store.ErrPermanent
)

// Why a call came at the wrong time.
var (
	// ErrNotRegistered: the component belongs to no Checkpointer, or the
	// Checkpointer knows no component of that id.
	ErrNotRegistered = store.ErrNotRegistered
	// ErrNotRestored: the component cannot be saved before a successful
	// Restore, because that could overwrite state that was not read.
	ErrNotRestored = store.ErrNotRestored
	// ErrClosed: the adapter or the Checkpointer was closed.
	ErrClosed = store.ErrClosed
)

// What became of the change of a Commit that failed. With any other error the change
// is made: it is in the component's state, and saved by the next checkpoint that can.
var (
	// ErrNotApplied: nothing was changed. It is safe to call Commit again.
	ErrNotApplied = store.ErrNotApplied
	// ErrReplaced: a Restore, or a call of RestoreState, replaced the state after the
	// change was made and before the save of it was acknowledged. The change is gone,
	// unless an earlier save had it: look at the state before you make it again.
	ErrReplaced = store.ErrReplaced
)

// Error says which operation failed for which component. Err is or wraps one of
// the errors above, or whatever the store answered. No secret and no state is
// ever part of the text.
type Error struct {
	Op          string // "save", "load", "delete", "claim", "acquire lease", ...
	ComponentID string // or the name of the lease; may be empty
	Adapter     string // "redis", "file", "memory"; empty if no adapter was asked
	Epoch       uint64 // the fence that goes with the answer, where there is one;
	Version     uint64 // 0 otherwise
	Err         error
}

func (e *Error) Error() string {
	text := e.Op
	if e.Adapter != "" {
		text = e.Adapter + ": " + text
	}
	if e.ComponentID != "" {
		text += fmt.Sprintf(" %q", e.ComponentID)
	}
	text += ": " + strings.ReplaceAll(e.Err.Error(), "durable: ", "") // said already
	if e.Epoch != 0 || e.Version != 0 {
		text += fmt.Sprintf(" (fence: epoch %d, version %d)", e.Epoch, e.Version)
	}
	return "durable: " + text
}

func (e *Error) Unwrap() error { return e.Err }

// Format writes the text of Error, quoted or in hexadecimal where the verb says so: what
// stands behind Err may hold more than its text shows.
func (e *Error) Format(f fmt.State, verb rune) { formatError(f, verb, e.Error()) }

func formatError(f fmt.State, verb rune, text string) {
	switch verb {
	case 'q', 'x', 'X':
		_, _ = fmt.Fprintf(f, fmt.FormatString(f, verb), text)
	default:
		_, _ = io.WriteString(f, text)
	}
}
