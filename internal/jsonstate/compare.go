package jsonstate

import (
	"math"
	"reflect"
	"sync"
	"time"
)

// judge is what the values of one type need to be compared.
type judge struct {
	equal func(a, b reflect.Value) bool // by a method; nil: there is none
	locks bool                          // it guards itself, so nobody else may look inside
}

var judges sync.Map // reflect.Type to *judge

func judgeOf(t reflect.Type) *judge {
	if j, ok := judges.Load(t); ok {
		return j.(*judge)
	}
	known, _ := judges.LoadOrStore(t, &judge{equal: equalMethod(t), locks: holdsLock(t)})
	return known.(*judge)
}

// holdsLock reports that a lock or an atomic is a part of a t.
func holdsLock(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Array:
		return holdsLock(t.Elem())
	case reflect.Struct:
		if p := t.PkgPath(); p == "sync" || p == "sync/atomic" {
			return true
		}
		for i := range t.NumField() {
			if holdsLock(t.Field(i).Type) {
				return true
			}
		}
	}
	return false
}

// same reports that b, which was read from data, is as good as a, which encodes itself.
func (j *judge) same(a, b reflect.Value, data []byte) bool {
	c := comparison{inside: true}
	if _, differs := c.compare(a, b); !differs {
		if !c.caches {
			return true
		}
		if again, err := encoded(b.Addr().Interface()); err == nil && sameBytes(again, data) {
			return true
		}
	}
	return j.equal != nil && j.equal(a, b)
}

// sameBytes reports that a and b are equal but for the order, in which a set may be
// written otherwise each time.
func sameBytes(a, b []byte) bool {
	var counts [256]int
	for _, c := range a {
		counts[c]++
	}
	for _, c := range b {
		counts[c]--
	}
	return counts == [256]int{}
}

// equalMethod returns the comparison by a method Equal or Cmp that t or *t
// has for others of its kind, nil if there is none.
func equalMethod(t reflect.Type) func(a, b reflect.Value) bool {
	for _, find := range []method{
		func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("Equal") },
		func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("Cmp") },
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
	caches bool // set when something was passed over: what only one of them has, unexported, or has a lock
}

// compare returns where two values of one type differ. A time is its instant and
// its offset.
func (c *comparison) compare(a, b reflect.Value) (path string, differs bool) {
	return c.values(a, b, map[[2]uintptr]bool{})
}

func (c *comparison) values(a, b reflect.Value, seen map[[2]uintptr]bool) (string, bool) {
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
		if c.inside && judgeOf(t).locks {
			c.caches = true
			return "", false
		}
		for i := range t.NumField() {
			if at, differs := c.field(t.Field(i), a.Field(i), b.Field(i), seen); differs {
				return "." + t.Field(i).Name + at, true
			}
		}
		return "", false
	}
	return "", !a.Equal(b)
}

// field compares a field of two structs.
func (c *comparison) field(f reflect.StructField, a, b reflect.Value, seen map[[2]uintptr]bool) (string, bool) {
	if c.inside {
		if !f.IsExported() && a.Kind() != reflect.Slice && nothing(a) != nothing(b) {
			c.caches = true
			return "", false
		}
		return c.values(a, b, seen)
	}
	_, omitzero := option(f, "omitzero")
	_, omitempty := option(f, "omitempty")
	switch {
	case skipped(f), omitempty && nothing(a) && nothing(b):
		return "", false
	case omitzero && b.IsZero(): // it was left out, so nobody has looked inside
		return (&comparison{inside: true}).values(a, b, seen)
	}
	return c.values(a, b, seen)
}

// nothing reports that v refers to nothing.
func nothing(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		return v.IsNil()
	case reflect.Map, reflect.Slice:
		return v.Len() == 0
	}
	return false
}

func (c *comparison) pointed(a, b reflect.Value, seen map[[2]uintptr]bool) (string, bool) {
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

func (c *comparison) elements(a, b reflect.Value, seen map[[2]uintptr]bool) (string, bool) {
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

func (c *comparison) maps(a, b reflect.Value, seen map[[2]uintptr]bool) (string, bool) {
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
