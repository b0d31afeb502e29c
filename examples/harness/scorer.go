package main

import (
	"fmt"
	"maps"
	"math"

	"github.com/durablestate/durable"
)

// model is the scorer's version and what it remembers of each user.
type model struct {
	Version int
	Scored  int64
	Users   map[string]velocity
}

// velocity says how often a user paid lately.
type velocity struct {
	Count int64
	Last  int64   // event time
	Rate  float64 // transactions, fading with time
}

const (
	modelVersion = 3
	fade         = 300 // seconds
)

func (m *model) InitState() {
	if m.Users == nil {
		m.Users = map[string]velocity{}
	}
	m.Version = modelVersion // of this program, whatever was restored
}

// Clone keeps the pause of a checkpoint short: the copy is encoded while
// transactions go on.
func (m *model) Clone() model {
	c := *m
	c.Users = maps.Clone(m.Users)
	return c
}

// fraudScorer rates transactions by amount and velocity.
type fraudScorer struct {
	named
	durable.StatefulComponent[model]
}

func (f *fraudScorer) Process(t *transaction) bool {
	f.Update(func(m *model) {
		v := m.Users[t.User]
		idle := max(0, t.At-v.Last) // partitions are not in step
		v.Rate = v.Rate*math.Exp(-float64(idle)/fade) + 1
		v.Last = max(v.Last, t.At)
		v.Count++
		m.Users[t.User] = v
		m.Scored++
		t.Score = 1 - math.Exp(-t.Amount*v.Rate/400)
	})
	return true
}

// Audit implements stateful.
func (f *fraudScorer) Audit() (total int64, err error) {
	f.View(func(m *model) {
		var sum int64
		for user, v := range m.Users {
			sum += v.Count
			if v.Rate < 0 || v.Rate > float64(v.Count) || math.IsNaN(v.Rate) {
				err = fmt.Errorf("%s has a rate of %v after %d transactions", user, v.Rate, v.Count)
			}
		}
		if total = m.Scored; sum != total {
			err = fmt.Errorf("users have %d transactions, but %d were scored", sum, total)
		}
	})
	return total, err
}
