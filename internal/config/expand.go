package config

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// expanded is the text of a scalar after its variables were replaced.
type expanded struct {
	text string
	vars []string // the variables it came from; their values are never shown
}

// optional reports whether raw may come out empty: the author wrote it empty, or
// gave an empty default. Any other empty result is a variable set by mistake.
func optional(raw string) bool { return raw == "" || strings.Contains(raw, ":-}") }

var reference = regexp.MustCompile(`(?s)^([A-Za-z_][A-Za-z0-9_]*)(?:(:-|:\?)(.*))?$`)

var errReference = errors.New("malformed ${...}; allowed are ${VAR}, ${VAR:-default} and ${VAR:?message}, without nesting; write $$ for a plain $")

// expand replaces ${VAR}, ${VAR:-default}, ${VAR:?message} and $$ in raw, once:
// what comes from the environment is not looked at again. A $ before anything
// else stays. Errors name variables, never their values or other text of raw.
func expand(raw string, lookup Lookup) (expanded, error) {
	var e expanded
	var b strings.Builder
	var errs []error
	for {
		before, rest, found := strings.Cut(raw, "$")
		b.WriteString(before)
		switch {
		case !found:
			e.text = b.String()
			return e, errors.Join(errs...)
		case strings.HasPrefix(rest, "$"):
			b.WriteByte('$')
			raw = rest[1:]
		case strings.HasPrefix(rest, "{"):
			body, after, closed := strings.Cut(rest[1:], "}")
			m := reference.FindStringSubmatch(body)
			if !closed || m == nil || strings.Contains(m[3], "${") {
				return e, errReference
			}
			value, err := substitute(m[1], m[2], m[3], lookup)
			if err != nil {
				errs = append(errs, err)
			}
			b.WriteString(value)
			e.vars = append(e.vars, m[1])
			raw = after
		default:
			b.WriteByte('$')
			raw = rest
		}
	}
}

// substitute follows the shell: with an operator, a variable that is set but
// empty counts as unset.
func substitute(name, operator, word string, lookup Lookup) (string, error) {
	value, set := lookup(name)
	switch {
	case operator == ":-" && value == "":
		return strings.ReplaceAll(word, "$$", "$"), nil
	case operator == ":?" && value == "":
		if word == "" {
			word = "it must be set and not empty"
		}
		return "", fmt.Errorf("environment variable %s: %s", name, word)
	case !set:
		return "", fmt.Errorf("environment variable %s is not set; set it, or write a default as ${%s:-...}", name, name)
	}
	return value, nil
}
