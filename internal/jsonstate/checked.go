package jsonstate

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// A type with methods of its own is encoded by them, and what they wrote is read
// back at once: nobody else knows whether a value survives its own methods.

// encodeChecked encodes *v by its MarshalJSON or MarshalText.
func encodeChecked(enc *jsontext.Encoder, v any) error {
	if atName(enc) {
		return encodeKey(enc, v)
	}
	data, err := encoded(v)
	if err != nil {
		return err
	}
	if err := enc.WriteValue(data); err != nil {
		return refusal{why: fmt.Sprintf("what the method of %T wrote cannot be stored: %s", v, reason(err))}
	}
	return checkReadBack(v, data)
}

func encodeText(enc *jsontext.Encoder, v encoding.TextMarshaler) error { return encodeChecked(enc, v) }

func reason(err error) string {
	_, cause := position(err)
	switch {
	case errors.Is(cause, jsontext.ErrDuplicateName):
		return "a name is there twice"
	default:
		return "it is no valid JSON"
	}
}

// encoded returns what the methods of v make of it.
func encoded(v any) ([]byte, error) {
	if m, ok := v.(json.Marshaler); ok {
		data, err := m.MarshalJSON()
		if err != nil {
			return nil, failed(v, err)
		}
		return data, nil
	}
	text, err := v.(encoding.TextMarshaler).MarshalText()
	if err != nil {
		return nil, failed(v, err)
	}
	return appendString(nil, string(text))
}

// checkReadBack checks that *v comes back from data.
func checkReadBack(v any, data []byte) error {
	was := reflect.ValueOf(v).Elem()
	back := reflect.New(was.Type())
	if err := jsonv2.Unmarshal(data, back.Interface(), format); err != nil {
		_, cause := position(err)
		return refusal{why: fmt.Sprintf("%T cannot read what it wrote (%T)", v, cause)}
	}
	if judgeOf(was.Type()).same(was, back.Elem(), data) {
		return nil
	}
	return refusal{why: fmt.Sprintf("%s comes back from its own JSON as another value; if it is as good, say so by a method Equal", was.Type())}
}

// encodeKey encodes *v as a key of a map. What is read from its text must be the
// same key to Go, or the map would have it twice.
func encodeKey(enc *jsontext.Encoder, v any) error {
	was := reflect.ValueOf(v).Elem()
	reader := reflect.New(was.Type())
	u, ok := reader.Interface().(encoding.TextUnmarshaler)
	if !ok {
		return errors.ErrUnsupported // as an integer or a string
	}
	var text []byte
	if was.Kind() == reflect.String {
		text = []byte(was.String()) // as it is, and read by its method all the same
	} else {
		var err error
		if text, err = v.(encoding.TextMarshaler).MarshalText(); err != nil {
			return failed(v, err)
		}
	}
	if err := u.UnmarshalText(bytes.Clone(text)); err != nil {
		return refusal{why: fmt.Sprintf("a key: %s cannot read the text that it wrote (%T)", was.Type(), err)}
	}
	if reader.Elem().Interface() != was.Interface() {
		return refusal{why: fmt.Sprintf("a key: its text is read as a key that is not equal to it (%s)", keyHint(was.Type()))}
	}
	return enc.WriteToken(jsontext.String(string(text)))
}

func keyHint(t reflect.Type) string {
	if t == timeType {
		return "use t.Round(0).UTC(), or t.UnixNano()"
	}
	return t.String()
}

// atName reports that the next thing is the name of a member.
func atName(enc *jsontext.Encoder) bool {
	kind, n := enc.StackIndex(enc.StackDepth())
	return kind == '{' && n%2 == 0
}

// encodeTime refuses what RFC 3339 rounds.
func encodeTime(enc *jsontext.Encoder, t *time.Time) error {
	if atName(enc) {
		return encodeKey(enc, t)
	}
	if _, offset := t.Zone(); offset%60 != 0 {
		return refusal{why: "JSON loses the seconds of its zone; use t.UTC()"}
	}
	b, err := t.AppendText(append(enc.AvailableBuffer(), '"'))
	if err != nil {
		return err
	}
	return enc.WriteValue(append(b, '"'))
}

// encodeNumber encodes an empty Number as an empty string, and others as they are.
func encodeNumber(enc *jsontext.Encoder, n *json.Number) error {
	switch {
	case atName(enc):
		return errors.ErrUnsupported // as a string
	case *n == "":
		return enc.WriteToken(jsontext.String(""))
	case !isNumber(string(*n)):
		return refusal{why: "a json.Number that is none"}
	}
	return enc.WriteValue(jsontext.Value(*n))
}

func isNumber(s string) bool {
	v := jsontext.Value(s)
	return v.Kind() == '0' && v.IsValid() && strings.TrimSpace(s) == s
}

func decodeNumber(dec *jsontext.Decoder, n *json.Number) error {
	if kind, i := dec.StackIndex(dec.StackDepth()); kind == '{' && i%2 == 0 {
		return errors.ErrUnsupported
	}
	v, err := dec.ReadValue()
	if err != nil {
		return err
	}
	switch v.Kind() {
	case '0':
		*n = json.Number(v)
	case 'n':
	case '"':
		s, err := jsontext.AppendUnquote(nil, v)
		if err == nil && len(s) > 0 && !isNumber(string(s)) {
			return &jsonv2.SemanticError{JSONKind: '"'}
		}
		*n = json.Number(s)
		return err
	default:
		return &jsonv2.SemanticError{JSONKind: v.Kind()}
	}
	return nil
}

// encodeRaw encodes nil as null, which therefore is nothing else.
func encodeRaw(enc *jsontext.Encoder, raw *json.RawMessage) error {
	switch v := jsontext.Value(*raw); {
	case *raw == nil:
		return enc.WriteToken(jsontext.Null)
	case v.Kind() == 'n':
		return refusal{why: "a json.RawMessage of null would come back as nil; use nil"}
	default:
		if err := enc.WriteValue(v); err != nil {
			return refusal{why: "a json.RawMessage: " + reason(err)}
		}
		return nil
	}
}

func decodeRaw(dec *jsontext.Decoder, raw *json.RawMessage) error {
	v, err := dec.ReadValue()
	if err != nil {
		return err
	}
	if *raw = nil; v.Kind() != 'n' {
		*raw = json.RawMessage(v.Clone())
	}
	return nil
}
