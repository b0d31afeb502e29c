package filestore

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
)

// An entry is what is known of one record of a commit without its payload.
type entry struct {
	id      string // of the component, or the name of the lease
	kind    envelope.Kind
	deleted bool // of a claim: the component had no state
	epoch   uint64
	version uint64
	writeID string
	off     int64 // of the envelope in its file
	size    int64
	err     error // why the record cannot be read, although it is known
}

func (e *entry) attempt() store.Attempt {
	return store.Attempt{Epoch: e.epoch, Version: e.version, WriteID: e.writeID}
}

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

// A bundle, a commit file of several records, begins and ends with the same
// index envelope, so that damage to the header of one record does not hide which
// component and version it hit. Its Version is the number of the commit. Its
// payload is JSON, a line for each of the records, which lie back to back:
//
//	["<id>","<kind>",<epoch>,<version>,"<write id>",<length>]
const (
	indexID      = "index"
	indexWriteID = "index"

	deletedClaim = "cd" // kind of a claim of a component without state
)

// appendIndex appends the index envelope of the commit seq.
func appendIndex(dst []byte, seq uint64, entries []entry) ([]byte, error) {
	payload := make([]byte, 0, 96*len(entries)+4)
	sep := byte('[')
	for i := range entries {
		payload = entries[i].appendJSON(append(payload, sep, '\n'))
		sep = ','
	}
	return envelope.Append(dst, &envelope.Record{ID: indexID, Kind: envelope.Index, Snapshot: store.Snapshot{
		Version: seq, WriteID: indexWriteID, Codec: "json", Data: append(payload, "\n]\n"...),
	}})
}

func (e *entry) appendJSON(b []byte) []byte {
	kind := string(e.kind)
	if e.deleted {
		kind = deletedClaim
	}
	b = appendString(append(b, '['), e.id)
	b = appendString(append(b, ','), kind)
	b = strconv.AppendUint(append(b, ','), e.epoch, 10)
	b = strconv.AppendUint(append(b, ','), e.version, 10)
	b = appendString(append(b, ','), e.writeID)
	b = strconv.AppendInt(append(b, ','), e.size, 10)
	return append(b, ']')
}

// appendString appends s, which is valid text without control characters, as JSON.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}

// parseIndex reads the payload of an index whose records begin at off.
func parseIndex(payload []byte, off int64) ([]entry, error) {
	var lines [][]json.RawMessage
	if err := json.Unmarshal(payload, &lines); err != nil {
		return nil, fmt.Errorf("%w: index: %w", store.ErrCorrupt, err)
	}
	entries := make([]entry, len(lines))
	for i, l := range lines {
		e := &entries[i]
		if err := e.parse(l); err != nil {
			return nil, err
		}
		e.off = off
		off += e.size
	}
	return entries, nil
}

func (e *entry) parse(fields []json.RawMessage) error {
	if len(fields) < 6 {
		return fmt.Errorf("%w: index: %d fields in a line", store.ErrCorrupt, len(fields))
	}
	var kind string
	for i, p := range []any{&e.id, &kind, &e.epoch, &e.version, &e.writeID, &e.size} {
		if err := json.Unmarshal(fields[i], p); err != nil {
			return fmt.Errorf("%w: index: %w", store.ErrCorrupt, err)
		}
	}
	e.deleted = kind == deletedClaim
	if kind == "" || len(kind) > 1 && !e.deleted || e.size <= 0 {
		return fmt.Errorf("%w: index: record of kind %q and %d bytes", store.ErrTooNew, kind, e.size)
	}
	e.kind = envelope.Kind(kind[0])
	return nil
}
