package jsonstate_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/jsonstate"
	"github.com/durablestate/durable/internal/trial"
)

func TestMain(m *testing.M) { os.Exit(trial.Main(m)) }

// codec is what the trial below is made of.
type codec struct {
	check     func(reflect.Type) error
	marshal   func(v any) ([]byte, error)
	unmarshal func(data []byte, v any) ([]string, error)
}

var ours = codec{jsonstate.Check, jsonstate.Marshal, jsonstate.Unmarshal}

// verdict of one value: it came back, or it was refused in time.
type verdict int

const (
	cameBack verdict = iota
	refusedType
	refusedValue
)

// try sends a random value of type t through c. The promise: the type is refused,
// or the value is, or what comes back cannot be told from it.
func (c codec) try(t reflect.Type, d *dice) (v verdict, err error) {
	value := reflect.New(t)
	d.fill(value.Elem(), 0)
	data, err := c.marshal(value.Interface())
	if err != nil {
		if strings.Contains(err.Error(), secret) {
			return refusedValue, fmt.Errorf("the error repeats the state: %w", err)
		}
		return refusedValue, nil
	}
	back := reflect.New(t)
	unknown, err := c.unmarshal(data, back.Interface())
	switch {
	case err != nil:
		return cameBack, fmt.Errorf("acknowledged, and cannot be read: %w: %s", err, data)
	case len(unknown) > 0:
		return cameBack, fmt.Errorf("acknowledged, and not known: %s: %s", unknown, data)
	}
	if at, differs := told(value.Elem(), back.Elem(), false); differs {
		return cameBack, fmt.Errorf("state%s comes back as another value: %s", at, data)
	}
	return cameBack, nil
}

// tryOne makes a type and a value of it from d.
func (c codec) tryOne(d *dice) error {
	t := d.typ(0)
	if c.check(t) != nil {
		return nil
	}
	if _, err := c.try(t, d); err != nil {
		return fmt.Errorf("%s: %w", t, err)
	}
	return nil
}

// FuzzWhatIsEncodedComesBack makes types and values from its input.
func FuzzWhatIsEncodedComesBack(f *testing.F) {
	for seed := range uint64(200) {
		f.Add(binary.LittleEndian.AppendUint64(nil, seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		require.NoError(t, ours.tryOne(diceOf(data)))
	})
}

// TestWhatIsEncodedComesBack is the same without a fuzzer: 500 types, or as many as
// DURABLE_TYPES says, with 100 values of each.
func TestWhatIsEncodedComesBack(t *testing.T) {
	types, each := 500, 100
	if n, err := strconv.Atoi(os.Getenv("DURABLE_TYPES")); err == nil {
		types = n
	}
	tr := trial.Begin(t)
	d := &dice{rnd: tr.Random}
	counts := map[verdict]int{}
	distinct := map[reflect.Type]bool{}
	for counts[cameBack]+counts[refusedValue] < types*each {
		typ := d.typ(0)
		if ours.check(typ) != nil {
			counts[refusedType]++
			continue
		}
		distinct[typ] = true
		for range each {
			v, err := ours.try(typ, d)
			require.NoError(tr, err, typ)
			counts[v]++
		}
	}
	t.Logf("%d types accepted (%d different) and %d refused; %d values came back and %d were refused",
		(counts[cameBack]+counts[refusedValue])/each, len(distinct), counts[refusedType], counts[cameBack], counts[refusedValue])
	require.Greater(tr, counts[cameBack], counts[refusedValue]/4, "nearly everything is refused: the trial says nothing")
}

// TestTheTrialFindsWhatEncodingJSONLoses shows that the trial can fail.
func TestTheTrialFindsWhatEncodingJSONLoses(t *testing.T) {
	theirs := codec{
		check:   func(reflect.Type) error { return nil },
		marshal: func(v any) ([]byte, error) { return json.Marshal(v) },
		unmarshal: func(data []byte, v any) ([]string, error) {
			return nil, json.Unmarshal(data, v)
		},
	}
	found := 0
	for seed := range uint64(1000) {
		if theirs.tryOne(&dice{rnd: rand.New(rand.NewPCG(seed, 1))}) != nil {
			found++
		}
	}
	require.Greater(t, found, 100)
}
