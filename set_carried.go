package durable

import (
	"bytes"
	"slices"
)

// carry takes the envelopes of components over that are not registered, and the
// deletions of those that were taken out of the stored set, so that an older
// snapshot of its own does not come back when one is registered again.
func (s *set) carry(stored *storedSet) {
	s.carried = nil
	for _, e := range stored.entries {
		if !s.c.knows(e.id) {
			e.raw, e.snap = bytes.Clone(e.raw), nil
			s.carried = append(s.carried, e)
		}
	}
	slices.SortFunc(s.carried, byID)
	if ids := s.unregistered(); len(ids) > 0 {
		s.c.log.Warn("durable: the set has components that are not registered; their state is kept as it is", "components", ids)
	}
}

// unregistered names the components whose state the set keeps for others.
func (s *set) unregistered() (ids []string) {
	for _, e := range s.carried {
		if e.deleted == nil {
			ids = append(ids, e.id)
		}
	}
	return ids
}
