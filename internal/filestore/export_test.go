package filestore

import (
	"slices"

	"github.com/durablestate/durable/internal/envelope"
)

// Waiting returns how many requests no commit has taken yet.
func (s *Store) Waiting() int { return s.committer.countWaiting() }

// A Moved is a record in a file of moved ones.
type Moved struct {
	Kind   envelope.Kind
	ID     string
	Origin uint64 // commit that it belongs to; 0 makes it an ordinary one
	Record []byte
	e      entry
}

// EditMoved returns the file b with its records edited, nil if b holds no moved
// ones.
func EditMoved(b []byte, edit func([]Moved) []Moved) []byte {
	h, err := envelope.ParseHeader(b)
	if err != nil || h.Kind != envelope.Table || h.Version != 0 {
		return nil
	}
	entries, err := parseTable(b[h.HeaderLen:h.Len()], int64(h.Len()))
	if err != nil {
		return nil
	}
	var list []Moved
	for _, e := range entries {
		list = append(list, Moved{e.kind, e.id, e.origin, b[e.off : e.off+e.size], e})
	}
	var enc encoder
	list = edit(slices.Clone(list))
	for _, m := range list {
		m.e.origin = m.Origin
		enc.entries = append(enc.entries, m.e)
	}
	if err := enc.open(0, true); err != nil {
		return nil
	}
	for i, m := range list {
		enc.add(m.Record, nil, &enc.entries[i])
	}
	return append(enc.buf, enc.table...)
}
