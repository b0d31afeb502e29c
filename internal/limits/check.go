package limits

import (
	"fmt"
	"strings"
	"time"
)

// A Check gathers what is wrong with settings that come in through code or flags.
// Zero and empty ones are defaults, and right.
type Check struct {
	Adapter string                // to which they belong; empty: to none
	Name    func(l *Limit) string // how the door names a setting

	wrong []error
}

// Fields returns a Check that names settings as fields of a struct of options.
func Fields(of, adapter string) *Check {
	return &Check{Adapter: adapter, Name: func(l *Limit) string { return of + "." + l.Field }}
}

// NameOf returns how the door names a key.
func (c *Check) NameOf(key string) string { return c.Name(Of(key, c.Adapter)) }

// Refuse adds a problem with what is named so.
func (c *Check) Refuse(name, format string, args ...any) {
	c.wrong = append(c.wrong, fmt.Errorf(name+" "+format, args...))
}

// Number checks a number, a duration in nanoseconds or bytes.
func (c *Check) Number(key string, n int64) { c.NumberAs(c.NameOf(key), key, n) }

// NumberAs is Number for a setting of that name.
func (c *Check) NumberAs(name, key string, n int64) {
	l := Of(key, c.Adapter)
	if n == 0 || n < 0 && l.Off != "" || l.AllowsNumber(n) {
		return
	}
	shown, hint := fmt.Sprint(n), ""
	if l.Unit == Duration {
		d := time.Duration(n)
		shown = d.String()
		if 0 < d && d < time.Millisecond {
			hint = fmt.Sprintf("; did you mean %d * time.Second?", n)
		}
	}
	must := l.Range()
	if l.Off != "" {
		must += ", or negative (" + l.Off + ")"
	}
	c.Refuse(name, "must be %s, not %s%s", must, shown, hint)
}

// Text checks a text.
func (c *Check) Text(key, v string) { c.TextAs(c.NameOf(key), key, v) }

// TextAs is Text for a setting of that name.
func (c *Check) TextAs(name, key, v string) {
	if v == "" {
		return
	}
	must := Of(key, c.Adapter).WrongText(v)
	switch {
	case must == "":
	case strings.Contains(v, "://") || key == "redis_url" || len(v) > 100: // which may hold a password
		c.Refuse(name, "%s", must)
	default:
		c.Refuse(name, "%s, not %q", must, v)
	}
}

// Together checks what settings must be to go with each other.
func (c *Check) Together(t Together) {
	for p := range t.Problems(c.NameOf) {
		name := c.NameOf(p.Key)
		if p.Component != "" {
			field := Of(p.Key, c.Adapter).Field
			name = fmt.Sprintf("%s[%q].%s", strings.TrimSuffix(name, field)+"Components", p.Component, field)
		}
		c.Refuse(name, "%s", p.Text)
	}
}

// Err returns what was refused, on one line, or nil.
func (c *Check) Err() error {
	if len(c.wrong) == 0 {
		return nil
	}
	return problems(c.wrong)
}

// problems are errors on one line.
type problems []error

func (p problems) Error() string {
	var all strings.Builder
	for i, err := range p {
		if i > 0 {
			all.WriteString("; ")
		}
		all.WriteString(err.Error())
	}
	return all.String()
}

func (p problems) Unwrap() []error { return p }
