// Package jsonstate encodes the state of a component as JSON so that it comes back
// as it was, or refuses it. Encoding and decoding are go-json-experiment/json, the
// encoding/json/v2 of Go 1.27. Here is what that leaves open: what a type cannot
// bring back is refused by Check, before anything is saved; what only a value can
// tell, values behind an any and types with methods of their own, by Marshal.
package jsonstate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sync"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"
)

// format is the form of encoding/json, in which states have always been stored,
// without its leniency: text must be UTF-8, names exact, no name twice.
var format = jsonv2.JoinOptions(
	jsonv2.Deterministic(true), // a save is skipped when the bytes are those of the last
	jsonv2.FormatNilSliceAsNull(true),
	jsonv2.FormatNilMapAsNull(true),
	jsontext.PreserveRawStrings(true),
	jsonv1.FormatDurationAsNano(true),
	jsonv1.FormatByteArrayAsArray(true),
	jsonv1.FormatBytesWithLegacySemantics(true),
	jsonv1.OmitEmptyWithLegacySemantics(true),
	jsonv1.StringifyWithLegacySemantics(true),
	jsonv1.CallMethodsWithLegacySemantics(true), // a key is its MarshalText, not its MarshalJSON
)

// plan is how the values of one type are encoded and decoded.
type plan struct {
	traits
	encode, decode jsonv2.Options
}

var plans sync.Map // reflect.Type to *plan

func planOf(t reflect.Type) *plan {
	if p, ok := plans.Load(t); ok {
		return p.(*plan)
	}
	p := &plan{traits: traitsOf(t), encode: format, decode: format}
	if !p.methods { // then no two names are equal, and nobody need compare them
		p.encode = jsonv2.JoinOptions(p.encode, jsontext.AllowDuplicateNames(true))
	}
	switch {
	case p.methods:
		p.encode = jsonv2.JoinOptions(p.encode, jsonv2.WithMarshalers(checkedEncoders))
		p.decode = jsonv2.JoinOptions(p.decode, jsonv2.WithUnmarshalers(exactDecoders))
	case p.any:
		p.encode = jsonv2.JoinOptions(p.encode, jsonv2.WithMarshalers(anyEncoders))
		p.decode = jsonv2.JoinOptions(p.decode, jsonv2.WithUnmarshalers(anyDecoders))
	}
	known, _ := plans.LoadOrStore(t, p)
	return known.(*plan)
}

var (
	anyEncoders = jsonv2.JoinMarshalers(
		encoderOf(func(v any) bool { return v == nil }),
		encoderOf(func(v map[string]any) bool { return v == nil }),
		encoderOf(func(v []any) bool { return v == nil }),
	)
	anyDecoders     = jsonv2.UnmarshalFromFunc(decodeAny)
	checkedEncoders = jsonv2.JoinMarshalers(
		anyEncoders,
		jsonv2.MarshalToFunc(encodeTime),
		jsonv2.MarshalToFunc(encodeNumber),
		jsonv2.MarshalToFunc(encodeRaw),
		jsonv2.MarshalToFunc(func(enc *jsontext.Encoder, v json.Marshaler) error { return encodeChecked(enc, v) }),
		jsonv2.MarshalToFunc(encodeText),
	)
	exactDecoders = jsonv2.JoinUnmarshalers(
		anyDecoders,
		jsonv2.UnmarshalFromFunc(decodeNumber),
		jsonv2.UnmarshalFromFunc(decodeRaw),
	)
)

// Marshal encodes the state to which v points. Its error names the place of what
// would not come back, and nothing of the state.
func Marshal(v any) ([]byte, error) {
	state := reflect.ValueOf(v).Elem()
	p := planOf(state.Type())
	data, err := p.marshal(v)
	if err == nil && (p.unsure || p.nulls && bytes.Contains(data, []byte("null"))) {
		err = p.checkReadBack(state, data)
	}
	if err != nil {
		return nil, encodeError(state.Type(), err)
	}
	return data, nil
}

// checkReadBack checks that state comes back from data.
func (p *plan) checkReadBack(state reflect.Value, data []byte) error {
	back := reflect.New(state.Type())
	if err := jsonv2.Unmarshal(data, back.Interface(), p.decode); err != nil {
		at, cause := position(err)
		return refusal{path: pathIn(state.Type(), at), why: fmt.Sprintf("JSON cannot give it back (%T)", cause)}
	}
	if at, differs := new(comparison).compare(state, back.Elem()); differs {
		return refusal{path: at, why: "JSON cannot tell it from another value, as a pointer to nil from nil"}
	}
	return nil
}

// marshal encodes *v. Two kinds of states that are frequent take a shorter way to
// the same JSON: maps without a type, and types for which encoding/json does as
// well, in two thirds to nine tenths of the time.
func (p *plan) marshal(v any) ([]byte, error) {
	if m, ok := v.(*map[string]any); ok && *m != nil {
		return appendAny(nil, *m, 0)
	}
	if p.plain() {
		if data, err := json.Marshal(v); err == nil && !maybeBent(data) {
			return data, nil
		}
	}
	return jsonv2.Marshal(v, p.encode)
}

// maybeBent reports that data may hold what encoding/json puts silently in place
// of bytes that are not UTF-8.
func maybeBent(data []byte) bool {
	return bytes.Contains(data, []byte(`\ufffd`)) || bytes.Contains(data, []byte("\ufffd"))
}

// Unmarshal decodes data, which must hold exactly one JSON value, into the state to
// which v points and which must be zero. Integers that land in an any become int64,
// or uint64 above it; other numbers become float64.
//
// The fields in data that the state does not have are left out and named: unknown
// holds some of their paths, without a key of a map.
func Unmarshal(data []byte, v any) (unknown []string, err error) {
	state := reflect.ValueOf(v).Elem()
	p := planOf(state.Type())
	err = jsonv2.Unmarshal(data, v, p.decode, jsonv2.RejectUnknownMembers(true))
	if errors.Is(err, jsonv2.ErrUnknownName) {
		state.SetZero()
		if err = jsonv2.Unmarshal(data, v, p.decode); err == nil {
			unknown = unknownFields(data, state.Type())
		}
	}
	if err != nil {
		return nil, decodeError{err: err, of: state.Type(), several: several(data)}
	}
	return unknown, nil
}

// several reports that data begins with a whole JSON value, and goes on.
func several(data []byte) bool {
	d := jsontext.NewDecoder(bytes.NewReader(data), jsontext.AllowDuplicateNames(true))
	return d.SkipValue() == nil && len(bytes.TrimSpace(data[d.InputOffset():])) > 0
}
