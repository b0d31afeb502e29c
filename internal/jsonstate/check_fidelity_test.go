package jsonstate_test

import (
	"encoding/json"
	"fmt"
	"math/big"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/jsonstate"
)

type (
	stamped struct { // MarshalJSON of time.Time is promoted and drops Note
		time.Time
		Note string
	}
	peer struct { // MarshalText of netip.Addr is promoted and drops Port
		netip.Addr
		Port int
	}
	deeper struct{ *stamped }
	only   struct{ time.Time }
	half   struct { // writes all, reads back the time only
		time.Time
		Note string
	}
	whole struct {
		time.Time
		Note string
	}
	twice struct { // neither is promoted, so JSON looks into time.Time and finds nothing
		time.Time
		netip.Addr
	}
	left  struct{ ID string }
	right struct{ ID int }
	both  struct { // JSON drops both IDs
		left
		right
	}
	hiding struct { // JSON drops left.ID
		left
		ID int
	}
	named struct {
		L left `json:"l"`
		left
	}
	level int
	grade string
)

func (h half) MarshalJSON() ([]byte, error) { return json.Marshal([]any{h.Time, h.Note}) }

func (w whole) MarshalJSON() ([]byte, error) { return json.Marshal([]any{w.Time, w.Note}) }
func (w *whole) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&w.Time, &w.Note})
}

func (l level) MarshalText() ([]byte, error)  { return fmt.Appendf(nil, "level-%d", int(l)), nil }
func (g *grade) UnmarshalText(b []byte) error { *g = grade(strings.ToLower(string(b))); return nil }

func TestCheckRefusesWhatJSONDropsBehindTheBackOfAType(t *testing.T) {
	for want, typ := range map[string]reflect.Type{
		"Note":      reflect.TypeFor[stamped](),
		"Port":      reflect.TypeFor[map[string][]peer](),
		"stamped":   reflect.TypeFor[struct{ A deeper }](),
		"Unmarsh":   reflect.TypeFor[half](),
		"Time":      reflect.TypeFor[twice](),
		"wall":      reflect.TypeFor[ambiguous](),
		`"ID"`:      reflect.TypeFor[both](),
		`"ID" `:     reflect.TypeFor[hiding](),
		"precision": reflect.TypeFor[map[string][2]big.Float](),
		"map key":   reflect.TypeFor[map[level]int](),
		"map key ":  reflect.TypeFor[map[grade]int](),
	} {
		require.ErrorContains(t, jsonstate.Check(typ), strings.TrimSpace(want), typ)
	}
}

type ambiguous struct { // no method is promoted, so JSON looks into time.Time and finds nothing
	time.Time
	big.Int
}

type generic[V any] struct {
	time.Time
	V V
}

func (g generic[V]) MarshalJSON() ([]byte, error)  { return json.Marshal([]any{g.Time, g.V}) }
func (g *generic[V]) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &[]any{&g.Time, &g.V}) }

func TestCheckAcceptsWhatComesBackWhole(t *testing.T) {
	for _, typ := range []reflect.Type{
		reflect.TypeFor[only](), reflect.TypeFor[whole](), reflect.TypeFor[named](),
		reflect.TypeFor[map[string]*big.Int](), reflect.TypeFor[map[string][]big.Int](), reflect.TypeFor[map[string]big.Int](), reflect.TypeFor[big.Int](),
		reflect.TypeFor[map[netip.Addr]time.Time](), reflect.TypeFor[map[string]json.Number](),
		reflect.TypeFor[[]json.RawMessage](), reflect.TypeFor[int](), reflect.TypeFor[any](), reflect.TypeFor[*left](),
		reflect.TypeFor[struct{ big.Int }](), reflect.TypeFor[generic[int]](),
	} {
		require.NoError(t, jsonstate.Check(typ), typ)
	}
}

func TestTextThatIsNotUTF8IsRefusedAndNotBent(t *testing.T) {
	type state struct {
		Seen map[string]bool
		Tags []string
		Any  any
	}
	for want, s := range map[string]state{
		`Seen`:    {Seen: map[string]bool{"\xff1": true, "\xff2": true}}, // one key in JSON
		`Tags[1]`: {Tags: []string{"ok", "a\x80b"}},
		`Any[…]`:  {Any: map[string]any{"k": "\xc3"}},
	} {
		_, err := jsonstate.Marshal(&s)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "UTF-8")
		require.NotContains(t, err.Error(), "\xff")
	}
	fine := state{Tags: []string{"\ufffd", `\ufffd`, "é"}, Seen: map[string]bool{"\ufffd": true}}
	data, err := jsonstate.Marshal(&fine)
	require.NoError(t, err)
	var back state
	require.NoError(t, unmarshal(data, &back))
	require.Equal(t, fine, back)
}
