package jsonstate

import (
	"math"
	"reflect"
	"strings"
	"sync"
	"time"
)

// judge compares values of one type that encodes itself.
type judge struct {
	equal func(a, b reflect.Value) bool // by a method; nil: there is none
	locks bool                          // it guards itself, so nobody else may look inside
	hides bool                          // it has unexported parts that may be no part of its value
}

var judges sync.Map // reflect.Type to *judge

func judgeOf(t reflect.Type) *judge {
	if j, ok := judges.Load(t); ok {
		return j.(*judge)
	}
	j := &judge{equal: equalMethod(t)}
	j.look(t, false, map[reflect.Type]bool{})
	known, _ := judges.LoadOrStore(t, j)
	return known.(*judge)
}

// look finds out what a t may have inside.
func (j *judge) look(t reflect.Type, hidden bool, seen map[reflect.Type]bool) {
	if seen[t] || t == timeType {
		return
	}
	seen[t] = true
	if p := t.PkgPath(); p == "sync" || p == "sync/atomic" || strings.HasPrefix(p, "internal/") {
		j.locks = j.locks || strings.HasPrefix(p, "sync")
		return
	}
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.UnsafePointer, reflect.Interface:
		j.hides = true
	case reflect.Pointer, reflect.Map:
		j.hides = j.hides || hidden
		j.look(t.Elem(), hidden, seen)
	case reflect.Slice, reflect.Array:
		j.look(t.Elem(), hidden, seen)
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			j.look(f.Type, hidden || !f.IsExported(), seen)
		}
	}
}

func (j *judge) same(a, b reflect.Value) bool {
	if _, differs := opaque.compare(a, b); !differs {
		return true
	}
	return j.equal != nil && j.equal(a, b)
}

// equalMethod returns the comparison by a method Equal, Cmp or Compare that t or
// *t has for others of its kind, nil if there is none.
func equalMethod(t reflect.Type) func(a, b reflect.Value) bool {
	for _, find := range []method{
		func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("Equal") },
		func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("Cmp") },
		func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("Compare") },
	} {
		p := reflect.PointerTo(t)
		m, ok := find(p)
		if !ok || m.Type.NumIn() != 2 || m.Type.NumOut() != 1 {
			continue
		}
		byValue, byPointer := m.Type.In(1) == t, m.Type.In(1) == p
		result := m.Type.Out(0).Kind()
		if !byValue && !byPointer || result != reflect.Bool && result != reflect.Int {
			continue
		}
		return func(a, b reflect.Value) bool {
			if byPointer {
				b = b.Addr()
			}
			out := m.Func.Call([]reflect.Value{a.Addr(), b})[0]
			return result == reflect.Bool && out.Bool() || result == reflect.Int && out.Int() == 0
		}
	}
	return nil
}

// comparison tells a value from what came back.
type comparison struct {
	inside bool // a type that encodes itself, whose nil and empty are one
}

var (
	typed  = comparison{}
	opaque = comparison{inside: true}
)

// compare returns where two values of one type differ. A time is its instant and
// its offset.
func (c comparison) compare(a, b reflect.Value) (path string, differs bool) {
	return c.values(a, b, map[[2]uintptr]bool{})
}

func (c comparison) values(a, b reflect.Value, seen map[[2]uintptr]bool) (string, bool) {
	t := a.Type()
	switch {
	case t == timeType:
		return "", !sameTime(a, b)
	case !c.inside && t.Kind() != reflect.Pointer && (t.Kind() == reflect.Interface || hasMethods(t)):
		return "", a.Kind() == reflect.Interface && a.IsNil() != b.IsNil() // else it was checked when it was encoded
	}
	switch t.Kind() {
	case reflect.Float32, reflect.Float64:
		return "", math.Float64bits(a.Float()) != math.Float64bits(b.Float())
	case reflect.Chan, reflect.Func, reflect.UnsafePointer:
		return "", false
	case reflect.Pointer, reflect.Interface:
		return c.pointed(a, b, seen)
	case reflect.Slice, reflect.Array:
		return c.elements(a, b, seen)
	case reflect.Map:
		return c.maps(a, b, seen)
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			if !c.inside && skipped(f) {
				continue
			}
			as := c
			if _, omitzero := option(f, "omitzero"); omitzero && b.Field(i).IsZero() {
				as = opaque // it was left out, so nobody has looked inside
			}
			if at, differs := as.values(a.Field(i), b.Field(i), seen); differs {
				return "." + f.Name + at, true
			}
		}
		return "", false
	}
	return "", !a.Equal(b)
}

func (c comparison) pointed(a, b reflect.Value, seen map[[2]uintptr]bool) (string, bool) {
	if a.IsNil() || b.IsNil() {
		return "", a.IsNil() != b.IsNil()
	}
	if a.Kind() == reflect.Pointer {
		pair := [2]uintptr{a.Pointer(), b.Pointer()}
		if seen[pair] {
			return "", false
		}
		seen[pair] = true
	}
	if a, b = a.Elem(), b.Elem(); a.Type() != b.Type() {
		return "", true
	}
	return c.values(a, b, seen)
}

func (c comparison) elements(a, b reflect.Value, seen map[[2]uintptr]bool) (string, bool) {
	if a.Len() != b.Len() || a.Kind() == reflect.Slice && !c.inside && a.IsNil() != b.IsNil() {
		return "", true
	}
	for i := range a.Len() {
		if at, differs := c.values(a.Index(i), b.Index(i), seen); differs {
			return "[…]" + at, true
		}
	}
	return "", false
}

func (c comparison) maps(a, b reflect.Value, seen map[[2]uintptr]bool) (string, bool) {
	if a.Len() != b.Len() || !c.inside && a.IsNil() != b.IsNil() {
		return "", true
	}
	for it := a.MapRange(); it.Next(); {
		other := b.MapIndex(it.Key())
		if !other.IsValid() {
			return "[…]", true
		}
		if at, differs := c.values(it.Value(), other, seen); differs {
			return "[…]" + at, true
		}
	}
	return "", false
}

// sameTime compares two times. Of one that cannot be looked at, because it is
// behind an unexported field of something in a map, nothing is said.
func sameTime(a, b reflect.Value) bool {
	x, ok := timeIn(a)
	y, okToo := timeIn(b)
	if !ok || !okToo {
		return true
	}
	_, ahead := x.Zone()
	_, behind := y.Zone()
	return x.Equal(y) && ahead == behind
}

func timeIn(v reflect.Value) (time.Time, bool) {
	switch {
	case v.CanInterface():
		t, ok := reflect.TypeAssert[time.Time](v)
		return t, ok
	case v.CanAddr():
		return *(*time.Time)(v.Addr().UnsafePointer()), true
	}
	return time.Time{}, false
}
