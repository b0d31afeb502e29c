// Package jsonstate encodes component state as JSON so that it comes back as it
// was: integers behind an any stay exact, a value that JSON cannot hold is named
// by its place, and a type that JSON would silently thin out is refused before
// it is ever saved.
package jsonstate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// Marshal encodes *v. Its error names the field that JSON cannot hold.
func Marshal[T any](v *T) ([]byte, error) {
	data, err := json.Marshal(v)
	if err == nil && !maybeBent(data) {
		return data, nil
	}
	at, why := offender(reflect.ValueOf(v).Elem(), "", 0)
	switch {
	case err == nil && why != notUTF8:
		return data, nil
	case why != "":
		return nil, fmt.Errorf("cannot encode %s: %s", place(at), why)
	}
	return nil, fmt.Errorf("cannot encode: %w", err)
}

const notUTF8 = "it is not valid UTF-8, which JSON would replace; keep such bytes in a []byte or encode them"

// maybeBent reports that data may hold what encoding/json puts silently in place
// of bytes that are not UTF-8.
func maybeBent(data []byte) bool {
	return bytes.Contains(data, []byte(`\ufffd`)) || bytes.Contains(data, []byte("\ufffd"))
}

// Unmarshal decodes data, which must hold exactly one JSON value, into *v.
// Integers that land in an any become int64, or uint64 above it; other numbers
// become float64.
func Unmarshal[T any](data []byte, v *T) error {
	deep := mayHoldAny(reflect.TypeFor[T]())
	if !deep {
		if err := json.Unmarshal(data, v); !isSyntax(err) { // else what follows says what is wrong
			return worded(err)
		}
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		return worded(err)
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("more than one JSON value")
	}
	return numbers(reflect.ValueOf(v).Elem(), deep)
}

func isSyntax(err error) bool {
	var syntax *json.SyntaxError
	return err != nil && errors.As(err, &syntax)
}

// numbers replaces every json.Number behind an any in v. deep is false when the
// type of v cannot hold an any.
func numbers(v reflect.Value, deep bool) error {
	if !deep {
		return nil
	}
	switch v.Kind() {
	case reflect.Interface:
		return numberIn(v)
	case reflect.Pointer:
		if !v.IsNil() {
			return numbers(v.Elem(), true)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f, embedded := v.Field(i), v.Type().Field(i).Anonymous
			if f.CanSet() || embedded && f.Kind() == reflect.Struct {
				if err := numbers(f, holdsAny(f.Type(), nil)); err != nil {
					return err
				}
			}
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if err := numbers(v.Index(i), true); err != nil {
				return err
			}
		}
	case reflect.Map:
		return numbersInMap(v)
	}
	return nil
}

func numberIn(v reflect.Value) error {
	switch x := v.Interface().(type) {
	case json.Number:
		n, err := number(x)
		if err == nil {
			v.Set(reflect.ValueOf(n))
		}
		return err
	case map[string]any:
		return numbers(reflect.ValueOf(x), true)
	case []any:
		return numbers(reflect.ValueOf(x), true)
	}
	return nil
}

func numbersInMap(m reflect.Value) error {
	if plain, ok := m.Interface().(map[string]any); ok { // the usual case, without reflection
		for k, x := range plain {
			switch x := x.(type) {
			case json.Number:
				n, err := number(x)
				if err != nil {
					return err
				}
				plain[k] = n
			case map[string]any, []any:
				if err := numbers(reflect.ValueOf(x), true); err != nil {
					return err
				}
			}
		}
		return nil
	}
	for it := m.MapRange(); it.Next(); {
		e := reflect.New(m.Type().Elem()).Elem() // map elements cannot be set in place
		e.Set(it.Value())
		if err := numbers(e, true); err != nil {
			return err
		}
		m.SetMapIndex(it.Key(), e)
	}
	return nil
}

func number(n json.Number) (any, error) {
	s := n.String()
	if i, err := strconv.ParseInt(s, 10, 64); err == nil && s != "-0" {
		return i, nil
	}
	if u, err := strconv.ParseUint(s, 10, 64); err == nil && s != "-0" {
		return u, nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return nil, errors.New("a number is out of range")
	}
	return f, nil
}

