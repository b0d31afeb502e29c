package config

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"github.com/durablestate/durable/internal/limits"
)

// Missing reports whether key is absent or empty. One that was refused is not
// missing: it has been reported already.
func (s *Section) Missing(key string) bool {
	x := s.scalar(key)
	return s.entries[key] == nil || x != nil && x.text == ""
}

// Text returns the text of key, "" when it is absent, empty or refused.
func (s *Section) Text(key string) string {
	e := s.scalar(key)
	if e == nil {
		return ""
	}
	if strings.ContainsFunc(e.text, unicode.IsControl) || !utf8.ValidString(e.text) {
		s.refuse(key, "contains a line break, another control character or invalid UTF-8; "+
			"a secret stored with a newline at its end is a common cause")
		return ""
	}
	return e.text
}

// Secret returns the text of key, which appears in no error.
func (s *Section) Secret(key string) Secret {
	if e := s.entries[key]; e != nil {
		e.secret = true
	}
	return NewSecret(s.Text(key))
}

// Checked returns the text of the setting l.
func (s *Section) Checked(l *limits.Limit) string {
	v := s.Text(l.Key)
	if v == "" {
		return ""
	}
	must := l.WrongText(v)
	switch {
	case must == "":
		return v
	case s.entries[l.Key].secret:
		s.refuse(l.Key, "%s", must)
	default:
		s.refuse(l.Key, "%s, not %s%s", must, s.Shown(l.Key), s.suggest(l.Key, l.Words))
	}
	return ""
}

var decimal = regexp.MustCompile(`^(0|[1-9][0-9]*)$`)

// Number returns the number under the key of l; 0 when it is absent or refused.
func (s *Section) Number(l *limits.Limit) int64 {
	v := s.Text(l.Key)
	if v == "" {
		return 0
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || !decimal.MatchString(v) || !l.AllowsNumber(n) {
		comma := ""
		if l.Zero != "" {
			comma = ","
		}
		s.refuse(l.Key, "must be a whole number%s %s, not %s", comma, l.Range(), s.Shown(l.Key))
		return 0
	}
	return n
}

// Duration returns the duration under the key of l, written in whole seconds or as
// Go does; -1 is off. ok is false when it is absent or refused.
func (s *Section) Duration(l *limits.Limit) (d time.Duration, ok bool) {
	v := s.Text(l.Key)
	if v == "" {
		return 0, false
	}
	if v == "off" && l.Off != "" {
		return -1, true
	}
	d, ok = parseDuration(v)
	if ok && l.AllowsNumber(int64(d)) {
		return d, true
	}
	or := ""
	if l.Off != "" {
		or = ", or off"
	}
	s.refuse(l.Key, "must be whole seconds such as 90 or a duration such as 500ms or 1h30m, %s%s, not %s", l.Range(), or, s.Shown(l.Key))
	return 0, false
}

func parseDuration(v string) (time.Duration, bool) {
	if decimal.MatchString(v) {
		n, err := strconv.ParseInt(v, 10, 64)
		return time.Duration(n) * time.Second, err == nil && n <= int64(1<<63-1)/int64(time.Second)
	}
	d, err := time.ParseDuration(v)
	return d, err == nil && d >= 0
}

// scalar expands the value of key the first time it is asked for.
func (s *Section) scalar(key string) *expanded {
	e := s.ask(key)
	if e == nil {
		return nil
	}
	if e.read {
		return e.scalar
	}
	e.read = true
	switch {
	case e.node.Kind != yaml.ScalarNode:
		s.Refuse(key, "must be a single value, not %s", kindOf(e.node))
		return nil
	case isNull(e.node):
		s.Refuse(key, "has no value; give it one or remove the key")
		return nil
	case !slices.Contains([]string{"!!str", "!!int", "!!float", "!!bool", "!!timestamp"}, e.node.ShortTag()):
		s.Refuse(key, "must not have a YAML tag")
		return nil
	}
	x, err := expand(e.node.Value, s.lookup)
	switch {
	case err != nil:
		s.Refuse(key, "%s", strings.ReplaceAll(err.Error(), "\n", "; "))
	case x.text == "" && !optional(e.node.Value):
		s.Refuse(key, "comes out empty: %s set but empty; set it, or write ${%s:-} if it may be empty", plural(x.vars), x.vars[0])
	default:
		e.scalar = &x
	}
	return e.scalar
}

func plural(vars []string) string {
	if len(vars) == 1 {
		return "environment variable " + vars[0] + " is"
	}
	return "environment variables " + strings.Join(vars, ", ") + " are"
}

// refuse reports a problem with the value of key and forgets it, so that it is
// reported once.
func (s *Section) refuse(key, format string, args ...any) {
	s.Refuse(key, format, args...)
	s.entries[key].scalar = nil
}

var harmless = regexp.MustCompile(`^[A-Za-z0-9_.:+-]{1,40}$`)

// Shown returns how an error may speak of the value of key: itself only when
// it stands in the file, is no secret and looks like a word or a number.
func (s *Section) Shown(key string) string {
	e := s.entries[key]
	switch {
	case e == nil || e.scalar == nil || e.secret:
		return "this value"
	case len(e.scalar.vars) > 0:
		return "the value from ${" + strings.Join(e.scalar.vars, "} and ${") + "}"
	case !harmless.MatchString(e.scalar.text):
		return "this value"
	}
	return strconv.Quote(e.scalar.text)
}

func (s *Section) suggest(key string, allowed []string) string {
	if e := s.entries[key].scalar; len(e.vars) == 0 {
		return didYouMean(allowed, e.text)
	}
	return ""
}
