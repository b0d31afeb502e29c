package filestore

import (
	"github.com/durablestate/durable/internal/envelope"
)

// An entry is what is known of one record of a commit without its payload.
type entry struct {
	id      string // of the component, or the name of the lease
	kind    envelope.Kind
	deleted bool // of a claim: the component had no state
	epoch   uint64
	version uint64
	writeID string
	off     int64  // of the envelope in its file
	size    int64  // of the envelope
	origin  uint64 // of a record that was moved here: the commit that it belongs to; else 0
	keep    uint32 // of a save by this store: generations that it leaves; 0: all
	err     error  // why the record cannot be read, although it is known

	comp *component // where it is known already
}

func (e *entry) mark() uint64 { return attemptMark(e.epoch, e.version, e.writeID) }

// A commit is what is known of a commit file.
type commit struct {
	seq     uint64
	size    int64
	entries []entry
	err     error // nothing is known of its records: store.ErrCorrupt or store.ErrTooNew
}

// deletedCodec marks the claim of a component without state. The record of its
// deletion may be gone from the directory.
const deletedCodec = "deleted"
