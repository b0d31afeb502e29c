package durable

import (
	"fmt"
	"slices"
	"strings"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
)

// codecSet is the codec of a set: envelopes, one after the other. Their ids are
// those of Register, so that a set can be moved to another system.
const codecSet = "set"

// sealed is one component's envelope in a set.
type sealed struct {
	id      string
	raw     []byte
	snap    *Snapshot    // Data aliases raw
	deleted *store.Fence // of a component that was deleted from the set: up to where
	err     error        // why there is neither
}

// seal returns the envelope of a component's state.
func seal(id string, s *Snapshot) ([]byte, error) {
	return envelope.Append(nil, &envelope.Record{ID: id, Kind: envelope.Snapshot, Snapshot: store.Snapshot(*s)})
}

// openSet reads the payload of a set. An envelope whose content does not verify
// is an entry with an error. The error says why nothing can be read behind the
// entries. They alias data.
func openSet(data []byte) ([]sealed, error) {
	var entries []sealed
	seen := map[string]bool{}
	for rest := data; len(rest) > 0; {
		h, err := envelope.ParseHeader(rest)
		if err != nil {
			return entries, err
		}
		if h.PayloadLen > len(rest)-h.HeaderLen {
			return entries, fmt.Errorf("%w: the envelope of %q is cut off", ErrCorrupt, h.ID)
		}
		if seen[h.ID] {
			return entries, fmt.Errorf("%w: %q is in it twice", ErrCorrupt, h.ID)
		}
		seen[h.ID] = true
		e := sealed{id: h.ID, raw: rest[:h.Len():h.Len()]}
		rest = rest[h.Len():]
		r, err := h.Verify(e.raw)
		switch {
		case err != nil:
			e.err = err
		case r.Kind == envelope.Deletion:
			e.deleted = &store.Fence{Epoch: r.Epoch, Version: r.Version}
		case r.Kind != envelope.Snapshot:
			e.err = fmt.Errorf("%w: it holds no state", ErrCorrupt)
		default:
			e.snap = (*Snapshot)(&r.Snapshot)
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// joinSet returns the payload of a set, and where each of raws is in it.
func joinSet(raws [][]byte) (data []byte, parts [][]byte) {
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

func byID(a, b sealed) int { return strings.Compare(a.id, b.id) }
