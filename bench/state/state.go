// Package state has the states that are measured: a struct with nested structs,
// a map and slices, in several shapes and sizes. Sizes are those of its JSON.
package state

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// An Order is one item of a State, about 100 bytes of JSON.
type Order struct {
	ID       string   `json:"id"`
	Symbol   string   `json:"symbol"`
	Price    float64  `json:"price"`
	Quantity int64    `json:"quantity"`
	Filled   bool     `json:"filled"`
	Tags     []string `json:"tags"`
}

// State is a typed state without help: it is encoded as JSON, under the lock.
type State struct {
	Name      string           `json:"name"`
	Count     int64            `json:"count"`
	Updated   int64            `json:"updated"`
	Orders    []Order          `json:"orders"`
	Offsets   map[string]int64 `json:"offsets"`
	Histogram []int64          `json:"histogram"`
}

// Sizes of the states that are measured.
const (
	KB = 1 << 10
	MB = 1 << 20
)

const (
	unit       = 955 // bytes of JSON that the items below make
	orders     = 7
	offsets    = 5
	histogram  = 12
	firstEpoch = 1_700_000_000_000
)

// New returns the state number seed of about size bytes of JSON.
func New(size, seed int) State {
	units := max(1, (size+unit/2)/unit)
	s := State{
		Name: fmt.Sprintf("component-%d", seed), Count: int64(seed), Updated: firstEpoch,
		Orders: make([]Order, 0, units*orders), Offsets: make(map[string]int64, units*offsets),
		Histogram: make([]int64, units*histogram),
	}
	for i := range units * orders {
		s.Orders = append(s.Orders, Order{
			ID: fmt.Sprintf("order-%08d", i), Symbol: "ABCD", Price: 100.25 + float64(i%1000)/8,
			Quantity: int64(10 + i), Filled: i%2 == 0, Tags: []string{"limit", "day"},
		})
	}
	for i := range units * offsets {
		s.Offsets[fmt.Sprintf("topic-%06d", i)] = int64(1_000_000 + i)
	}
	for i := range s.Histogram {
		s.Histogram[i] = int64(i * 37)
	}
	return s
}

// Touch changes s a little, in its middle and at its top.
func (s *State) Touch() {
	s.Count++
	s.Updated++
	s.Orders[len(s.Orders)/2].Quantity++
}

func (s *State) clone() State {
	c := *s
	c.Orders = slices.Clone(s.Orders)
	for i := range c.Orders {
		c.Orders[i].Tags = slices.Clone(c.Orders[i].Tags)
	}
	c.Offsets, c.Histogram = maps.Clone(s.Offsets), slices.Clone(s.Histogram)
	return c
}

// Cloned is a State with Clone: it is encoded as JSON, outside the lock.
type Cloned State

// Clone returns a copy that shares nothing with s.
func (s *Cloned) Clone() Cloned { return Cloned((*State)(s).clone()) }

// Touch is that of State.
func (s *Cloned) Touch() { (*State)(s).Touch() }

// Map is a state as programs without types keep it.
type Map = map[string]any

// NewMap returns the state number seed of about size bytes of JSON as a Map.
func NewMap(size, seed int) Map {
	data, err := json.Marshal(New(size, seed))
	if err != nil {
		panic(err)
	}
	m := Map{}
	if err := json.Unmarshal(data, &m); err != nil {
		panic(err)
	}
	m["count"], m["updated"] = int64(seed), int64(firstEpoch)
	return m
}

// TouchMap changes m like Touch changes a State.
func TouchMap(m Map) {
	m["count"] = m["count"].(int64) + 1
	m["updated"] = m["updated"].(int64) + 1
	items := m["orders"].([]any)
	item := items[len(items)/2].(map[string]any)
	item["quantity"] = item["quantity"].(float64) + 1
}
