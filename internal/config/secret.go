package config

import "fmt"

// Secret is text that shows itself only to Reveal. It lives in a closure, so
// that printing, marshalling or dumping a struct that holds it, even by
// reflection, does not find it. The zero Secret is empty.
type Secret struct{ reveal func() string }

// NewSecret returns s as a Secret.
func NewSecret(s string) Secret { return Secret{func() string { return s }} }

// Reveal returns the text.
func (s Secret) Reveal() string {
	if s.reveal == nil {
		return ""
	}
	return s.reveal()
}

// Format writes a placeholder, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, "(not shown)") }
