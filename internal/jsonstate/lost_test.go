package jsonstate_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/jsonstate"
)

type holder[T any] struct{ Field T }

func hold[T any](v T) any { return &holder[T]{v} }

// outcome says what becomes of a state: "type: …", "value: …" or "" if it came back.
func outcome(t *testing.T, state any) string {
	t.Helper()
	typ := reflect.TypeOf(state).Elem()
	if err := jsonstate.Check(typ); err != nil {
		return "type: " + err.Error()
	}
	data, err := jsonstate.Marshal(state)
	if err != nil {
		require.NotContains(t, err.Error(), secret)
		return "value: " + err.Error()
	}
	back := reflect.New(typ)
	unknown, err := jsonstate.Unmarshal(data, back.Interface())
	require.NoError(t, err, "acknowledged and not readable: %s", data)
	require.Empty(t, unknown)
	at, differs := told(reflect.ValueOf(state).Elem(), back.Elem(), false)
	require.False(t, differs, "%s came back as another value: %s", at, data)
	return ""
}

func chainOf(n int) (first *node) {
	for range n {
		first = &node{first}
	}
	return first
}

// withTag returns a struct whose field A has the tag, which no source may have.
func withTag(field reflect.Type, tag reflect.StructTag) any {
	return reflect.New(reflect.StructOf([]reflect.StructField{{Name: "A", Type: field, Tag: tag}})).Interface()
}

