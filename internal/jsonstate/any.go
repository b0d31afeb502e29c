package jsonstate

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// What an any may hold comes back by its form in JSON alone: a number with a point
// or an exponent is a float64, any other an int64, or uint64 above it.

// maxDepth is how deep JSON may nest, here and in the package jsontext.
const maxDepth = 10000

// encoderOf encodes T, which is any or one of the two that an any may hold.
func encoderOf[T any](isNil func(T) bool) *jsonv2.Marshalers {
	return jsonv2.MarshalToFunc(func(enc *jsontext.Encoder, v *T) error {
		if isNil(*v) {
			return enc.WriteToken(jsontext.Null)
		}
		b, err := appendAny(enc.AvailableBuffer(), *v, enc.StackDepth())
		if err != nil {
			return err
		}
		return enc.WriteValue(b)
	})
}

// appendAny appends v, which is behind an any at the given depth.
func appendAny(b []byte, v any, depth int) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...), nil
	case bool:
		return strconv.AppendBool(b, v), nil
	case string:
		return appendString(b, v)
	case float64:
		return appendFloat(b, v)
	case float32:
		return appendFloat(b, float64(v))
	case map[string]any:
		return appendMap(b, v, depth+1)
	case []any:
		return appendSlice(b, v, depth+1)
	}
	if b, ok := appendInteger(b, v); ok {
		return b, nil
	}
	return nil, refusal{why: fmt.Sprintf("a %T behind an any would come back as another type; give the field that type, or keep it as %s", v, kinds)}
}

const kinds = "nil, bool, string, int64, uint64, float64, map[string]any or []any"

func appendInteger(b []byte, v any) ([]byte, bool) {
	switch v := v.(type) {
	case int:
		return strconv.AppendInt(b, int64(v), 10), true
	case int64:
		return strconv.AppendInt(b, v, 10), true
	case int32:
		return strconv.AppendInt(b, int64(v), 10), true
	case int16:
		return strconv.AppendInt(b, int64(v), 10), true
	case int8:
		return strconv.AppendInt(b, int64(v), 10), true
	case uint:
		return strconv.AppendUint(b, uint64(v), 10), true
	case uint64:
		return strconv.AppendUint(b, v, 10), true
	case uint32:
		return strconv.AppendUint(b, uint64(v), 10), true
	case uint16:
		return strconv.AppendUint(b, uint64(v), 10), true
	case uint8:
		return strconv.AppendUint(b, uint64(v), 10), true
	}
	return b, false
}

func appendString(b []byte, s string) ([]byte, error) {
	b, err := jsontext.AppendQuote(b, s)
	if err != nil {
		return nil, refusal{why: notUTF8}
	}
	return b, nil
}

func appendFloat(b []byte, f float64) ([]byte, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, refusal{why: fmt.Sprintf("JSON has no %v", f)}
	}
	form := byte('f')
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		form = 'e' // has an exponent, so it is no integer
	}
	begin := len(b)
	b = strconv.AppendFloat(b, f, form, -1, 64)
	if form == 'f' && f == math.Trunc(f) && string(b[begin:]) != "-0" {
		b = append(b, ".0"...)
	}
	return b, nil
}

func appendMap(b []byte, m map[string]any, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, refusal{why: tooDeep}
	}
	b = append(b, '{')
	for i, k := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = appendString(b, k); err != nil {
			return nil, refusal{why: "a key: " + notUTF8}
		}
		if b, err = appendAny(append(b, ':'), m[k], depth); err != nil {
			return nil, within("[…]", err)
		}
	}
	return append(b, '}'), nil
}

func appendSlice(b []byte, s []any, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, refusal{why: tooDeep}
	}
	b = append(b, '[')
	for i, v := range s {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = appendAny(b, v, depth); err != nil {
			return nil, within(fmt.Sprintf("[%d]", i), err)
		}
	}
	return append(b, ']'), nil
}

// decodeAny decodes what is behind an any, with exact integers.
func decodeAny(dec *jsontext.Decoder, v *any) (err error) {
	*v, err = readAny(dec)
	return err
}

func readAny(dec *jsontext.Decoder) (any, error) {
	t, err := dec.ReadToken()
	if err != nil {
		return nil, err
	}
	switch t.Kind() {
	case '"':
		return t.String(), nil
	case '0':
		return parseNumber(t.String())
	case 't', 'f':
		return t.Bool(), nil
	case '{':
		return readMap(dec)
	case '[':
		return readSlice(dec)
	}
	return nil, nil
}

func readMap(dec *jsontext.Decoder) (any, error) {
	m := map[string]any{}
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return nil, err
		}
		k := name.String() // the token ends with the next one
		if m[k], err = readAny(dec); err != nil {
			return nil, err
		}
	}
	_, err := dec.ReadToken()
	return m, err
}

func readSlice(dec *jsontext.Decoder) (any, error) {
	s := []any{}
	for dec.PeekKind() != ']' {
		v, err := readAny(dec)
		if err != nil {
			return nil, err
		}
		s = append(s, v)
	}
	_, err := dec.ReadToken()
	return s, err
}

func parseNumber(s string) (any, error) {
	if i, err := strconv.ParseInt(s, 10, 64); err == nil && s != "-0" {
		return i, nil
	}
	if u, err := strconv.ParseUint(s, 10, 64); err == nil {
		return u, nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return nil, refusal{why: "a number is out of range"}
	}
	return f, nil
}
