package jsonstate_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"net"
	"reflect"
	"strings"
	"time"
)

// told reports where a program can tell b from a, but for what docs/guarantees.md
// lists. It shares nothing with the package under test.
func told(a, b reflect.Value, behindAny bool) (at string, differs bool) {
	if a.Kind() == reflect.Interface {
		return toldKind(a, b, behindAny)
	}
	switch x := a.Interface().(type) {
	case time.Time: // the name of its zone and a monotonic reading are excepted
		y := b.Interface().(time.Time)
		_, east := x.Zone()
		_, too := y.Zone()
		return "", !x.Equal(y) || east != too
	case json.RawMessage: // insignificant whitespace is excepted
		y := b.Interface().(json.RawMessage)
		var compact bytes.Buffer
		if err := json.Compact(&compact, x); x != nil && err != nil {
			return "", true
		}
		return "", !bytes.Equal(compact.Bytes(), y) || (x == nil) != (y == nil)
	case big.Int:
		y := b.Interface().(big.Int)
		return "", x.Cmp(&y) != 0
	case big.Rat:
		y := b.Interface().(big.Rat)
		return "", x.Cmp(&y) != 0
	case net.IP:
		return "", !x.Equal(b.Interface().(net.IP))
	case day:
		return told(reflect.ValueOf(x.t), reflect.ValueOf(b.Interface().(day).t), false)
	case withTime:
		return told(reflect.ValueOf(x.Time), reflect.ValueOf(b.Interface().(withTime).Time), false)
	case cached: // its cache is unexported, and no part of its JSON
		return "", x.n != b.Interface().(cached).n
	case indexed:
		y := b.Interface().(indexed)
		return "", x.A != y.A || x.B != y.B
	case *guarded:
		y := b.Interface().(*guarded)
		return "", (x == nil) != (y == nil) || x != nil && x.n != y.n
	case *guardedSet:
		return "", !reflect.DeepEqual(x.m, b.Interface().(*guardedSet).m)
	case set: // nil and empty are one to a type with methods of its own
		y := b.Interface().(set)
		return "", len(x)+len(y) > 0 && !reflect.DeepEqual(x, y)
	case timeZero: // IsZero says that it is
		if y := b.Interface().(timeZero); x.T.IsZero() {
			return "", !y.T.IsZero()
		}
	}
	return toldKind(a, b, behindAny)
}

func toldKind(a, b reflect.Value, behindAny bool) (at string, differs bool) {
	switch a.Kind() {
	case reflect.Interface:
		if a.IsNil() || b.IsNil() {
			return "", a.IsNil() != b.IsNil()
		}
		a, b = asAny(a.Elem()), b.Elem()
		if a.Type() != b.Type() {
			return fmt.Sprintf("(%s, %s)", a.Type(), b.Type()), true
		}
		return told(a, b, true)
	case reflect.Pointer:
		if a.IsNil() || b.IsNil() {
			return "", a.IsNil() != b.IsNil()
		}
		return told(a.Elem(), b.Elem(), false)
	case reflect.Float32, reflect.Float64:
		return "", math.Float64bits(a.Float()) != math.Float64bits(b.Float())
	case reflect.Slice, reflect.Array:
		if a.Len() != b.Len() || a.Kind() == reflect.Slice && !behindAny && a.IsNil() != b.IsNil() {
			return "", true
		}
		for i := range a.Len() {
			if at, differs := told(a.Index(i), b.Index(i), false); differs {
				return fmt.Sprintf("[%d]%s", i, at), true
			}
		}
	case reflect.Map:
		if a.Len() != b.Len() || !behindAny && a.IsNil() != b.IsNil() {
			return "", true
		}
		for it := a.MapRange(); it.Next(); {
			other := b.MapIndex(it.Key())
			if !other.IsValid() {
				return fmt.Sprintf("[%v missing]", it.Key()), true
			}
			if at, differs := told(it.Value(), other, false); differs {
				return fmt.Sprintf("[%v]%s", it.Key(), at), true
			}
		}
	case reflect.Struct:
		return toldFields(a, b)
	default:
		return "", !a.Equal(b)
	}
	return "", false
}

func toldFields(a, b reflect.Value) (at string, differs bool) {
	a, b = addressable(a), addressable(b)
	for i := range a.NumField() {
		f := a.Type().Field(i)
		if f.Tag.Get("json") == "-" {
			continue
		}
		x, y := open(a.Field(i)), open(b.Field(i))
		if left := strings.Contains(f.Tag.Get("json"), "omitempty"); x.IsZero() && y.IsZero() && strings.Contains(f.Tag.Get("json"), "omit") ||
			left && (x.Kind() == reflect.Slice || x.Kind() == reflect.Map) && x.Len() == 0 && y.IsNil() {
			continue // the sign of a zero that is left out is excepted, and nil against empty
		}
		if x.Type() == reflect.TypeFor[time.Time]() && strings.Contains(f.Tag.Get("json"), "omitzero") &&
			x.Interface().(time.Time).IsZero() && y.IsZero() {
			continue // and the zone of the zero time
		}
		if at, differs := told(x, y, false); differs {
			return "." + f.Name + at, true
		}
	}
	return "", false
}

func addressable(v reflect.Value) reflect.Value {
	a := reflect.New(v.Type()).Elem()
	a.Set(v)
	return a
}

// open returns v, which is addressable, also when its field is unexported.
func open(v reflect.Value) reflect.Value {
	return reflect.NewAt(v.Type(), v.Addr().UnsafePointer()).Elem()
}

// asAny is what a number behind an any comes back as.
func asAny(v reflect.Value) reflect.Value {
	switch {
	case v.CanInt():
		return reflect.ValueOf(v.Int())
	case v.CanUint() && v.Uint() > math.MaxInt64:
		return reflect.ValueOf(v.Uint())
	case v.CanUint():
		return reflect.ValueOf(int64(v.Uint()))
	case v.Kind() == reflect.Float32:
		return reflect.ValueOf(v.Float())
	}
	return v
}
