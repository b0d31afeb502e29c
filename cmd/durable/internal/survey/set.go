package survey

import (
	"context"
	"crypto/rand"
	"fmt"
	"path"
	"time"

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

	// Deleted says that the component was removed. Epoch and Version tell up to
	// where its states are not to come back.
	Deleted bool
}

// Members reads the state of a consistent set. The error says why nothing can be
// read behind the members; one whose content does not verify has an error of its
// own. They alias data.
func Members(data []byte) ([]Member, error) {
	entries, err := envelope.ReadSet(data)
	return membersOf(entries, err)
}

func membersOf(entries []envelope.Entry, err error) ([]Member, error) {
	list := make([]Member, len(entries))
	for i, e := range entries {
		list[i] = Member{ID: e.ID, Raw: e.Raw, Err: e.Err, Deleted: e.Deleted()}
		if e.Record != nil {
			list[i].Snapshot = durable.Snapshot(e.Record.Snapshot)
		}
	}
	if err != nil {
		err = fmt.Errorf("member %d: %w", len(list)+1, err)
	}
	return list, err
}

// Reseal returns the state of a set with every member under another epoch and
// version, so that a restart prefers it to states of their own that the members
// have from before. What does not verify stays as it is.
func Reseal(data []byte, epoch, version uint64) ([]byte, error) {
	return rewrite(data, func(e *envelope.Entry) *envelope.Record {
		if e.Err == nil {
			e.Record.Epoch, e.Record.Version = epoch, version
		}
		return e.Record
	})
}

// Without returns the state of a set with the deletion of a member in its place, up
// to where its states are not to come back. The others stay byte for byte.
func Without(data []byte, member string, gone Fence) ([]byte, error) {
	return rewrite(data, func(e *envelope.Entry) *envelope.Record {
		if e.ID != member {
			return nil
		}
		return &envelope.Record{ID: member, Kind: envelope.Deletion, Snapshot: store.Snapshot{
			Epoch: gone.Epoch, Version: gone.Version, WriteID: rand.Text(), SavedAt: time.Now(),
		}}
	})
}

// rewrite returns the state of a set with the records that change returns in place
// of its members. Where it returns nil the member stays byte for byte.
func rewrite(data []byte, change func(e *envelope.Entry) *envelope.Record) ([]byte, error) {
	entries, err := envelope.ReadSet(data)
	if err != nil {
		return nil, err
	}
	raws := make([][]byte, len(entries))
	for i := range entries {
		raws[i] = entries[i].Raw
		if r := change(&entries[i]); r != nil {
			if raws[i], err = envelope.Append(nil, r); err != nil {
				return nil, err
			}
		}
	}
	data, _ = envelope.JoinSet(raws)
	return data, nil
}

// A Set is what is known of the consistent set of a system, without its states.
type Set struct {
	ID      string
	Newest  Component
	Members []Member      // Data and Raw are nil
	Sizes   []int         // of their states
	Damaged error         // why nothing can be read behind Members
	err     error         // why there are none
	read    *envelope.Set // Members as a restart sees them, without states
}

// SetOf returns the id of the set of the system to which the component id
// belongs.
func SetOf(id string) string {
	dir, _ := path.Split(id)
	return dir + store.SetID
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
	var data []byte
	if snap != nil {
		data = snap.Data
	}
	set.read = envelope.OpenSet(data, set.Newest.found)
	set.Members, set.Damaged = membersOf(set.read.Entries, set.read.Damaged)
	for i := range set.Members {
		m, e := &set.Members[i], &set.read.Entries[i]
		set.Sizes = append(set.Sizes, len(m.Data))
		m.Raw, m.Data, e.Raw = nil, nil, nil
		if e.Record != nil {
			e.Record.Data = nil
		}
	}
	return set
}

// Existed reports whether there was ever a set. Of one that was deleted the store
// remembers the version, which tells whether it is newer than other states.
func (s *Set) Existed() bool { return s.Newest.found.Existed() }

// Stored reports whether the set is stored.
func (s *Set) Stored() bool { return s.err == nil }

// Has reports whether the set holds a component that goes by that id in the store.
func (s *Set) Has(id string) bool {
	i := s.index(MemberOf(id))
	return i >= 0 && !s.Members[i].Deleted
}

// Removed reports whether the component was removed from the set.
func (s *Set) Removed(id string) bool {
	i := s.index(MemberOf(id))
	return i >= 0 && s.Members[i].Deleted
}

// index returns the place of a member, -1 if there is none of that id.
func (s *Set) index(member string) int { return s.read.Index(member) }

// part returns what the set tells about a component.
func (s *Set) part(id string) store.Found { return s.read.Part(MemberOf(id)) }

// Outlives reports that a restart would take a component from the set if what is
// stored of it by itself, up to the fence own, were deleted.
func (s *Set) Outlives(id string, own Fence) bool {
	part := s.part(id)
	deleted := store.Found{Fence: store.Fence(own), Err: durable.ErrNotFound}
	return VerdictOf(part.Err) != Missing && !store.Choose(deleted, part).Own
}

// Restored returns what a restart restores of a component of which own is stored
// by itself: that, or what the set has.
func (s *Set) Restored(own Component) Component {
	mine, part := own.found, s.part(own.ID)
	choice := store.Choose(mine, part)
	c := own
	switch {
	case !choice.Own && part.Err != nil:
		return s.without(own.ID, part)
	case !choice.Own:
		c = s.with(own.ID)
		if mine.Existed() {
			c.Own = mine.Fence.Version
		}
	}
	if choice.FellBackFrom > 0 {
		c.Verdict, c.LastVersion, c.Detail = FellBack, choice.FellBackFrom, "what is newer in "+s.ID+" does not verify"
		if !choice.Own {
			c.Detail = "what is newer by itself does not verify"
		}
	}
	return c
}

// with returns a component as the set has it. Its version and age are those of the
// cut.
func (s *Set) with(id string) Component {
	i := s.index(MemberOf(id))
	n, m := &s.Newest, &s.Members[i]
	return Component{ID: id, In: s.ID, Verdict: n.Verdict, Detail: n.Detail, Version: n.Version, LastVersion: n.LastVersion, Epoch: n.Epoch, SavedAt: n.SavedAt,
		Codec: m.Codec, Schema: m.Schema, Bytes: int64(s.Sizes[i])}
}

// without returns a component whose newest state was in the set, which has none of
// it that could be restored.
func (s *Set) without(id string, part store.Found) Component {
	c := Component{ID: id, In: s.ID, Epoch: part.Fence.Epoch, LastVersion: part.Fence.Version, Verdict: VerdictOf(part.Err), err: part.Err}
	switch {
	case store.OutcomeOf(part.Err) == store.Unreachable:
		c.Detail = fmt.Sprintf("%s, in which its newest state may be, could not be read: %v", s.ID, part.Err)
	case c.Verdict != Missing:
		c.Detail = fmt.Sprintf("its newest state was in %s: %v", s.ID, part.Err)
	case s.Stored():
		c.Verdict, c.Detail = Removed, "it was removed from "+s.ID+": it would start fresh"
	default:
		c.Detail = s.ID + " was deleted after this state was saved: a restart starts fresh"
	}
	return c
}
