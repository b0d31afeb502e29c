package jsonstate

import (
	"encoding"
	"encoding/json"
	"math/big"
	"reflect"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
)

var (
	anyType    = reflect.TypeFor[any]()
	timeType   = reflect.TypeFor[time.Time]()
	numberType = reflect.TypeFor[json.Number]()
	floatType  = reflect.TypeFor[big.Float]()

	jsonMarshaler   = reflect.TypeFor[json.Marshaler]()
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textMarshaler   = reflect.TypeFor[encoding.TextMarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()

	// What only encoding/json/v2 calls.
	newMethods = []reflect.Type{reflect.TypeFor[jsonv2.MarshalerTo](), reflect.TypeFor[jsonv2.UnmarshalerFrom](), reflect.TypeFor[encoding.TextAppender]()}
)

func encodesItself(t reflect.Type) bool { return implements(t, jsonMarshaler, textMarshaler) }
func decodesItself(t reflect.Type) bool { return implements(t, jsonUnmarshaler, textUnmarshaler) }
func hasMethods(t reflect.Type) bool    { return encodesItself(t) || decodesItself(t) }

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

// traits are what a type may hold, and so what its encoding needs.
type traits struct {
	any     bool // an any
	methods bool // a type that encodes itself, json.Number included
	nulls   bool // a pointer to what may be null in JSON, so that it would come back as nil
	unsure  bool // a value of which JSON may be that of another, as that of a pointer to nothing is
	odd     bool // no end to its depth, or names and options of fields that are out of the ordinary
}

// plain reports that nothing can be wrong with the JSON of a value but text that is
// not UTF-8 and numbers that are not finite.
func (tr traits) plain() bool { return !tr.any && !tr.methods && !tr.odd }

func traitsOf(t reflect.Type) traits {
	var tr traits
	tr.add(t, map[reflect.Type]bool{})
	return tr
}

// add adds the traits of t. seen has the types that were looked at; it is true
// while they are.
func (tr *traits) add(t reflect.Type, seen map[reflect.Type]bool) {
	if inside, done := seen[t]; done {
		tr.odd = tr.odd || inside
		return
	}
	seen[t] = true
	defer func() { seen[t] = false }()
	if t == numberType || t.Kind() != reflect.Pointer && hasMethods(t) {
		tr.methods = true
		return
	}
	switch t.Kind() {
	case reflect.Interface:
		tr.any = true
	case reflect.Pointer:
		tr.nulls = tr.nulls || mayBeNull(t.Elem())
		tr.add(t.Elem(), seen)
	case reflect.Map:
		tr.add(t.Key(), seen)
		tr.add(t.Elem(), seen)
	case reflect.Slice, reflect.Array:
		tr.add(t.Elem(), seen)
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			if skipped(f) {
				continue
			}
			_, omitzero := option(f, "omitzero")
			_, quoted := option(f, "string")
			tr.odd = tr.odd || quoted || !likeAName(field{StructField: f}.name())
			tr.unsure = tr.unsure || mayVanish(f) || omitzero && f.Type != timeType && implements(f.Type, zeroer)
			tr.add(f.Type, seen)
		}
	}
}

var zeroer = reflect.TypeFor[interface{ IsZero() bool }]()

// mayVanish reports that f may leave no trace in JSON though it points to something.
func mayVanish(f reflect.StructField) bool {
	return f.Anonymous && f.Type.Kind() == reflect.Pointer && field{StructField: f}.tag() == "" && mayBeEmpty(f.Type.Elem())
}

// mayBeEmpty reports that the JSON of the struct t may have no field.
func mayBeEmpty(t reflect.Type) bool {
	for i := range t.NumField() {
		f := t.Field(i)
		_, omitzero := option(f, "omitzero")
		_, omitempty := option(f, "omitempty")
		inner := f.Anonymous && field{StructField: f}.tag() == "" && structOf(f.Type) != nil
		switch {
		case skipped(f), omitzero, omitempty:
		case inner && (f.Type.Kind() == reflect.Pointer || mayBeEmpty(f.Type) && !hasMethods(f.Type)):
		default:
			return false
		}
	}
	return true
}

// mayBeNull reports that a value of t may be null in JSON.
func mayBeNull(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Interface:
		return true
	}
	return t != timeType && implements(t, jsonMarshaler)
}

// field is a field of a struct as JSON sees it.
type field struct {
	reflect.StructField
	path string // from the struct: embedded ones are on the way
}

// fieldsOf returns the fields that JSON puts into one object, by their names
// there: those of t, and in their place those of structs embedded in it.
func fieldsOf(t reflect.Type) map[string]field {
	fields := map[string]field{}
	eachField(t, "", map[reflect.Type]bool{}, func(f field) {
		if _, known := fields[f.name()]; !known {
			fields[f.name()] = f
		}
	})
	return fields
}

func eachField(t reflect.Type, path string, embedded map[reflect.Type]bool, visit func(field)) {
	if embedded[t] {
		return
	}
	embedded[t] = true
	for i := range t.NumField() {
		f := field{t.Field(i), path + "." + t.Field(i).Name}
		switch inner := structOf(f.Type); {
		case skipped(f.StructField):
		case f.Anonymous && f.tag() == "" && inner != nil && (f.IsExported() || f.Type == inner):
			eachField(inner, f.path, embedded, visit)
		default:
			visit(f)
		}
	}
}

func (f field) name() string {
	if tag := f.tag(); tag != "" {
		return tag
	}
	return f.Name
}

// tag returns the name that the tag of f gives it, empty for none.
func (f field) tag() string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

// skipped reports that the program does not want f to be stored.
func skipped(f reflect.StructField) bool { return f.Tag.Get("json") == "-" || f.Name == "_" }

// option reports whether the tag of f has the option name, perhaps with a value.
func option(f reflect.StructField, name string) (value string, ok bool) {
	_, options, _ := strings.Cut(f.Tag.Get("json"), ",")
	for o := range strings.SplitSeq(options, ",") {
		if key, value, _ := strings.Cut(o, ":"); key == name {
			return value, true
		}
	}
	return "", false
}

// structOf returns the struct that t is or points to, nil if there is none.
func structOf(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	return t
}
