package config

import (
	"iter"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// A Section is one mapping of the file. Every key that is asked for is allowed;
// the others are reported when reading ends. A value that is refused is reported
// and read as if the key were absent, so a reader needs no error handling.
type Section struct {
	p       *problems
	lookup  Lookup
	path    string
	line    int
	entries map[string]*entry
	order   []string
	asked   []string
}

type entry struct {
	line   int
	node   *yaml.Node
	scalar *expanded // nil until asked for, and when there is none
	read   bool
	secret bool
}

func newSection(p *problems, lookup Lookup, path string, line int, n *yaml.Node) *Section {
	s := &Section{p: p, lookup: lookup, path: path, line: line, entries: map[string]*entry{}}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], resolve(n.Content[i+1])
		switch first := s.entries[key.Value]; {
		case key.Kind != yaml.ScalarNode:
			p.add(key.Line, path, "a key must be plain text, not %s", kindOf(key))
		case key.ShortTag() == "!!merge":
			p.add(key.Line, path, "merging with << is not supported; write the keys out")
		case strings.Contains(key.Value, "${"):
			p.add(key.Line, path, "variables are not expanded in keys")
		case first != nil:
			p.add(key.Line, s.name(key.Value), "appears a second time, first in line %d; keep one", first.line)
		default:
			s.entries[key.Value] = &entry{line: key.Line, node: value}
			s.order = append(s.order, key.Value)
		}
	}
	return s
}

// finish reports the keys that were not asked for. The first one that is like
// none that is allowed lists them all.
func (s *Section) finish() {
	listed := false
	for _, key := range s.order {
		if slices.Contains(s.asked, key) {
			continue
		}
		hint := didYouMean(s.asked, key)
		if hint == "" && !listed {
			hint, listed = "; allowed are "+strings.Join(s.asked, ", "), true
		}
		s.Refuse(key, "unknown key%s", hint)
	}
}

// Refuse reports a problem with key, which may be absent, or with the section
// itself when key is empty.
func (s *Section) Refuse(key, format string, args ...any) {
	line, name := s.line, s.path
	if key != "" {
		name = s.name(key)
	}
	if e := s.entries[key]; e != nil {
		line = e.line
	}
	s.p.add(line, name, format, args...)
}

// Sections yields the mappings below key by name, in the order of the file. Each
// of them may be null, which is an empty one.
func (s *Section) Sections(key string) iter.Seq2[string, *Section] {
	return func(yield func(string, *Section) bool) {
		outer := s.section(key)
		for _, name := range outer.order {
			inner := outer.section(name)
			more := yield(name, inner)
			inner.finish()
			if !more {
				return
			}
		}
	}
}

// section returns the mapping under key, an empty one when it is absent, null or
// refused.
func (s *Section) section(key string) *Section {
	n, line := &yaml.Node{}, s.line
	if e := s.ask(key); e != nil {
		line = e.line
		switch {
		case e.node.Kind == yaml.MappingNode:
			n = e.node
		case !isNull(e.node):
			s.refuse(key, "must be a mapping of keys to values, not %s", kindOf(e.node))
		}
	}
	return newSection(s.p, s.lookup, s.name(key), line, n)
}

func (s *Section) ask(key string) *entry {
	if !slices.Contains(s.asked, key) {
		s.asked = append(s.asked, key)
	}
	return s.entries[key]
}

var identifier = regexp.MustCompile(`^[\pL\pN_./ ~-]{1,64}$`)

// name returns the path of key. A key that does not look like one is not shown:
// a password that was indented wrongly may be read as a key.
func (s *Section) name(key string) string {
	if !identifier.MatchString(key) {
		key = "(this key)"
	}
	return s.path + "." + key
}
