package store

// The reserved ids of a system, and the beginning of those of what is set aside.
const (
	SetID       = "~set"    // all components as one state, captured at one instant
	StartsID    = "~starts" // how many starts in a row ended badly
	AsidePrefix = "~aside/"
)

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
