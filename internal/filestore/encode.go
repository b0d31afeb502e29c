package filestore

import (
	"crypto/rand"
	"errors"
	"iter"
	"time"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
	"github.com/durablestate/durable/internal/vfs"
)

const (
	streamFrom = 512 << 10 // bytes of a file from which on it is put together while it is written
	streamStep = 256 << 10 // bytes of it that are put together at a time
	copyBelow  = 32 << 10  // bytes of a state up to which it is copied for that
	pieceBytes = 4 << 20   // written at a time
)

// errLeft ends the writing of a state whose caller is gone.
var errLeft = errors.New("filestore: the caller has left")

// An encoder puts the file of a commit together. A small file is put together
// first, in a buffer that is used again, so that its callers' memory is soon no
// longer needed. A large one is streamed from there.
type encoder struct {
	buf     []byte // the file, or what comes next of one that is streamed
	streams bool   // the callers' memory is needed for writing
	entries []entry
	size    int64 // of the file

	rows  []byte // scratch
	table []byte // scratch
}

type span struct{ from, to int }

// trim gives up buffers larger than most.
func (e *encoder) trim(most int) {
	clear(e.entries)
	e.entries = e.entries[:0]
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
	e.entries = e.entries[:0]
	size := int64(0)
	for _, r := range b.reqs {
		if !r.write {
			r.encoded = span{}
			continue
		}
		if err := r.complete(); err != nil {
			return err
		}
		e.entries = append(e.entries, r.entry)
		size += r.entry.size
	}
	if err := e.open(seq, len(e.entries) > 1); err != nil {
		return err
	}
	e.streams = size >= streamFrom && !b.released
	i := 0
	for r := range b.written() {
		n := &e.entries[i]
		switch i++; {
		case e.streams:
			e.place(n)
			r.encoded = span{}
		case b.released && r.kind == envelope.Snapshot:
			r.encoded = e.add(old[r.encoded.from:r.encoded.to], nil, n)
		default:
			r.encoded = e.add(r.head, r.snap.Data, n)
		}
	}
	e.size += int64(len(e.table))
	if !e.streams {
		e.buf = append(e.buf, e.table...)
	}
	return nil
}

// written yields the requests of b that are to be written.
func (b *batch) written() iter.Seq[*request] {
	return func(yield func(*request) bool) {
		for _, r := range b.reqs {
			if r.write && !yield(r) {
				return
			}
		}
	}
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

// place gives the record of the entry n its place in the file.
func (e *encoder) place(n *entry) {
	n.off = e.size
	e.size += n.size
}

// add adds the record of the entry n and returns where it lies in the buffer.
func (e *encoder) add(head, data []byte, n *entry) span {
	e.place(n)
	from := len(e.buf)
	e.buf = append(append(e.buf, head...), data...)
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

// writeTo writes the file.
func (e *encoder) writeTo(f vfs.File, b *batch) error {
	if e.streams {
		for r := range b.written() {
			if err := e.stream(f, r.head, b); err != nil {
				return err
			}
			if err := e.stream(f, r.snap.Data, b); err != nil {
				return err
			}
		}
		e.buf = append(e.buf, e.table...)
	}
	err := writeAll(f, e.buf)
	b.release()
	return err
}

// stream writes data, now or with what comes next. A file that holds a single
// state is given up when nobody waits for it any more.
func (e *encoder) stream(f vfs.File, data []byte, b *batch) error {
	if len(data) < copyBelow {
		if e.buf = append(e.buf, data...); len(e.buf) < streamStep {
			return nil
		}
		data = nil
	}
	err := writeAll(f, e.buf)
	e.buf = e.buf[:0]
	for err == nil && len(data) > 0 {
		if len(b.reqs) == 1 && b.reqs[0].left.Load() {
			return errLeft
		}
		n := min(len(data), pieceBytes)
		err = writeAll(f, data[:n])
		data = data[n:]
	}
	return err
}

func writeAll(f vfs.File, b []byte) error {
	if len(b) == 0 {
		return nil
	}
	_, err := f.Write(b)
	return err
}
