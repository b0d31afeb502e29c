package component

import (
	"errors"
	"fmt"
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
	if from := embeddedWith(base, h.name); from != nil {
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
	encodes := h.name == "MarshalState" || h.name == "UnmarshalState"
	if _, ok := p.MethodByName(h.name); ok && encodes && state.Kind() == reflect.Struct && state.NumField() > 1 &&
		!declares(state, h.name) && !declares(p, h.name) {
		return fmt.Errorf("%s of %s is that of the embedded %s, which knows nothing of the other fields; write %s.%s",
			h.name, state, embeddedWith(state, h.name), state, h.name)
	}
	return nil
}

// embeddedWith returns a type that t embeds and that has the method, nil if there is
// none.
func embeddedWith(t reflect.Type, method string) reflect.Type {
	if t.Kind() != reflect.Struct {
		return nil
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.Anonymous {
			continue
		}
		_, byValue := f.Type.MethodByName(method)
		_, byPointer := reflect.PointerTo(f.Type).MethodByName(method)
		if byValue || byPointer && f.Type.Kind() != reflect.Interface {
			return f.Type
		}
	}
	return nil
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
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous && (f.Type.Implements(what) || reflect.PointerTo(f.Type).Implements(what) || embeds(f.Type, what, depth-1)) {
			return true
		}
	}
	return false
}
