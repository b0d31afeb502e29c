package limits

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/redisurl"
)

const (
	mustID         = "1 to 255 bytes of valid UTF-8 without control characters"
	mustPart       = mustID + `, without "/" and without "~" at its start`
	mustPrefix     = `printable ASCII without spaces, braces and the glob characters * ? [ ] \`
	mustDurability = "memory, fsync, or replicated:N with N from 1 to 100"
	mustDirectory  = "a path without control characters, as the operating system knows it: no `~`, no `$HOME`, no URL, no spaces around it"
)

func id(v string) string {
	if !envelope.ValidID(v) {
		return "must be " + mustID
	}
	return ""
}

func part(v string) string {
	if envelope.CheckPart(v) != nil {
		return "must be " + mustPart
	}
	return ""
}

func prefix(v string) string {
	if strings.ContainsAny(v, `{}*?[]\`) || strings.IndexFunc(v, func(r rune) bool { return r <= ' ' || r >= 0x7f }) >= 0 || len(v) > 1024 {
		return "must be at most 1024 bytes of " + mustPrefix
	}
	return ""
}

var replicated = regexp.MustCompile(`^replicated:([1-9][0-9]?|100)$`)

// Durability returns how many replicas must confirm a save, and whether the disk
// must. The text is one that the table allows.
func Durability(v string) (replicas int, fsync bool) {
	if m := replicated.FindStringSubmatch(v); m != nil {
		replicas, _ = strconv.Atoi(m[1])
	}
	return replicas, v == "fsync"
}

func durability(v string) string {
	if v != "memory" && v != "fsync" && !replicated.MatchString(v) {
		return "must be " + mustDurability
	}
	return ""
}

var (
	variable = regexp.MustCompile(`(^|[/\\])\$[A-Za-z_]|\$\{|%[A-Za-z_()]+%`)
	scheme   = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*://`)
)

// directory refuses what only a shell expands, and what is no path: a directory of
// that name would be made, beside the one that is meant.
func directory(v string) string {
	first, _, _ := strings.Cut(strings.ReplaceAll(v, `\`, "/"), "/")
	switch {
	case strings.ContainsFunc(v, unicode.IsControl):
		return "must be a path without control characters"
	case strings.HasPrefix(first, "~"):
		return `must not begin with "~", which only a shell expands; write the home directory out, ${HOME} in YAML and os.UserHomeDir in code` +
			fmt.Sprintf(" (a directory of that name is %q)", "./~")
	case variable.MatchString(v):
		return "must not hold a variable, which only a shell expands; write ${VAR} in YAML and os.ExpandEnv in code"
	case scheme.MatchString(v):
		return "must be a path, not a URL"
	case strings.TrimSpace(v) != v:
		return `must not have spaces around it (a directory of such a name is "./ name /")`
	}
	return ""
}

func address(v string) string {
	_, wrong := redisurl.Parse(v)
	return strings.Join(wrong, "; ")
}
