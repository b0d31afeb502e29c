package store

import "strings"

// The reserved ids of a system, and the beginnings of those that no system has.
const (
	SetID       = "~set"    // all components as one state, captured at one instant
	StartsID    = "~starts" // how many starts in a row ended badly
	AsidePrefix = "~aside/"
)

// RawCodec is the codec of bytes that were set aside as they were found, since
// they do not verify or are of a newer format.
const RawCodec = "raw"

// Lasting reports that the state of id stays until a person removes it: no TTL
// ends it. It is what every adapter asks that has one.
func Lasting(id string) bool { return strings.HasPrefix(id, AsidePrefix) }

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
