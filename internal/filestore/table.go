package filestore

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
)

// A bundle, a commit file of several records, begins and ends with the same
// table, an envelope that says which records lie back to back between the two,
// so that damage to the header of one record does not hide which component and
// version it hit. Its Version is the number of the commit, or 0 in a file of
// moved records, which do not depend on their place.
//
// The payload is a row for each record, numbers being varints:
//
//	kind (with movedFlag, deletedFlag), length of id, id, epoch (zigzag, as the
//	difference from the row before), version, length of write id, write id,
//	length of the record, and of a moved one the commit that it belongs to
//
// The first format of bundles had an envelope of the kind Index with JSON:
//
//	[["<id>","<kind>",<epoch>,<version>,"<write id>",<length>], ...]
const (
	tableID      = "table"
	tableWriteID = "table"

	movedFlag   = 0x80
	deletedFlag = 0x01 // of a claim: 'c' is odd, so it goes to 'b'

	deletedClaim = "cd" // kind of a claim of a component without state in the first format
)

const (
	// maxTableOffset bounds the offsets and lengths of the records of a bundle, which
	// an index holds in few bits. A bundle has less by far: see maxBatchBytes.
	maxTableOffset = 1 << 30
	// maxTable bounds the envelope of a table: more than twice what the records of
	// a commit, or of a file of moved ones, can take.
	maxTable = 16 << 20
	maxRows  = 1 << 16 // likewise
)

// plausible reports that e may be row n of a table. Its numbers come from outside,
// and are looked at before anything is made of them.
func (e *entry) plausible(n int) bool {
	return n < maxRows && e.size > 0 && e.size <= maxTableOffset && e.off < maxTableOffset &&
		(e.kind == envelope.Lease || envelope.ValidID(e.id))
}

// appendTable appends the table of the commit seq.
func appendTable(dst, scratch []byte, seq uint64, entries []entry) (_, payload []byte, err error) {
	payload = scratch[:0]
	epoch := uint64(0)
	for i := range entries {
		e := &entries[i]
		kind := byte(e.kind)
		if e.deleted {
			kind ^= deletedFlag
		}
		if e.origin != 0 {
			kind |= movedFlag
		}
		payload = append(binary.AppendUvarint(append(payload, kind), uint64(len(e.id))), e.id...)
		payload = binary.AppendVarint(payload, int64(e.epoch-epoch))
		epoch = e.epoch
		payload = binary.AppendUvarint(payload, e.version)
		payload = append(binary.AppendUvarint(payload, uint64(len(e.writeID))), e.writeID...)
		payload = binary.AppendUvarint(payload, uint64(e.size))
		if e.origin != 0 {
			payload = binary.AppendUvarint(payload, e.origin)
		}
	}
	dst, err = envelope.Append(dst, &envelope.Record{ID: tableID, Kind: envelope.Table, Snapshot: store.Snapshot{
		Version: seq, WriteID: tableWriteID, Codec: "rows", Data: payload,
	}})
	return dst, payload, err
}

// A rowReader reads the payload of a table. Strings share the memory of one copy.
type rowReader struct {
	b    []byte
	text string // all of it
	bad  bool
}

func (r *rowReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.b, r.bad = nil, true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *rowReader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.b, r.bad = nil, true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *rowReader) string() string {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.b, r.bad = nil, true
		return ""
	}
	at := len(r.text) - len(r.b)
	r.b = r.b[n:]
	return r.text[at : at+int(n)]
}

// parseTable reads the payload of a table whose records begin at off.
func parseTable(payload []byte, off int64) ([]entry, error) {
	const usual = 28 // bytes of a row, or more
	entries := make([]entry, 0, min(len(payload)/usual, maxRows)+1)
	r := rowReader{b: payload, text: string(payload)}
	epoch := uint64(0)
	for len(r.b) > 0 {
		kind := r.b[0]
		r.b = r.b[1:]
		e := entry{kind: envelope.Kind(kind &^ movedFlag), id: r.string()}
		if e.kind == envelope.Claim^deletedFlag {
			e.kind, e.deleted = envelope.Claim, true
		}
		epoch += uint64(r.varint())
		e.epoch, e.version, e.writeID = epoch, r.uvarint(), r.string()
		e.off, e.size = off, int64(min(r.uvarint(), math.MaxInt64))
		moved := kind&movedFlag != 0
		if moved {
			e.origin = r.uvarint()
		}
		if r.bad || !e.plausible(len(entries)) || moved && e.origin == 0 {
			return nil, fmt.Errorf("%w: table: row %d does not read", store.ErrCorrupt, len(entries))
		}
		if !known(e.kind) {
			return nil, fmt.Errorf("%w: table: record of kind %q", store.ErrTooNew, e.kind)
		}
		off += e.size
		entries = append(entries, e)
	}
	return entries, nil
}

func known(k envelope.Kind) bool {
	return k == envelope.Snapshot || k == envelope.Claim || k == envelope.Deletion || k == envelope.Lease
}

// parseIndex reads the payload of an index of the first format whose records
// begin at off, one line at a time: what it may say is less than what JSON can.
func parseIndex(payload []byte, off int64) (entries []entry, err error) {
	d := json.NewDecoder(bytes.NewReader(payload))
	begin, err := d.Token()
	for err == nil && d.More() {
		var line indexLine
		e := entry{off: off}
		if err = d.Decode(&line); err != nil {
			break
		}
		if err := e.parse(&line); err != nil {
			return nil, err
		}
		if !e.plausible(len(entries)) {
			return nil, fmt.Errorf("%w: index: line %d does not read", store.ErrCorrupt, len(entries))
		}
		off += e.size
		entries = append(entries, e)
	}
	if err == nil {
		_, err = d.Token()
	}
	if err == nil && (begin != json.Delim('[') || d.More()) {
		err = errors.New("it is no list")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: index: %w", store.ErrCorrupt, err)
	}
	return entries, nil
}

// An indexLine has no room for more fields than there are.
type indexLine [6]json.RawMessage

func (e *entry) parse(fields *indexLine) error {
	var kind string
	for i, p := range []any{&e.id, &kind, &e.epoch, &e.version, &e.writeID, &e.size} {
		if fields[i] == nil {
			return fmt.Errorf("%w: index: %d fields in a line", store.ErrCorrupt, i)
		}
		if err := json.Unmarshal(fields[i], p); err != nil {
			return fmt.Errorf("%w: index: %w", store.ErrCorrupt, err)
		}
	}
	e.deleted = kind == deletedClaim
	if kind == "" || len(kind) > 1 && !e.deleted {
		return fmt.Errorf("%w: index: record of kind %q", store.ErrTooNew, kind)
	}
	e.kind = envelope.Kind(kind[0])
	return nil
}
