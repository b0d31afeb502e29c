package state_test

import (
	"encoding/json"
	"testing"

	"github.com/durablestate/durable/bench/state"
)

func TestState_is_about_as_long_as_asked_for(t *testing.T) {
	for _, size := range []int{state.KB, 16 * state.KB, state.MB} {
		data, err := json.Marshal(state.New(size, 1))
		if err != nil {
			t.Fatal(err)
		}
		if n := len(data); n < size*95/100 || n > size*110/100 {
			t.Errorf("%d bytes of JSON, not about %d", n, size)
		}
	}
}

func TestState_comes_back_from_its_binary_form(t *testing.T) {
	in := state.Binary(state.New(state.KB, 7))
	in.Touch()
	data, err := in.MarshalState()
	if err != nil {
		t.Fatal(err)
	}
	var out state.Binary
	if err := out.UnmarshalState(data); err != nil {
		t.Fatal(err)
	}
	want, _ := json.Marshal(in)
	got, _ := json.Marshal(out)
	if string(got) != string(want) {
		t.Errorf("got %s, want %s", got, want)
	}
	for n := range data {
		if new(state.Binary).UnmarshalState(data[:n]) == nil {
			t.Fatalf("the first %d bytes of %d pass for a state", n, len(data))
		}
	}
}

func TestState_a_clone_keeps_what_it_was(t *testing.T) {
	s := state.Cloned(state.New(state.KB, 1))
	c := s.Clone()
	before, _ := json.Marshal(c)
	s.Touch()
	s.Offsets["new"], s.Histogram[0], s.Orders[0].Tags[0] = 1, 99, "changed"
	if after, _ := json.Marshal(c); string(after) != string(before) {
		t.Error("the clone changed with its original")
	}
}
