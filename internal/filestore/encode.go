package filestore

import (
	"crypto/rand"
	"time"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
)

// An encoder holds the records of a batch as they will stand in the file.
type encoder struct {
	buf     []byte // the records, back to back
	head    []byte // the index of a bundle
	entries []entry
}

type span struct{ from, to int }

// encode encodes what is to be written of b. Saves that were encoded before are
// copied, because their callers may be gone.
func (e *encoder) encode(b *batch) error {
	old := e.buf
	if b.released {
		e.buf = make([]byte, 0, len(old))
	}
	e.entries = e.entries[:0]
	for _, r := range b.reqs {
		if !r.write {
			r.encoded = span{}
			continue
		}
		from := len(e.buf)
		if b.released && r.kind == envelope.Snapshot {
			e.buf = append(e.buf, old[r.encoded.from:r.encoded.to]...)
		} else if err := e.append(r); err != nil {
			return err
		}
		r.encoded = span{from, len(e.buf)}
		r.entry.off, r.entry.size = int64(from), int64(len(e.buf)-from)
		e.entries = append(e.entries, r.entry)
	}
	return nil
}

func (e *encoder) append(r *request) (err error) {
	rec := envelope.Record{ID: r.id, Kind: r.kind, Snapshot: r.snap}
	if r.kind != envelope.Snapshot {
		r.entry.writeID = rand.Text()
		rec.Snapshot = store.Snapshot{
			Epoch: r.entry.epoch, Version: r.entry.version, WriteID: r.entry.writeID, SavedAt: time.Now(), Data: r.lease,
		}
	}
	switch {
	case r.kind == envelope.Lease:
		rec.Codec = "json"
	case r.entry.deleted:
		rec.Codec = deletedCodec
	}
	e.buf, err = envelope.Append(e.buf, &rec)
	return err
}

// parts returns the content of the file of the commit c and completes c.
func (e *encoder) parts(c *commit) (parts [][]byte, err error) {
	c.entries = e.entries
	parts = [][]byte{e.buf}
	if len(e.entries) > 1 {
		if e.head, err = appendIndex(e.head[:0], c.seq, e.entries); err != nil {
			return nil, err
		}
		parts = [][]byte{e.head, e.buf, e.head}
		for i := range e.entries {
			e.entries[i].off += int64(len(e.head))
		}
	}
	for _, p := range parts {
		c.size += int64(len(p))
	}
	return parts, nil
}
