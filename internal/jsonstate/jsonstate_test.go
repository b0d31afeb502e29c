package jsonstate_test

import (
	"fmt"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/jsonstate"
)

type inner struct{ Any any }

func unmarshal(data []byte, v any) error {
	_, err := jsonstate.Unmarshal(data, v)
	return err
}

type outer struct {
	inner
	P    *inner
	L    []any
	M    map[int]any
	A    [2]inner
	Deep map[string]map[string]any
	T    time.Time
}

func TestNumbersAreExactWhereverAnAnyIs(t *testing.T) {
	n := int64(math.MaxInt64 - 1)
	in := outer{
		inner: inner{n}, P: &inner{n}, L: []any{n, []any{n}}, M: map[int]any{1: n},
		A: [2]inner{{n}, {map[string]any{"x": n}}}, Deep: map[string]map[string]any{"a": {"b": n}}, T: time.Unix(1, 2).UTC(),
	}
	data, err := jsonstate.Marshal(&in)
	require.NoError(t, err)
	var back outer
	require.NoError(t, unmarshal(data, &back))
	require.Equal(t, in, back)
}

func TestANumberIsInt64OrUint64OrFloat64(t *testing.T) {
	for text, want := range map[string]any{
		"0": int64(0), "-0": math.Copysign(0, -1), "1.0": 1.0, "1e3": 1000.0, "-5": int64(-5),
		"9223372036854775807": int64(math.MaxInt64), "9223372036854775808": uint64(1 << 63),
		"18446744073709551615": uint64(math.MaxUint64), "18446744073709551616": float64(1 << 64),
	} {
		var v any
		require.NoError(t, unmarshal([]byte(text), &v))
		require.Equal(t, fmt.Sprintf("%T %v", want, want), fmt.Sprintf("%T %v", v, v), text)
	}
	var v any
	require.Error(t, unmarshal([]byte("1e999"), &v))
}

func TestTheErrorNamesTheFieldThatJSONCannotHold(t *testing.T) {
	type state struct {
		M map[string][]any
		P *inner
	}
	for want, s := range map[string]state{
		`field M[…][1]`: {M: map[string][]any{"k": {1, math.NaN()}}},
		"field P.Any":   {P: &inner{make(chan int)}},
	} {
		_, err := jsonstate.Marshal(&s)
		require.ErrorContains(t, err, want)
	}
	loop := map[string]any{}
	loop["self"] = loop
	_, err := jsonstate.Marshal(&loop)
	require.ErrorContains(t, err, "refers to itself")
	require.Less(t, len(err.Error()), 400)
	inf := math.Inf(1)
	_, err = jsonstate.Marshal(&inf)
	require.ErrorContains(t, err, "the state")
}

func TestNoErrorRepeatsTheState(t *testing.T) {
	type state struct {
		N int8
		T time.Time
		S string
	}
	for _, data := range []string{`{"N":4711}`, `{"T":"s3cret"}`, `{"S":4711}`, `s3cret`, `{"S":"s3cret`} {
		var s state
		err := unmarshal([]byte(data), &s)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "4711")
		require.NotContains(t, err.Error(), "s3cret")
	}
}

type (
	tree map[string]tree
	list []list
)

func TestTypesThatHoldThemselvesAreDecoded(t *testing.T) {
	var s struct {
		Tree tree
		List *list
		Any  map[string]any
	}
	require.NoError(t, unmarshal([]byte(`{"Tree":{"a":{"b":{}}},"List":[[],[[]]],"Any":{"n":1}}`), &s))
	require.Equal(t, tree{"a": {"b": {}}}, s.Tree)
	require.Equal(t, &list{{}, {{}}}, s.List)
	require.Equal(t, map[string]any{"n": int64(1)}, s.Any)
	var all tree
	require.NoError(t, unmarshal([]byte(`{"a":{"b":{}}}`), &all))
	require.Equal(t, s.Tree, all)
}

func TestMoreThanOneValueIsRefusedWhateverTheType(t *testing.T) {
	var exact struct{ N int }
	var loose map[string]any
	for _, rest := range []string{` {"N":2}`, ` x`, `}`} {
		require.ErrorContains(t, unmarshal([]byte(`{"N":1}`+rest), &exact), "more than one JSON value")
		require.ErrorContains(t, unmarshal([]byte(`{"N":1}`+rest), &loose), "more than one JSON value")
	}
	require.NoError(t, unmarshal([]byte("{\"N\":1} \n"), &exact))
	require.Equal(t, 1, exact.N)
}

func TestCheckAcceptsEmbeddedStructsAndRefusesWhatTheyHide(t *testing.T) {
	type hidden struct{ n int }
	_ = hidden{}.n
	require.NoError(t, jsonstate.Check(reflect.TypeFor[outer]()))
	require.Error(t, jsonstate.Check(reflect.TypeFor[struct{ hidden }]()))
	require.Error(t, jsonstate.Check(reflect.TypeFor[struct{ *inner }]()), "an unexported embedded pointer cannot be read back")
}

func TestCheckRefusesTwoFieldsOfOneName(t *testing.T) {
	twice := reflect.StructOf([]reflect.StructField{
		{Name: "A", Type: reflect.TypeFor[int](), Tag: `json:"n"`},
		{Name: "B", Type: reflect.TypeFor[int](), Tag: `json:"n"`},
	})
	require.ErrorContains(t, jsonstate.Check(twice), `A has the same name "n"`)
}

func TestAnArrayOfAnotherLengthIsNotCutOff(t *testing.T) {
	for _, data := range []string{`{"A":[1]}`, `{"A":[1,2,3]}`} {
		require.EqualError(t, unmarshal([]byte(data), &struct{ A [2]int }{}), "cannot decode field A: its type [2]int has another length; let MigrateState see to it")
	}
}
