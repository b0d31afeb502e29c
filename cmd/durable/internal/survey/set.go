package survey

import (
	"context"
	"errors"
	"fmt"
	"path"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
)

// A Member is one component of a consistent set.
type Member struct {
	ID  string // as it was registered, without the system
	Raw []byte // its envelope
	Err error  // why Snapshot is empty
	durable.Snapshot

	// Deleted says that the program has no such component any more. Epoch and
	// Version tell up to where its states are not to come back.
	Deleted bool
}

// Members reads the state of a consistent set: the envelopes of its components,
// one after the other. The error says why nothing can be read behind the members;
// one whose content does not verify has an error of its own. They alias data.
func Members(data []byte) ([]Member, error) {
	var list []Member
	seen := map[string]bool{}
	for len(data) > 0 {
		h, err := envelope.ParseHeader(data)
		if err != nil {
			return list, fmt.Errorf("member %d: %w", len(list)+1, err)
		}
		if h.Len() > len(data) {
			return list, fmt.Errorf("member %d: %w: cut off", len(list)+1, durable.ErrCorrupt)
		}
		m := Member{ID: h.ID, Raw: data[:h.Len()]}
		data = data[h.Len():]
		if seen[m.ID] {
			return list, fmt.Errorf("%w: %q is in it twice", durable.ErrCorrupt, m.ID)
		}
		seen[m.ID] = true
		m.open(h)
		list = append(list, m)
	}
	return list, nil
}

func (m *Member) open(h *envelope.Header) {
	r, err := h.Verify(m.Raw)
	switch {
	case err != nil:
		m.Err = err
	case r.Kind == envelope.Snapshot, r.Kind == envelope.Deletion:
		m.Snapshot, m.Deleted = durable.Snapshot(r.Snapshot), r.Kind == envelope.Deletion
	default:
		m.Err = fmt.Errorf("%w: it holds no state", durable.ErrCorrupt)
	}
}

// seal returns the envelope of a member.
func (m *Member) seal() ([]byte, error) {
	kind := envelope.Snapshot
	if m.Deleted {
		kind = envelope.Deletion
	}
	return envelope.Append(nil, &envelope.Record{ID: m.ID, Kind: kind, Snapshot: store.Snapshot(m.Snapshot)})
}

// Reseal returns the state of a set with every member under another epoch and
// version, so that a restart prefers it to states of their own that the members
// have from before. What does not verify stays as it is.
func Reseal(data []byte, epoch, version uint64) ([]byte, error) {
	members, err := Members(data)
	if err != nil {
		return nil, err
	}
	var out []byte
	for i := range members {
		m := &members[i]
		raw := m.Raw
		if m.Err == nil {
			m.Epoch, m.Version = epoch, version
			if raw, err = m.seal(); err != nil {
				return nil, err
			}
		}
		out = append(out, raw...)
	}
	return append([]byte{}, out...), nil
}

// A Set is what is known of the consistent set of a system, without its states.
type Set struct {
	ID      string
	Newest  Component
	Members []Member       // Data and Raw are nil
	Sizes   []int          // of their states
	Damaged error          // why nothing can be read behind Members
	err     error          // why there are none
	places  map[string]int // of the members, by id
}

// SetOf returns the id of the set of the system to which the component id
// belongs.
func SetOf(id string) string {
	dir, _ := path.Split(id)
	return dir + "~set"
}

// MemberOf returns the id of a component in the set of its system.
func MemberOf(id string) string {
	_, member := path.Split(id)
	return member
}

// Full returns the id in the store of a member.
func (s *Set) Full(m *Member) string {
	dir, _ := path.Split(s.ID)
	return dir + m.ID
}

// Set looks at the set of the system to which the component id belongs.
func (s *Store) Set(ctx context.Context, id string) *Set {
	set := &Set{ID: SetOf(id)}
	var snap *durable.Snapshot
	set.Newest, snap = s.Newest(ctx, set.ID)
	set.err = set.Newest.err
	if snap == nil {
		return set
	}
	set.Members, set.Damaged = Members(snap.Data)
	set.places = make(map[string]int, len(set.Members))
	for i := range set.Members {
		m := &set.Members[i]
		set.places[m.ID] = i
		set.Sizes = append(set.Sizes, len(m.Data))
		m.Raw, m.Data = nil, nil
	}
	return set
}

// Existed reports whether there was ever a set. Of one that was deleted the store
// remembers the version, which tells whether it is newer than other states.
func (s *Set) Existed() bool { return s.whole().existed() }

// Stored reports whether the set is stored.
func (s *Set) Stored() bool { return s.err == nil }

// Has reports whether the set holds a component that goes by that id in the store.
func (s *Set) Has(id string) bool {
	i := s.index(MemberOf(id))
	return i >= 0 && !s.Members[i].Deleted
}

// Removed reports whether the set says that the program has no such component any
// more.
func (s *Set) Removed(id string) bool {
	i := s.index(MemberOf(id))
	return i >= 0 && s.Members[i].Deleted
}

// index returns the place of a member, -1 if there is none of that id.
func (s *Set) index(member string) int {
	if i, ok := s.places[member]; ok {
		return i
	}
	return -1
}

func (s *Set) whole() found { return foundAs(s.Newest) }

// part returns what the set tells about a component.
func (s *Set) part(id string) found {
	f := s.whole()
	if f.err != nil {
		return f
	}
	switch i := s.index(MemberOf(id)); {
	case i < 0 && s.Damaged == nil:
		return found{err: durable.ErrNotFound}
	case i < 0:
		f.err = fmt.Errorf("%w: the set cannot be read beyond its first %d components: %w", durable.ErrCorrupt, len(s.Members), s.Damaged)
	case s.Members[i].Err != nil:
		f.err = s.Members[i].Err
	case s.Members[i].Deleted:
		f.err, f.epoch, f.version = durable.ErrNotFound, s.Members[i].Epoch, s.Members[i].Version
	default:
		f.epoch, f.version = s.Members[i].Epoch, s.Members[i].Version
	}
	return f
}

// Restored returns what a restart restores of a component of which own is stored
// by itself: that, or what the set has. It is the decision of the library.
func (s *Set) Restored(own Component) Component {
	mine, part := foundAs(own), s.part(own.ID)
	if isNewer(mine, part) {
		return own
	}
	c := Component{ID: own.ID, In: s.ID, Epoch: part.epoch, LastVersion: part.version, Verdict: VerdictOf(part.err), err: part.err}
	if part.err != nil {
		c.Detail = fmt.Sprintf("its newest state was in %s: %v", s.ID, part.err)
		if errors.Is(part.err, durable.ErrNotFound) {
			c.Detail = s.ID + " was deleted after this state was saved: a restart starts fresh"
			if s.Stored() {
				c.Verdict, c.Detail = Removed, "the program has no such component any more, says "+s.ID+": it would start fresh"
			}
		}
		return c
	}
	i := s.index(MemberOf(own.ID))
	m, n := &s.Members[i], &s.Newest
	c.Verdict, c.Detail, c.Version, c.LastVersion, c.Epoch, c.SavedAt = n.Verdict, n.Detail, n.Version, n.LastVersion, n.Epoch, n.SavedAt
	c.Codec, c.Schema, c.Bytes = m.Codec, m.Schema, int64(s.Sizes[i])
	if mine.existed() {
		c.Own = max(own.Version, own.LastVersion)
	}
	if mine.err == nil && own.LastVersion > max(own.Version, part.version) {
		c.Verdict, c.LastVersion, c.Detail = FellBack, own.LastVersion, "what is newer by itself does not verify"
	}
	return c
}
