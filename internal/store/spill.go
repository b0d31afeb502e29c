package store

import (
	"crypto/rand"
	"encoding/json"
	"slices"
	"time"
)

// An Identity is the random name of a store, as one system in it knows it. It is
// kept in the store, under StoreID, and survives its life: a store that is moved or
// copied keeps it. What is spilled names the store that it is for.
type Identity string

const identityLen = 16

// NewIdentity returns an Identity that no store has.
func NewIdentity() Identity { return Identity(rand.Text()[:identityLen]) }

type identityState struct {
	Store Identity  `json:"store"`
	Made  time.Time `json:"made"`
}

// State returns what the store keeps of its identity.
func (i Identity) State() []byte {
	b, _ := json.Marshal(identityState{i, time.Now().UTC().Truncate(time.Second)}) // cannot fail
	return b
}

// ReadIdentity returns what State wrote; ok: it did.
func ReadIdentity(data []byte) (i Identity, ok bool) {
	var s identityState
	err := json.Unmarshal(data, &s)
	return s.Store, err == nil && len(s.Store) == identityLen
}

// Label returns a WriteID of a snapshot that is spilled for the store i. No other
// save has one of that length.
func (i Identity) Label() string { return string(i) + rand.Text()[:labelLen-identityLen] }

const labelLen = 32

// LabelOf returns the store that the snapshot was spilled for, or nothing if nobody
// spilled it.
func LabelOf(s *Snapshot) Identity {
	if len(s.WriteID) != labelLen {
		return ""
	}
	return Identity(s.WriteID[:identityLen])
}

// A SpillRecord says of an Identity what people know a store by. It holds no secret.
type SpillRecord struct {
	Store   Identity  `json:"store"`
	Where   string    `json:"where,omitempty"` // empty: that is not known
	System  string    `json:"system,omitempty"`
	Replica string    `json:"replica,omitempty"`
	Holder  string    `json:"holder,omitempty"` // that spilled last
	At      time.Time `json:"at"`
}

// SameStore reports that r and o are about a store in one place, as far as that is
// known.
func (r *SpillRecord) SameStore(o *SpillRecord) bool {
	return r.Where != "" && r.Where == o.Where && r.System == o.System && r.Replica == o.Replica
}

// A SpillBook names the stores that have spilled, in the order in which they came.
// The first has its states under their own ids.
type SpillBook struct {
	Stores []SpillRecord `json:"stores"`
}

// Of returns the record of the store i, nil if it has none.
func (b *SpillBook) Of(i Identity) *SpillRecord {
	for n := range b.Stores {
		if b.Stores[n].Store == i {
			return &b.Stores[n]
		}
	}
	return nil
}

// Enter adds r, in place of what is said of its store.
func (b *SpillBook) Enter(r SpillRecord) {
	if old := b.Of(r.Store); old != nil {
		*old = r
		return
	}
	b.Stores = append(b.Stores, r)
}

// Leave removes what is said of the store i.
func (b *SpillBook) Leave(i Identity) {
	b.Stores = slices.DeleteFunc(b.Stores, func(r SpillRecord) bool { return r.Store == i })
}