func TestNothingThatWouldChangeIsAcknowledged(t *testing.T) {
	minute := time.Unix(1_800_000_000, 0)
	chain := chainOf(12_000)
	var nested any
	for range 12_000 {
		nested = []any{nested}
	}
	circle := &node{}
	circle.Next = circle
	none, half := []int(nil), 21.54
	for name, c := range map[string]struct {
		state any
		want  string
	}{
		"a chain of 12,000":                                {hold(chain), "value: cannot encode field Field.Next"},
		"lists 12,000 deep":                                {hold(nested), "value: cannot encode field Field[0]"},
		"a circle":                                         {hold(circle), "value: cannot encode field Field.Next"},
		"a number that is too large":                       {hold[any](json.Number("1e400")), "value: cannot encode field Field: a json.Number behind an any"},
		"a key with one direction":                         {hold(map[level]int{1: 1}), "type: field Field"},
		"a key of a local time":                            {hold(map[time.Time]int{minute.In(time.FixedZone("x", 60)): 1}), "value: cannot encode field Field: a key"},
		"keys that round":                                  {hold(map[rounded]int{{21.51}: 1, {21.54}: 2}), "value: cannot encode field Field: a key"},
		"keys that are not UTF-8":                          {hold(map[rawID]int{{0xff}: 1, {0xfe}: 2}), "value: cannot encode field Field: it is not valid UTF-8"},
		"keys that are pointers":                           {hold(map[*big.Int]int{big.NewInt(7): 1}), "type: field Field"},
		"a key that is no number":                          {hold(map[float64]int{math.NaN(): 1}), "type: field Field"},
		"unexported fields behind an any":                  {hold[any](unexported{1}), "value: cannot encode field Field"},
		"a type behind an any":                             {hold[any](label("x")), "value: cannot encode field Field"},
		"bytes behind an any":                              {hold[any]([]byte("x")), "value: cannot encode field Field"},
		"a time behind an any":                             {hold[any](minute), "value: cannot encode field Field"},
		"a nil pointer behind an any":                      {hold[any]((*int)(nil)), "value: cannot encode field Field"},
		"a typed map deep behind an any":                   {hold[any](map[string]any{secret: []any{1, map[string]int{}}}), "value: cannot encode field Field[…][1]"},
		"text that is not UTF-8":                           {hold(map[string][]string{secret: {"a\x80b"}}), "value: cannot encode field Field[…][0]"},
		"a big.Float":                                      {hold(big.NewFloat(0.1)), "type: field Field"},
		"a zone with seconds":                              {hold(minute.In(time.FixedZone("LMT", 19*60+32))), "value: cannot encode field Field: JSON loses the seconds"},
		"a value that rounds":                              {hold(rounded{21.54}), "value: cannot encode field Field"},
		"an unexported time that rounds":                   {hold(day{minute}), "value: cannot encode field Field"},
		"JSON that leaves a field out":                     {hold(lossy{1, 2}), "value: cannot encode field Field"},
		"JSON that cannot be read":                         {hold(deaf{}), "value: cannot encode field Field"},
		"JSON that is none":                                {hold(broken{}), "value: cannot encode field Field"},
		"a name twice":                                     {hold(twins{}), "value: cannot encode field Field"},
		"a tag that JSON ignores":                          {withTag(reflect.TypeFor[int](), `json:"a'b"`), "type: "},
		"a tag without quotes":                             {withTag(reflect.TypeFor[int](), "json:a"), "type: field A"},
		"two fields of one name":                           {&both{}, "type: field right.ID"},
		"a part that its JSON leaves out, beside a cache":  {hold(indexed{A: 1, B: 2, index: map[string]int{"a": 1}}), "value: cannot encode field Field"},
		"a part left out, beside a pointer to a lock":      {hold(logged{A: 1, B: 2, log: &guarded{}}), "value: cannot encode field Field"},
		"an unexported map of which JSON has the keys":     {hold(tally{map[string]int{secret: 2}}), "value: cannot encode field Field"},
		"a value behind an unexported pointer that rounds": {hold(boxed{&half}), "value: cannot encode field Field"},
		"an order that is taken for equality":              {hold(job{1, "a"}), "value: cannot encode field Field"},
		"methods of an embedded pointer":                   {&struct{ *time.Time }{&minute}, "type: field Time"},
		"a method that names what it refuses":              {hold([]telltale{secret}), "value: cannot encode field Field[0]: a method of jsonstate_test.telltale that writes it returned an error (*errors.errorString)"},
		"a key that names itself":                          {hold(map[jsonKeyed]int{{secret}: 1}), "value: cannot encode field Field: a method of jsonstate_test.jsonKeyed"},
		"an address that names itself":                     {hold(net.IP(secret)), "value: cannot encode field Field: a method of net.IP"},
		"what IsZero wrongly says is zero":                 {&hasZero{zeroish{-1}}, "value: cannot encode field Z"},
		"an option without a meaning":                      {withTag(reflect.TypeFor[[]int](), `json:",string"`), "type: field A"},
		"a pointer to nil":                                 {hold(&none), "value: cannot encode field Field"},
		"a pointer to what is null":                        {hold(&nullable{}), "value: cannot encode field Field"},
		"an embedded pointer to nothing":                   {&withQuiet{&Quiet{}}, "value: cannot encode field Quiet"},
		"an embedded unexported pointer":                   {&withHidden{&base{1}}, "type: field base"},
		"null as raw JSON":                                 {hold(json.RawMessage("null")), "value: cannot encode field Field"},
		"raw JSON that is none":                            {hold(json.RawMessage(secret)), "value: cannot encode field Field"},
		"an interface of its own":                          {hold[value](1), "type: field Field"},
		"a key that two texts mean":                        {hold(map[upper]int{"a": 1, "A": 2}), "value: cannot encode field Field: a key"},
	} {
		got := outcome(t, c.state)
		require.True(t, strings.HasPrefix(got, c.want) && c.want != "", "%s: %q", name, got)
	}
}

