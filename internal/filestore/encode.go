package filestore

import (
	"crypto/rand"
	"errors"
	"time"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
	"github.com/durablestate/durable/internal/vfs"
)

const (
	borrowFrom = 32 << 10 // bytes of a state that is written from where it is
	pieceBytes = 4 << 20  // written at a time
)

// errLeft ends the writing of a state whose caller is gone.
var errLeft = errors.New("filestore: the caller has left")

// An encoder puts the file of a commit together. Small states are copied into
// its buffer, which is used again. Large ones are borrowed: they are written from
// the caller's memory.
type encoder struct {
	buf     []byte // all of the file but for what is borrowed
	loans   []loan // in order
	entries []entry
	size    int64 // of the file

	rows  []byte // scratch
	table []byte // scratch
}

// A loan is a state that stands in the file before buf[at:].
type loan struct {
	at   int
	data []byte
}

type span struct{ from, to int }

// borrows reports whether the callers' memory is needed for writing.
func (e *encoder) borrows() bool { return len(e.loans) > 0 }

// trim gives up buffers larger than most.
func (e *encoder) trim(most int) {
	clear(e.entries)
	clear(e.loans)
	e.entries, e.loans = e.entries[:0], e.loans[:0]
	if cap(e.buf) > most {
		e.buf = nil
	}
	if cap(e.rows)+cap(e.table) > most {
		e.rows, e.table = nil, nil
	}
}

// encode encodes what is to be written of b as the commit seq. Saves that were
// encoded before are copied, because their callers may be gone.
func (e *encoder) encode(b *batch, seq uint64) error {
	old := e.buf
	if b.released {
		e.buf = make([]byte, 0, len(old))
	}
	e.buf, e.loans, e.entries, e.size = e.buf[:0], e.loans[:0], e.entries[:0], 0
	for _, r := range b.reqs {
		if !r.write {
			r.encoded = span{}
			continue
		}
		if err := r.complete(); err != nil {
			return err
		}
		e.entries = append(e.entries, r.entry)
	}
	if err := e.open(seq, len(e.entries) > 1); err != nil {
		return err
	}
	i := 0
	for _, r := range b.reqs {
		if !r.write {
			continue
		}
		if i++; b.released && r.kind == envelope.Snapshot {
			r.encoded = e.add(old[r.encoded.from:r.encoded.to], nil, &e.entries[i-1])
		} else {
			r.encoded = e.add(r.head, r.snap.Data, &e.entries[i-1])
		}
	}
	e.buf = append(e.buf, e.table...)
	e.size += int64(len(e.table))
	return nil
}

// open begins the file, with a table if it is to be a bundle.
func (e *encoder) open(seq uint64, bundle bool) (err error) {
	e.buf = e.buf[:0]
	if e.table = e.table[:0]; bundle {
		if e.table, e.rows, err = appendTable(e.table, e.rows, seq, e.entries); err != nil {
			return err
		}
		e.buf = append(e.buf, e.table...)
	}
	e.size = int64(len(e.table))
	return nil
}

// add adds the record of the entry n. It returns where the record lies in the
// buffer if it can be encoded again from there.
func (e *encoder) add(head, data []byte, n *entry) span {
	n.off = e.size
	e.size += int64(len(head) + len(data))
	from := len(e.buf)
	e.buf = append(e.buf, head...)
	if len(data) >= borrowFrom {
		e.loans = append(e.loans, loan{len(e.buf), data})
		return span{}
	}
	e.buf = append(e.buf, data...)
	return span{from, len(e.buf)}
}

// complete encodes what the caller did not and sets the length of the record.
func (r *request) complete() (err error) {
	if r.kind != envelope.Snapshot {
		r.entry.writeID = rand.Text()
		rec := envelope.Record{ID: r.id, Kind: r.kind, Snapshot: store.Snapshot{
			Epoch: r.entry.epoch, Version: r.entry.version, WriteID: r.entry.writeID, SavedAt: time.Now(), Data: r.lease,
		}}
		switch {
		case r.kind == envelope.Lease:
			rec.Codec = "json"
		case r.entry.deleted:
			rec.Codec = deletedCodec
		}
		r.head, err = envelope.Append(r.head[:0], &rec)
	}
	r.entry.size = int64(len(r.head) + len(r.snap.Data))
	return err
}

// writeTo writes the file. One that is large and holds a single state is given
// up when nobody waits for it any more.
func (e *encoder) writeTo(f vfs.File, b *batch) error {
	at := 0
	for _, l := range e.loans {
		if err := writeAll(f, e.buf[at:l.at]); err != nil {
			return err
		}
		at = l.at
		for data := l.data; len(data) > 0; {
			if len(b.reqs) == 1 && b.reqs[0].left.Load() {
				return errLeft
			}
			n := min(len(data), pieceBytes)
			if err := writeAll(f, data[:n]); err != nil {
				return err
			}
			data = data[n:]
		}
	}
	err := writeAll(f, e.buf[at:])
	b.release()
	return err
}

func writeAll(f vfs.File, b []byte) error {
	if len(b) == 0 {
		return nil
	}
	_, err := f.Write(b)
	return err
}
