package filestore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"syscall"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
	"github.com/durablestate/durable/internal/vfs"
)

// readCommit reads what the commit file seq holds. Damage is part of the answer.
// An error means that the file could not be read, which proves nothing.
func readCommit(dir vfs.Dir, seq uint64) (commit, error) {
	c := commit{seq: seq}
	f, err := dir.Open(commitName(seq))
	if errors.Is(err, vfs.ErrNotRegular) {
		c.err = fmt.Errorf("%w: %w", store.ErrCorrupt, err)
		return c, nil
	}
	if err != nil {
		return c, err
	}
	defer f.Close()
	if c.size, err = f.Size(); err != nil {
		return c, err
	}
	c.entries, err = readEntries(f, seq, c.size)
	if errors.Is(err, store.ErrCorrupt) || errors.Is(err, store.ErrTooNew) {
		c.err = fmt.Errorf("%s: %w", commitName(seq), err)
		return c, nil
	}
	return c, err
}

func readEntries(f vfs.File, seq uint64, size int64) ([]entry, error) {
	head, err := readAt(f, 0, min(size, envelope.MaxHeaderLen))
	if err != nil {
		return nil, err
	}
	h, err := envelope.ParseHeader(head)
	if err == nil && !isTable(h.Kind) {
		return []entry{single(h, size)}, nil
	}
	if errors.Is(err, store.ErrTooNew) {
		return nil, err
	}
	if err == nil {
		var entries []entry
		if entries, err = readFirstIndex(f, h, seq, size); err == nil || !errors.Is(err, store.ErrCorrupt) {
			return entries, err
		}
	}
	entries, lastErr := readLastIndex(f, seq, size)
	if errors.Is(lastErr, store.ErrCorrupt) {
		return nil, err
	}
	return entries, lastErr
}

// single returns the entry of a file that holds one record, of which h is the
// header.
func single(h *envelope.Header, size int64) entry {
	e := entry{
		id: h.ID, kind: h.Kind, epoch: h.Epoch, version: h.Version, writeID: h.WriteID, size: int64(h.Len()),
		deleted: h.Kind == envelope.Claim && h.Codec == deletedCodec,
	}
	if e.size != size {
		e.err = fmt.Errorf("%w: %d bytes instead of %d", store.ErrCorrupt, size, e.size)
	}
	return e
}

func readFirstIndex(f vfs.File, h *envelope.Header, seq uint64, size int64) ([]entry, error) {
	if n := int64(h.Len()); n > size || n > maxTable {
		return nil, fmt.Errorf("%w: a table of %d bytes in a file of %d", store.ErrCorrupt, n, size)
	}
	b, err := readAt(f, 0, int64(h.Len()))
	if err != nil {
		return nil, err
	}
	return parseBundle(b, h, seq, size)
}

// readLastIndex finds the copy of the index that ends the file. The last magic
// of an intact file is that of the copy, unless ids contain the word.
func readLastIndex(f vfs.File, seq uint64, size int64) ([]entry, error) {
	n := min(size, maxTable)
	tail, err := readAt(f, size-n, n)
	if err != nil {
		return nil, err
	}
	for end, tries := len(tail), 0; tries < 64; tries++ {
		at := bytes.LastIndex(tail[:end], []byte(envelope.Magic))
		if at < 0 {
			break
		}
		if h, err := envelope.ParseHeader(tail[at:]); err == nil && isTable(h.Kind) && h.Len() == len(tail)-at {
			return parseBundle(tail[at:], h, seq, size)
		}
		end = at
	}
	return nil, fmt.Errorf("%w: no index", store.ErrCorrupt)
}

func isTable(k envelope.Kind) bool { return k == envelope.Table || k == envelope.Index }

// parseBundle reads the table envelope b of a file of size bytes.
func parseBundle(b []byte, h *envelope.Header, seq uint64, size int64) ([]entry, error) {
	r, err := h.Verify(b)
	if err != nil {
		return nil, err
	}
	if r.Version != seq && (r.Version != 0 || r.Kind != envelope.Table) {
		return nil, fmt.Errorf("%w: it was commit %d", store.ErrCorrupt, r.Version)
	}
	parse := parseTable
	if r.Kind == envelope.Index {
		parse = parseIndex
	}
	entries, err := parse(r.Data, int64(len(b)))
	for i := range entries {
		e := &entries[i]
		if e.origin >= seq {
			return nil, fmt.Errorf("%w: table: row %d was moved here from the later commit %d", store.ErrCorrupt, i, e.origin)
		}
		if e.off+e.size > size { // both are small, or there were no entries
			e.err = fmt.Errorf("%w: the file ends at %d bytes", store.ErrCorrupt, size)
		}
	}
	return entries, err
}

// readAt reads exactly n bytes at off, n being within the size of the file. A
// file that turns out to be shorter is corrupt. An EIO is tried once more.
func readAt(f vfs.File, off, n int64) ([]byte, error) { return readInto(f, off, n, nil) }

// readInto is readAt into buf, if that is large enough.
func readInto(f vfs.File, off, n int64, buf []byte) ([]byte, error) {
	b := buf
	if int64(cap(b)) < n {
		b = make([]byte, n)
	}
	b = b[:n]
	m, err := f.ReadAt(b, off)
	if errors.Is(err, syscall.EIO) {
		m, err = f.ReadAt(b, off)
	}
	switch {
	case int64(m) == n:
		return b, nil
	case err == io.EOF || err == nil:
		return nil, fmt.Errorf("%w: the file ends early", store.ErrCorrupt)
	}
	return nil, err
}
