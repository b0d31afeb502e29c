package survey

import (
	"fmt"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/envelope"
)

// A Member is one component of a consistent set.
type Member struct {
	ID string
	durable.Snapshot
}

// Members reads the state of a consistent set: the envelopes of its components,
// one after the other.
func Members(data []byte) ([]Member, error) {
	var list []Member
	for len(data) > 0 {
		h, err := envelope.ParseHeader(data)
		if err != nil {
			return nil, fmt.Errorf("member %d: %w", len(list)+1, err)
		}
		if h.Len() > len(data) {
			return nil, fmt.Errorf("member %d: %w: cut off", len(list)+1, durable.ErrCorrupt)
		}
		snap, err := durable.DecodeSnapshot(h.ID, data[:h.Len()])
		if err != nil {
			return nil, err
		}
		list = append(list, Member{h.ID, *snap})
		data = data[h.Len():]
	}
	return list, nil
}
