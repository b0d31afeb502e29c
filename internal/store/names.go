package store

import "strings"

// The reserved ids of a system, and the beginnings of those that no system has.
const (
	SetID         = "~set"      // all components as one state, captured at one instant
	StartsID      = "~starts"   // how many starts in a row ended badly
	StoreID       = "~store"    // which store this is, for what is spilled
	SpillID       = "~spill"    // in a spill: the SpillBook
	AsidePrefix   = "~aside/"   // what is set aside
	SpillPrefix   = "~spill/"   // what other stores spilled than the first
	DamagedPrefix = "~damaged/" // what a store moved out of the way, see Quarantine
)

// RawCodec is the codec of bytes that were set aside as they were found, since
// they do not verify or are of a newer format.
const RawCodec = "raw"

// Lasting reports that the state of id stays until a person removes it: no TTL
// ends it. It is what every adapter asks that has one.
func Lasting(id string) bool {
	last := id[strings.LastIndexByte(id, '/')+1:]
	return last == StoreID || last == SpillID || strings.HasPrefix(id, AsidePrefix) || strings.HasPrefix(id, SpillPrefix)
}

// KeptName returns the name of the state of which id keeps a copy, set aside or
// spilled; ok: it is such an id. Of a long name it has the beginning only, and none
// of a file that may hold many.
func KeptName(id string) (name string, ok bool) {
	for _, prefix := range []string{AsidePrefix, SpillPrefix, DamagedPrefix} {
		if rest, ok := strings.CutPrefix(id, prefix); ok {
			_, name, _ = strings.Cut(rest, "/") // behind what tells its content, or the identity
			return name, true
		}
	}
	return id, false
}

// Namespace returns what precedes the ids of the components of a system, or of a
// replica in it, in an adapter.
func Namespace(system, replica string) string {
	ns := ""
	for _, part := range []string{system, replica} {
		if part != "" {
			ns += part + "/"
		}
	}
	return ns
}
