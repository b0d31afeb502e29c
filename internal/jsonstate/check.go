package jsonstate

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// Check reports why values of type t would not come back from JSON as they
// were: a field that JSON drops, or a type it cannot write or read.
func Check(t reflect.Type) error {
	if at, why := (checker{}).check(t, "", true); why != "" {
		return fmt.Errorf("%s of %s: %s", place(at), t, why)
	}
	return nil
}

// checker remembers what was checked.
type checker map[visit]bool

type visit struct {
	t           reflect.Type
	addressable bool // so that JSON can call methods with a pointer receiver
}

func (c checker) check(t reflect.Type, path string, addressable bool) (at, why string) {
	if c[visit{t, addressable}] {
		return "", ""
	}
	c[visit{t, addressable}] = true
	if t.Kind() == reflect.Pointer {
		return c.check(t.Elem(), path, true)
	}
	if enc, dec := encodesItself(t), decodesItself(t); enc && dec {
		return c.checkMethods(t, path, addressable)
	} else if enc != dec {
		return path, fmt.Sprintf("%s has a method for one direction of JSON only", t)
	}
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.Complex64, reflect.Complex128, reflect.UnsafePointer:
		return path, fmt.Sprintf("JSON has no %s", t)
	case reflect.Interface:
		if t.NumMethod() > 0 {
			return path, fmt.Sprintf("JSON cannot read back the interface %s", t)
		}
	case reflect.Slice:
		return c.check(t.Elem(), path, true)
	case reflect.Array:
		return c.check(t.Elem(), path, addressable)
	case reflect.Map:
		if !validKey(t.Key()) {
			return path, fmt.Sprintf("JSON cannot have %s as map key", t.Key())
		}
		return c.check(t.Elem(), path+"[...]", false)
	case reflect.Struct:
		return c.checkFields(t, path, addressable, map[string]string{}, map[reflect.Type]bool{})
	}
	return "", ""
}

// checkFields checks what JSON puts into one object: the fields of t, and in
// their place those of embedded structs. names are those it has so far.
func (c checker) checkFields(t reflect.Type, path string, addressable bool, names map[string]string, embedded map[reflect.Type]bool) (at, why string) {
	if embedded[t] {
		return "", ""
	}
	embedded[t] = true
	for i := range t.NumField() {
		f := t.Field(i)
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if skipped(f) {
			continue
		}
		at := path + "." + f.Name
		if !f.IsExported() && !(f.Anonymous && f.Type.Kind() == reflect.Struct && tag == "") {
			return at, "JSON drops unexported fields; export it or tag it `json:\"-\"`"
		}
		if inner, ptr := structOf(f.Type); f.Anonymous && tag == "" && inner != nil {
			if at, why := c.checkFields(inner, at, addressable || ptr, names, embedded); why != "" {
				return at, why
			}
			continue
		}
		name := tag
		if name == "" {
			name = f.Name
		}
		if other, dup := names[name]; dup {
			return at, fmt.Sprintf("JSON drops one of them, because %s has the same name %q", place(other), name)
		}
		names[name] = at
		if at, why := c.check(f.Type, at, addressable); why != "" {
			return at, why
		}
	}
	return "", ""
}

// skipped reports that the program does not want f to be stored.
func skipped(f reflect.StructField) bool { return f.Tag.Get("json") == "-" || f.Name == "_" }

// structOf returns the struct that t is or points to, nil if there is none.
func structOf(t reflect.Type) (s reflect.Type, pointer bool) {
	if t.Kind() == reflect.Pointer {
		t, pointer = t.Elem(), true
	}
	if t.Kind() != reflect.Struct {
		return nil, false
	}
	return t, pointer
}

var (
	jsonMarshaler   = reflect.TypeFor[json.Marshaler]()
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textMarshaler   = reflect.TypeFor[encoding.TextMarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func encodesItself(t reflect.Type) bool { return implements(t, jsonMarshaler, textMarshaler) }
func decodesItself(t reflect.Type) bool { return implements(t, jsonUnmarshaler, textUnmarshaler) }

func implements(t reflect.Type, ifaces ...reflect.Type) bool {
	if t.Kind() == reflect.Interface {
		return false // what it holds decides
	}
	for _, i := range ifaces {
		if t.Implements(i) || reflect.PointerTo(t).Implements(i) {
			return true
		}
	}
	return false
}

// validKey reports that JSON reads a map key back as it wrote it. It writes a
// string as it is and asks other keys for their text first, but it reads any key
// by UnmarshalText where there is one.
func validKey(t reflect.Type) bool {
	writes, reads := t.Implements(textMarshaler), implements(t, textUnmarshaler)
	switch t.Kind() {
	case reflect.String:
		return writes || !reads
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return writes == reads
	}
	return writes && reads
}
