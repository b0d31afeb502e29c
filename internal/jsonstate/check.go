package jsonstate

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
)

// Check reports why values of type t would not come back from JSON as they
// were: a field that JSON drops, or a type it cannot write or read.
func Check(t reflect.Type) error {
	if at, why := (checker{}).check(t, ""); why != "" {
		return fmt.Errorf("%s of %s: %s", place(at), t, why)
	}
	return nil
}

// checker remembers what was checked.
type checker map[reflect.Type]bool

func (c checker) check(t reflect.Type, path string) (at, why string) {
	if c[t] {
		return "", ""
	}
	c[t] = true
	if t.Kind() == reflect.Pointer {
		return c.check(t.Elem(), path)
	}
	if why := refusedType(t); why != "" {
		return path, why
	}
	if hasMethods(t) {
		return c.checkMethods(t, path)
	}
	switch t.Kind() {
	case reflect.Slice, reflect.Array:
		return c.check(t.Elem(), path)
	case reflect.Map:
		if why := refusedKey(t.Key()); why != "" {
			return path, why
		}
		if at, why := c.check(t.Key(), path+" (a key)"); why != "" {
			return at, why
		}
		return c.check(t.Elem(), path+"[…]")
	case reflect.Struct:
		return c.checkFields(t, path)
	}
	return "", ""
}

// refusedType says why no value of t comes back, whatever it consists of.
func refusedType(t reflect.Type) string {
	switch enc, dec := encodesItself(t), decodesItself(t); {
	case t == floatType:
		return "JSON loses the precision and the rounding mode of a big.Float; keep its Text('p', 0), Prec and Mode, or use a big.Rat"
	case enc != dec:
		return fmt.Sprintf("%s has a method for one direction of JSON only", t)
	case !enc && implements(t, newMethods...):
		return fmt.Sprintf("of the methods of %s, JSON calls only MarshalJSON and UnmarshalJSON, MarshalText and UnmarshalText", t)
	case enc:
		return ""
	}
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.Complex64, reflect.Complex128, reflect.UnsafePointer:
		return fmt.Sprintf("JSON has no %s", t)
	case reflect.Interface:
		if t.NumMethod() > 0 {
			return fmt.Sprintf("JSON cannot read back the interface %s", t)
		}
		if t != anyType {
			return fmt.Sprintf("numbers would not stay exact behind %s; use any", t)
		}
	}
	return ""
}

// refusedKey says why t is no type for keys: each must have a text of its own, from
// which it can be read.
func refusedKey(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer, reflect.Interface:
		return fmt.Sprintf("%s as map key would come back as another key", t)
	}
	writes, reads := implements(t, textMarshaler), implements(t, textUnmarshaler)
	switch t.Kind() {
	case reflect.String:
		if writes || !reads {
			return ""
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		if writes == reads {
			return ""
		}
	default:
		if writes && reads {
			return ""
		}
	}
	return fmt.Sprintf("JSON cannot have %s as map key", t)
}

func (c checker) checkFields(t reflect.Type, path string) (at, why string) {
	names := map[string]string{}
	eachField(t, "", map[reflect.Type]bool{}, func(f field) {
		if why != "" {
			return
		}
		here := path + f.path
		if at, why = here, refusedField(f); why != "" {
			return
		}
		if other, dup := names[f.name()]; dup {
			why = fmt.Sprintf("JSON drops one of them, because %s has the same name %q", place(other), f.name())
			return
		}
		names[f.name()] = here
		at, why = c.check(f.Type, here)
	})
	if why == "" {
		at, why = path, c.badTags(t)
	}
	return at, why
}

// refusedField says what the tag of f, or the lack of one, would lose.
func refusedField(f field) string {
	_, tagged := f.Tag.Lookup("json")
	_, quoted := option(f.StructField, "string")
	_, embed := option(f.StructField, "embed")
	_, format := option(f.StructField, "format")
	switch {
	case !f.IsExported():
		return "JSON drops unexported fields; export it or tag it `json:\"-\"`"
	case !tagged && (strings.Contains(string(f.Tag), `json:"`) || strings.HasPrefix(string(f.Tag), "json:")):
		return "JSON does not see its tag, which is malformed; see go vet"
	case quoted && !quotable(f.Type):
		return fmt.Sprintf("JSON has no option string for %s", f.Type)
	case embed, format:
		return "the options embed and format are not supported"
	}
	return ""
}

// quotable reports that the option string has a meaning for t.
func quotable(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch k := t.Kind(); {
	case hasMethods(t), t == numberType:
		return false
	default:
		return k >= reflect.Bool && k <= reflect.Float64 || k == reflect.String
	}
}

// badTags says what the encoder itself has against the fields of t and of the
// structs embedded in it. An empty object makes it tell.
func (c checker) badTags(t reflect.Type) string {
	err := jsonv2.Unmarshal([]byte("{}"), reflect.New(t).Interface(), format)
	if e, ok := errors.AsType[*jsonv2.SemanticError](err); ok && e.Err != nil {
		return e.Err.Error()
	}
	return ""
}