func TestWhatIsOrdinaryIsAccepted(t *testing.T) {
	utc := time.Unix(1_800_000_000, 5).UTC()
	text := "null"
	for name, state := range map[string]any{
		"nil raw JSON":                  hold(json.RawMessage(nil)),
		"raw JSON with space in it":     hold(json.RawMessage(`{ "a": "\u00e9" }`)),
		"an empty number":               hold(json.Number("")),
		"a number as it was written":    hold(json.Number("1.50e+400")),
		"times of many kinds":           hold([]time.Time{{}, utc, utc.In(time.FixedZone("", -3600*11)), time.Now()}),
		"times as keys":                 hold(map[time.Time]int{utc: 1, {}: 2}),
		"numbers behind an any":         hold([]any{1.0, math.Copysign(0, -1), 1e20, 1e21, 5, uint64(math.MaxUint64), int64(math.MinInt64), 0.1, float32(0.1)}),
		"nil and empty":                 hold([]map[string][]byte{nil, {}, {"a": nil, "b": {}}}),
		"floats":                        hold([]float64{math.Copysign(0, -1), math.MaxFloat64, 5e-324}),
		"a map with big integers":       hold(map[string]big.Int{"a": *big.NewInt(7), "zero": {}}),
		"a fraction that was never set": hold([]big.Rat{{}, *big.NewRat(1, 3)}),
		"null, sometimes":               hold([]nullable{{}, {5, true}}),
		"methods of the pointer":        hold(map[string]pointed{"a": {1}}),
		"a cache":                       hold(cached{3, map[string]int{"x": 1}}),
		"a lock":                        hold(&guarded{n: 3}),
		"the text null": &struct {
			P *string `json:",string"`
		}{&text},
		"a pointer that is nil":                      hold((*nullable)(nil)),
		"an embedded pointer":                        &[]withPointer{{}, {&Base{}}},
		"a cache that is not filled when it is read": hold(indexed{A: 1, index: map[string]int{"a": 1}}),
		"options that are in every other program":    &[]frequent{{}, {Tags: []string{"a"}, Left: map[string]int{"a": 1}, At: utc, Next: &frequent{Name: "b"}}},
		"a set with a lock, in any order":            hold(&guardedSet{m: map[string]bool{"a": true, "b": true, "c": true, "d": true, "e": true, "f": true, "g": true}}),
		"a chain of 9,000":                           &node{&node{}},
		"a root that is nil":                         new(map[string]any),
	} {
		require.Empty(t, outcome(t, state), name)
	}
}

func TestFieldsThatTheProgramDoesNotKnowAreNamed(t *testing.T) {
	type order struct {
		ID   int
		Tags map[string]struct{ N int }
	}
	type state struct {
		Orders map[string]*order
		List   [2]order `json:"list"`
		Any    any
	}
	unknown, err := jsonstate.Unmarshal([]byte(`{"New":1,"Any":{"New":1},"list":[{"ID":1,"Note":"x"},{"id":2}],
		"Orders":{"alice@example.com":{"ID":1,"Note":"x","Tags":{"bob":{"M":1}},"alice@example.com":{"a":1}}}}`), new(state))
	require.NoError(t, err)
	require.Equal(t, []string{"New", "Orders[…].Note", "Orders[…].Tags[…].M", "Orders[…].…", "list[].Note", "list[].id"}, unknown)

	var many []string
	for i := range 30 {
		many = append(many, fmt.Sprintf(`"F%02d":1`, i), `"`+strings.Repeat("x", 100+i)+`":1`)
	}
	unknown, err = jsonstate.Unmarshal([]byte("{"+strings.Join(many, ",")+"}"), new(struct{ A int }))
	require.NoError(t, err)
	require.Len(t, unknown, 21)
	require.Equal(t, "…", unknown[20])
	for _, path := range unknown {
		require.Less(t, len(path), 65)
	}
}

func TestAnEmbeddedPointerToNothingIsNotTakenForNil(t *testing.T) {
	type Inside struct {
		N *int `json:",omitempty"`
	}
	type Outside struct{ Inside }
	for _, state := range []any{hold(struct{ *Inside }{&Inside{}}), hold(struct{ *Outside }{&Outside{}}), hold(struct{ *Quiet }{&Quiet{}})} {
		require.Contains(t, outcome(t, state), "value: cannot encode field Field")
	}
	for _, state := range []any{hold(struct{ *Base }{&Base{}}), hold(struct{ *Inside }{}), hold(struct{ *Outside }{&Outside{Inside{new(int)}}})} {
		require.Empty(t, outcome(t, state))
	}
}