// worded returns err as a decodeError, nil for nil.
func worded(err error) error {
	if err == nil {
		return nil
	}
	return decodeError{err}
}

// decodeError words a decoding error without repeating any of the state.
type decodeError struct{ err error }

func (e decodeError) Unwrap() error { return e.err }

func (e decodeError) Error() string {
	var syntax *json.SyntaxError
	var typ *json.UnmarshalTypeError
	switch {
	case errors.As(e.err, &typ):
		kind, _, _ := strings.Cut(typ.Value, " ")
		return fmt.Sprintf("cannot decode a JSON %s into %s of type %s", kind, place("."+typ.Field), typ.Type)
	case errors.As(e.err, &syntax), errors.Is(e.err, io.ErrUnexpectedEOF), errors.Is(e.err, io.EOF):
		return "it is not JSON"
	default:
		return fmt.Sprintf("cannot decode: a type of the state refused its JSON (%T)", e.err)
	}
}

var holders sync.Map // what holdsAny said of a type

// mayHoldAny is holdsAny, which it asks once.
func mayHoldAny(t reflect.Type) bool {
	if known, ok := holders.Load(t); ok {
		return known.(bool)
	}
	holds := holdsAny(t, nil)
	holders.Store(t, holds)
	return holds
}

// holdsAny reports whether a value of type t may hold an any. A type that
// decodes itself is left alone.
func holdsAny(t reflect.Type, seen map[reflect.Type]bool) bool {
	if seen[t] || decodesItself(t) {
		return false
	}
	if seen == nil {
		seen = map[reflect.Type]bool{}
	}
	seen[t] = true // also of maps and the like, which may hold themselves
	switch t.Kind() {
	case reflect.Interface:
		return t.NumMethod() == 0
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return holdsAny(t.Elem(), seen)
	case reflect.Struct:
		for i := range t.NumField() {
			if holdsAny(t.Field(i).Type, seen) {
				return true
			}
		}
	}
	return false
}

const maxDepth = 1000 // as encoding/json, which reports a cycle there

// offender finds what JSON cannot hold in v, which lies at path.
func offender(v reflect.Value, path string, depth int) (at, why string) {
	if depth > maxDepth {
		return path, "it refers to itself"
	}
	if !v.IsValid() || v.CanInterface() && encodesItself(v.Type()) {
		return encoderError(v, path)
	}
	switch v.Kind() {
	case reflect.String:
		if !utf8.ValidString(v.String()) {
			return path, notUTF8
		}
	case reflect.Float32, reflect.Float64:
		if f := v.Float(); math.IsNaN(f) || math.IsInf(f, 0) {
			return path, fmt.Sprintf("JSON has no %v", f)
		}
	case reflect.Chan, reflect.Func, reflect.Complex64, reflect.Complex128, reflect.UnsafePointer:
		return path, fmt.Sprintf("JSON has no %s", v.Type())
	case reflect.Interface, reflect.Pointer:
		if !v.IsNil() {
			return offender(v.Elem(), path, depth+1)
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if at, why = offender(v.Index(i), fmt.Sprintf("%s[%d]", path, i), depth+1); why != "" {
				return at, why
			}
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			if at, why = offender(it.Key(), path+" (a key)", depth+1); why == notUTF8 {
				return at, why
			}
			if at, why = offender(it.Value(), fmt.Sprintf("%s[%.100q]", path, fmt.Sprint(it.Key())), depth+1); why != "" {
				return at, why
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if f.Tag.Get("json") == "-" || !f.IsExported() && !f.Anonymous {
				continue
			}
			if at, why = offender(v.Field(i), path+"."+f.Name, depth+1); why != "" {
				return at, why
			}
		}
	}
	return "", ""
}

func encoderError(v reflect.Value, path string) (at, why string) {
	if !v.IsValid() {
		return "", ""
	}
	if _, err := json.Marshal(v.Interface()); err != nil {
		return path, err.Error()
	}
	return "", ""
}

func place(path string) string {
	if path == "" {
		return "the state"
	}
	if path[0] == '.' {
		path = path[1:]
	}
	return "field " + path
}
