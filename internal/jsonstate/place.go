package jsonstate

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	notUTF8 = "it is not valid UTF-8; keep such bytes in a []byte or encode them"
	tooDeep = "it nests more than 10,000 deep, or refers to itself"
	oneText = "two of its keys have the same text"
)

// maxPath is how much of a place is told, roughly.
const maxPath = 100

// refusal says why a value is not encoded, and where, seen from the caller.
type refusal struct {
	path, why string
	cause     error // what a method returned, which may hold some of the state and is not told
}

// failed says that a method of *v that writes it returned err.
func failed(v any, err error) refusal {
	return refusal{why: fmt.Sprintf("a method of %s that writes it returned an error (%T)", reflect.TypeOf(v).Elem(), err), cause: err}
}

func (r refusal) Error() string { return "cannot encode " + place(r.path) + ": " + r.why }

// within adds where err happened, as far as a reader follows.
func within(path string, err error) error {
	if r, ok := err.(refusal); ok && len(r.path) < maxPath {
		r.path = path + r.path
		return r
	}
	return err
}

// encodeError words an error of the encoder for states of type t.
func encodeError(t reflect.Type, err error) error {
	r, _ := errors.AsType[refusal](err)
	at, cause := position(err)
	r.path = pathIn(t, at) + r.path
	switch text := cause.Error(); {
	case r.why != "":
	case errors.Is(cause, jsontext.ErrDuplicateName):
		r.why = oneText
	case strings.Contains(text, "invalid UTF-8"):
		r.why = notUTF8
	case strings.Contains(text, "exceeded max depth"), strings.Contains(text, "encountered a cycle"):
		r.why = tooDeep
	case strings.HasPrefix(text, "unsupported value: "): // NaN, infinite
		r.why = "JSON has no " + strings.TrimPrefix(text, "unsupported value: ")
	default:
		r.why = text
	}
	return refused{r}
}

// refused is a refusal as the program gets it.
type refused struct{ refusal }

func (r refused) Unwrap() error { return r.cause }

// position returns where a coder failed, and the error without that.
func position(err error) (at jsontext.Pointer, cause error) {
	cause = err
	if e, ok := errors.AsType[*jsonv2.SemanticError](err); ok {
		at = e.JSONPointer
		if cause = e.Err; cause == nil {
			cause = fmt.Errorf("JSON has no %s", e.GoType)
		}
	}
	if e, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		at, cause = max(at, e.JSONPointer), e.Err
		if errors.Is(cause, jsontext.ErrDuplicateName) {
			at = at.Parent()
		}
	}
	return at, cause
}

// pathIn returns the path that is at in states of type t, by the names of fields
// in Go. Keys of maps are left out: they are data.
func pathIn(t reflect.Type, at jsontext.Pointer) string {
	var path strings.Builder
	for token := range at.Tokens() {
		if path.Len() > maxPath {
			path.WriteString("…")
			break
		}
		for t != nil && t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if t == nil || hasMethods(t) {
			path.WriteString("[…]")
			t = nil
			continue
		}
		switch t.Kind() {
		case reflect.Struct:
			f, ok := fieldsOf(t)[token]
			if !ok {
				return path.String()
			}
			path.WriteString(f.path)
			t = f.Type
		case reflect.Slice, reflect.Array:
			path.WriteString("[" + token + "]")
			t = t.Elem()
		case reflect.Map:
			path.WriteString("[…]")
			t = t.Elem()
		default:
			path.WriteString("[…]")
			t = nil
		}
	}
	return path.String()
}

func place(path string) string {
	if !strings.HasPrefix(path, ".") {
		return "the state" + path
	}
	return "field " + strings.TrimPrefix(path, ".")
}

// decodeError words a decoding error without repeating any of the state.
type decodeError struct {
	err     error
	of      reflect.Type
	several bool
}

func (e decodeError) Unwrap() error { return e.err }

func (e decodeError) Error() string {
	at, cause := position(e.err)
	r, refused := errors.AsType[refusal](e.err)
	semantic, _ := errors.AsType[*jsonv2.SemanticError](e.err)
	_, syntactic := errors.AsType[*jsontext.SyntacticError](e.err)
	where := place(pathIn(e.of, at))
	switch {
	case e.several:
		return "more than one JSON value"
	case refused:
		return fmt.Sprintf("cannot decode %s: %s", where, r.why)
	case semantic != nil && semantic.JSONKind == ']':
		return fmt.Sprintf("cannot decode %s: its type %s has another length; let MigrateState see to it", where, semantic.GoType)
	case errors.Is(cause, jsontext.ErrDuplicateName):
		return fmt.Sprintf("cannot decode %s: a name is there twice", where)
	case syntactic, semantic == nil:
		return "it is not JSON"
	case semantic.JSONKind == 0 || semantic.GoType != nil && hasMethods(semantic.GoType):
		return fmt.Sprintf("cannot decode %s: its type %s refused the JSON (%T)", where, semantic.GoType, cause)
	}
	return fmt.Sprintf("cannot decode a JSON %s into %s of type %s", semantic.JSONKind, where, semantic.GoType)
}
