package envelope

import (
	"fmt"
	"slices"

	"github.com/durablestate/durable/internal/store"
)

// SetCodec is the codec of a consistent set: the envelopes of its components, one
// after the other. Their ids are those of Register, so that a set can be moved to
// another system.
const SetCodec = "set"

// An Entry is one component's envelope in a set.
type Entry struct {
	ID     string
	Raw    []byte
	Record *Record // a Snapshot, or the Deletion of a component that was removed; Data aliases Raw
	Err    error   // why Record is nil
}

// Deleted reports that the component was removed for good, up to the epoch and
// version of the Record.
func (e *Entry) Deleted() bool { return e.Record != nil && e.Record.Kind == Deletion }

// ReadSet reads the payload of a set. An envelope whose content does not verify
// is an entry with an error. The error says why nothing can be read behind the
// entries. They alias data.
func ReadSet(data []byte) ([]Entry, error) {
	var entries []Entry
	seen := map[string]bool{}
	for rest := data; len(rest) > 0; {
		h, err := ParseHeader(rest)
		if err != nil {
			return entries, err
		}
		if h.PayloadLen > len(rest)-h.HeaderLen {
			return entries, corrupt("the envelope of %q is cut off", h.ID)
		}
		if seen[h.ID] {
			return entries, corrupt("%q is in it twice", h.ID)
		}
		seen[h.ID] = true
		e := Entry{ID: h.ID, Raw: rest[:h.Len():h.Len()]}
		rest = rest[h.Len():]
		if e.Record, e.Err = h.Verify(e.Raw); e.Err == nil && e.Record.Kind != Snapshot && e.Record.Kind != Deletion {
			e.Record, e.Err = nil, fmt.Errorf("%w: it holds no state", store.ErrCorrupt)
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// A Set is what a load of a consistent set came to.
type Set struct {
	Entries []Entry
	Damaged error // why nothing can be read behind Entries

	found  store.Found
	places map[string]int // of Entries, by id
}

// OpenSet reads the payload data of a set of which a load told found.
func OpenSet(data []byte, found store.Found) *Set {
	s := &Set{found: found}
	if found.Err == nil {
		s.Entries, s.Damaged = ReadSet(data)
	}
	s.places = make(map[string]int, len(s.Entries))
	for i := range s.Entries {
		s.places[s.Entries[i].ID] = i
	}
	return s
}

// Index returns the place of a component in Entries, -1 if there is none of it.
func (s *Set) Index(id string) int {
	if i, ok := s.places[id]; ok {
		return i
	}
	return -1
}

// Part returns what the set tells about a component: one of the two places between
// which [store.Choose] decides.
func (s *Set) Part(id string) store.Found {
	part, i := s.found, s.Index(id)
	switch {
	case part.Err != nil:
	case i < 0 && s.Damaged == nil:
		return store.Found{Err: store.ErrNotFound}
	case i < 0:
		part.Err = fmt.Errorf("%w: the set cannot be read beyond its first %d components: %w", store.ErrCorrupt, len(s.Entries), s.Damaged)
	case s.Entries[i].Err != nil:
		part.Err = s.Entries[i].Err
	default:
		r := s.Entries[i].Record
		part.Fence = store.Fence{Epoch: r.Epoch, Version: r.Version}
		if s.Entries[i].Deleted() {
			part.Err = store.ErrNotFound
		}
	}
	return part
}

// JoinSet returns the payload of a set, and where each of raws is in it.
func JoinSet(raws [][]byte) (data []byte, parts [][]byte) {
	data = slices.Concat(raws...)
	if data == nil {
		data = []byte{}
	}
	for at := 0; len(parts) < len(raws); {
		end := at + len(raws[len(parts)])
		parts = append(parts, data[at:end:end])
		at = end
	}
	return data, parts
}
