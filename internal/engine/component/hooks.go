package component

import (
	"errors"
	"fmt"
	"iter"
	"reflect"
	"strings"
)

// A hook is a method with special meaning. One that bears its name and not its
// signature would never be called, and nobody would know.
type hook struct {
	name string
	want reflect.Type // without a receiver
}

// hooksOf returns the hooks that are looked for. state is the type of the state of a
// Cell, nil without one.
func hooksOf(state reflect.Type) []hook {
	all := []hook{
		{"InitState", reflect.TypeFor[func()]()},
		{"StateSchema", reflect.TypeFor[func() int]()},
		{"MigrateState", reflect.TypeFor[func(int, []byte) ([]byte, error)]()},
	}
	if state == nil {
		return all
	}
	return append(all,
		hook{"MarshalState", reflect.TypeFor[func() ([]byte, error)]()},
		hook{"UnmarshalState", reflect.TypeFor[func([]byte) error]()},
		hook{"Clone", reflect.FuncOf(nil, []reflect.Type{state}, false)},
	)
}

// CheckHooks refuses methods of the component, and of the state of its Cell, that bear
// the name of a hook and would not be called. state is nil without a Cell.
func CheckHooks(comp Component, state reflect.Type) error {
	var wrong []string
	add := func(err error) {
		if err != nil {
			wrong = append(wrong, err.Error())
		}
	}
	for _, h := range hooksOf(state) {
		add(h.check(reflect.TypeOf(comp)))
		if state != nil {
			add(h.checkState(state))
		}
	}
	if wrong == nil {
		return nil
	}
	return errors.New(strings.Join(wrong, "; "))
}

// check says why the hook of a value of type t would not be called.
func (h hook) check(t reflect.Type) error {
	if m, ok := t.MethodByName(h.name); ok {
		return h.compare(t, m.Type)
	}
	base := t
	if t.Kind() == reflect.Pointer {
		base = t.Elem()
	} else if _, ok := reflect.PointerTo(t).MethodByName(h.name); ok {
		return fmt.Errorf("%s of *%s would not be called, because the component is no pointer; register a pointer", h.name, t)
	}
	if from := h.hidden(base, 10); from != nil {
		return fmt.Errorf("%s of the embedded %s would not be called, because %s does not have it: another embedded type has one too, or a field of that name hides it; write %s.%s",
			h.name, from, base, base, h.name)
	}
	return nil
}

// compare refuses a method that has another signature than the hook.
func (h hook) compare(t, got reflect.Type) error {
	in, out := make([]reflect.Type, 0, 4), make([]reflect.Type, 0, 2)
	for i := 1; i < got.NumIn(); i++ { // behind the receiver
		in = append(in, got.In(i))
	}
	for i := range got.NumOut() {
		out = append(out, got.Out(i))
	}
	if plain := reflect.FuncOf(in, out, got.IsVariadic()); plain != h.want {
		return fmt.Errorf("%s of %s is a %s and would never be called: the hook of that name is a %s; give it that signature, or another name", h.name, t, plain, h.want)
	}
	return nil
}

// checkState is check for the state, which is asked through a pointer to it. An
// encoding that it has from an embedded field would drop all others.
func (h hook) checkState(state reflect.Type) error {
	if state.Kind() == reflect.Pointer {
		if _, ok := state.MethodByName(h.name); ok {
			return fmt.Errorf("%s of %s would not be called, because the state is a pointer; use StatefulComponent[%s]", h.name, state, state.Elem())
		}
		return nil
	}
	p := reflect.PointerTo(state)
	if err := h.check(p); err != nil {
		return err
	}
	if _, ok := state.MethodByName(h.name); ok && h.name == "UnmarshalState" && state.Kind() != reflect.Interface {
		return fmt.Errorf("%s of %s would decode into a copy, and each restore be empty; give it a pointer receiver", h.name, state)
	}
	encodes := h.name == "MarshalState" || h.name == "UnmarshalState"
	if _, ok := p.MethodByName(h.name); ok && encodes && state.Kind() == reflect.Struct && state.NumField() > 1 &&
		!declares(state, h.name) && !declares(p, h.name) {
		return fmt.Errorf("%s of %s is that of the embedded %s, which knows nothing of the other fields; write %s.%s",
			h.name, state, h.hidden(state, 10), state, h.name)
	}
	return nil
}

// hidden returns a type that t embeds, at any depth, with the hook, which t does not
// have; nil if there is none. Clone is a name that others use for their own ends too.
func (h hook) hidden(t reflect.Type, depth int) reflect.Type {
	for e := range embedded(t) {
		m, ok := methodOf(e, h.name)
		if ok && (h.name != "Clone" || h.compare(e, m.Type) == nil) {
			return e
		}
		if e.Kind() == reflect.Pointer {
			e = e.Elem()
		}
		if from := h.hidden(e, depth-1); !ok && depth > 0 && from != nil {
			return from
		}
	}
	return nil
}

// embedded yields the types that t embeds.
func embedded(t reflect.Type) iter.Seq[reflect.Type] {
	return func(yield func(reflect.Type) bool) {
		if t.Kind() != reflect.Struct {
			return
		}
		for i := range t.NumField() {
			if f := t.Field(i); f.Anonymous && !yield(f.Type) {
				return
			}
		}
	}
}

// methodOf returns the method of an embedded type, or of a pointer to it.
func methodOf(t reflect.Type, name string) (reflect.Method, bool) {
	if m, ok := t.MethodByName(name); ok || t.Kind() == reflect.Interface {
		return m, ok
	}
	return reflect.PointerTo(t).MethodByName(name)
}

// Embeds reports that t embeds, at any depth, a type that implements what.
func Embeds(t, what reflect.Type) bool { return embeds(t, what, 10) }

// embeds looks only so deep: a type may embed a pointer to itself.
func embeds(t, what reflect.Type, depth int) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || depth == 0 {
		return false
	}
	for e := range embedded(t) {
		if e.Implements(what) || reflect.PointerTo(e).Implements(what) || embeds(e, what, depth-1) {
			return true
		}
	}
	return false
}

// checkFilled refuses a component that has its methods from something that it embeds
// and that is nil.
func checkFilled(comp Component) error {
	v := reflect.Indirect(reflect.ValueOf(comp))
	if v.Kind() != reflect.Struct {
		return nil
	}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		gives := f.Anonymous && f.Type.Implements(reflect.TypeFor[Component]()) && !declares(v.Type(), "SnapshotState") &&
			!declares(reflect.PointerTo(v.Type()), "SnapshotState")
		if gives && isNil(v.Field(i)) {
			return fmt.Errorf("the %s that %s embeds is nil", f.Type, v.Type())
		}
	}
	return nil
}

// isNil reports that v is nil, or an interface with something that is.
func isNil(v reflect.Value) bool {
	if v.Kind() == reflect.Interface && !v.IsNil() {
		v = v.Elem()
	}
	return (v.Kind() == reflect.Interface || v.Kind() == reflect.Pointer) && v.IsNil()
}
