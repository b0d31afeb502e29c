package jsonstate

import (
	"bytes"
	"reflect"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	maxUnknown = 20 // fields that are named
	maxName    = 64 // bytes of a name; longer ones, and what cannot be a name of a field, are not told
)

// unknownFields returns the paths of the fields in data, a state of type t, that t
// does not have, by their names in JSON, in order and each once. A last "…" says
// that there are more. Keys of maps are left out: they are data.
func unknownFields(data []byte, t reflect.Type) []string {
	s := scanner{dec: jsontext.NewDecoder(bytes.NewReader(data)), fields: map[reflect.Type]map[string]field{}, found: map[string]bool{}}
	_ = s.value(t, "") // data was decoded already
	var paths []string
	for path := range s.found {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	if len(paths) > maxUnknown {
		paths = append(paths[:maxUnknown], "…")
	}
	return paths
}

type scanner struct {
	dec    *jsontext.Decoder
	fields map[reflect.Type]map[string]field
	found  map[string]bool
}

func (s *scanner) value(t reflect.Type, path string) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	kind := s.dec.PeekKind()
	switch {
	case hasMethods(t):
	case kind == '{' && t.Kind() == reflect.Struct:
		return s.object(t, path)
	case kind == '{' && t.Kind() == reflect.Map:
		return s.each(func() error {
			if err := s.dec.SkipValue(); err != nil {
				return err
			}
			return s.value(t.Elem(), path+"[…]")
		})
	case kind == '[' && (t.Kind() == reflect.Slice || t.Kind() == reflect.Array):
		return s.each(func() error { return s.value(t.Elem(), path+"[]") })
	}
	return s.dec.SkipValue()
}

// each calls fn for what is inside the array or object that comes next.
func (s *scanner) each(fn func() error) error {
	if _, err := s.dec.ReadToken(); err != nil {
		return err
	}
	for k := s.dec.PeekKind(); k != ']' && k != '}'; k = s.dec.PeekKind() {
		if err := fn(); err != nil {
			return err
		}
	}
	_, err := s.dec.ReadToken()
	return err
}

func (s *scanner) object(t reflect.Type, path string) error {
	fields, ok := s.fields[t]
	if !ok {
		fields = fieldsOf(t)
		s.fields[t] = fields
	}
	return s.each(func() error {
		token, err := s.dec.ReadToken()
		if err != nil {
			return err
		}
		name := token.String()
		at := name
		if path != "" {
			at = path + "." + name
		}
		f, known := fields[name]
		if known {
			return s.value(f.Type, at)
		}
		if !likeAName(name) {
			at = at[:len(at)-len(name)] + "…"
		}
		if len(s.found) <= maxUnknown {
			s.found[at] = true
		}
		return s.dec.SkipValue()
	})
}

// likeAName reports that s may be the name of a field, as far as one can tell: an
// object may have been a map to whoever wrote it.
func likeAName(s string) bool {
	for i, c := range s {
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c != '-' && (c < '0' || c > '9')) {
			return false
		}
	}
	return s != "" && len(s) <= maxName
}
