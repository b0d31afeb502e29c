package cut

import (
	"bytes"
	"slices"
	"strings"

	"github.com/durablestate/durable/internal/engine/saver"
	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
)

// Carry keeps the envelopes of components that are not registered, as they are, for
// the cuts to come. It must not be called while a capture is under way.
func (s *Set) Carry(entries []envelope.Entry) {
	known := map[string]bool{}
	for _, p := range s.list() {
		known[p.source.ID()] = true
	}
	s.carried = nil
	for _, e := range entries {
		if !known[e.ID] {
			e.Raw = bytes.Clone(e.Raw)
			if !e.Deleted() {
				e.Record = nil // its Data keeps the whole set alive
			}
			s.carried = append(s.carried, e)
		}
	}
	slices.SortFunc(s.carried, func(a, b envelope.Entry) int { return strings.Compare(a.ID, b.ID) })
	if ids := s.Unregistered(); len(ids) > 0 {
		s.System.Log.Warn("durable: the set has components that are not registered; their state is kept as it is", "components", ids)
	}
}

// Unregistered names the components whose state the set keeps for others.
func (s *Set) Unregistered() (ids []string) {
	for i := range s.carried {
		if !s.carried[i].Deleted() {
			ids = append(ids, s.carried[i].ID)
		}
	}
	return ids
}

// Taken is what a restore took for one part.
type Taken struct {
	Stored  bool   // it is the stored state,
	Changes uint64 // up to this change count
}

// Open lets the set be saved after a restore under the epoch of a lease, which found
// it as f and snap, nil for none, say, and took for its parts, in their order, what
// parts says.
func (s *Set) Open(epoch uint64, f store.Fence, snap *store.Snapshot, parts []Taken) {
	accepted := saver.Accepted{Fence: f, Snapshot: snap}
	fresh, any := true, snap != nil
	s.mu.Lock()
	for i, p := range s.parts {
		p.shot, p.stored = nil, 0
		if t := parts[i]; t.Stored {
			p.stored, any = t.Changes, true
		} else {
			fresh = fresh && p.source.Mark().Fresh
		}
		p.captured = p.stored
		accepted.Changes += p.stored
	}
	s.mu.Unlock()
	accepted.Exists = fresh && any
	s.Saver.Open(epoch, accepted)
}
