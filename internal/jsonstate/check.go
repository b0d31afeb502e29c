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
	if at, why := check(t, "", map[reflect.Type]bool{}); why != "" {
		return fmt.Errorf("%s of %s: %s", place(at), t, why)
	}
	return nil
}

func check(t reflect.Type, path string, seen map[reflect.Type]bool) (at, why string) {
	if seen[t] {
		return "", ""
	}
	seen[t] = true
	if enc, dec := encodesItself(t), decodesItself(t); enc && dec {
		return "", ""
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
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return check(t.Elem(), path, seen)
	case reflect.Map:
		if !validKey(t.Key()) {
			return path, fmt.Sprintf("JSON cannot have %s as map key", t.Key())
		}
		return check(t.Elem(), path+"[...]", seen)
	case reflect.Struct:
		return checkFields(t, path, seen)
	}
	return "", ""
}

func checkFields(t reflect.Type, path string, seen map[reflect.Type]bool) (at, why string) {
	names := map[string]string{}
	for i := range t.NumField() {
		f := t.Field(i)
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Tag.Get("json") == "-" || f.Name == "_" {
			continue
		}
		at := path + "." + f.Name
		if !f.IsExported() && !(f.Anonymous && f.Type.Kind() == reflect.Struct && tag == "") {
			return at, "JSON drops unexported fields; export it or tag it `json:\"-\"`"
		}
		if !f.Anonymous || tag != "" {
			name := tag
			if name == "" {
				name = f.Name
			}
			if other, dup := names[name]; dup {
				return at, fmt.Sprintf("JSON drops it, because %s has the same name %q", other, name)
			}
			names[name] = f.Name
		}
		if at, why = check(f.Type, at, seen); why != "" {
			return at, why
		}
	}
	return "", ""
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

func validKey(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.String,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return true
	}
	return implements(t, textMarshaler) && implements(t, textUnmarshaler)
}
