package main

import (
	"fmt"
	"slices"

	"github.com/durablestate/durable"
)

const recentAlerts = 1000

// alerts is what was sent lately, so that nobody is told twice.
type alerts struct {
	Sent, Suppressed int64
	Recent           []string // oldest first

	seen map[string]bool `json:"-"` // Recent as a set, which JSON would be slow to write
}

// InitState builds the set, which is not stored, from the list, which is.
func (a *alerts) InitState() {
	a.seen = make(map[string]bool, len(a.Recent))
	for _, key := range a.Recent {
		a.seen[key] = true
	}
}

// Clone copies what is stored.
func (a *alerts) Clone() alerts {
	return alerts{Sent: a.Sent, Suppressed: a.Suppressed, Recent: slices.Clone(a.Recent)}
}

// alertRouter sends at most one alert for each user and window.
type alertRouter struct {
	named
	durable.StatefulComponent[alerts]
}

func (r *alertRouter) Process(t *transaction) bool {
	if !t.Blocked && t.Score < highRisk {
		return true
	}
	key := fmt.Sprintf("%s/%d", t.User, t.At/windowSeconds)
	r.Update(func(a *alerts) {
		if a.seen[key] {
			a.Suppressed++
			return
		}
		if len(a.Recent) == recentAlerts {
			delete(a.seen, a.Recent[0])
			a.Recent = slices.Delete(a.Recent, 0, 1)
		}
		a.Recent = append(a.Recent, key)
		a.seen[key] = true
		a.Sent++
		t.Alert = true
	})
	return true
}

// Audit implements stateful.
func (r *alertRouter) Audit() (total int64, err error) {
	r.View(func(a *alerts) {
		total = a.Sent + a.Suppressed
		if len(a.seen) != len(a.Recent) || int64(len(a.Recent)) != min(a.Sent, recentAlerts) {
			err = fmt.Errorf("%d alerts sent, %d in the list, %d in the set", a.Sent, len(a.Recent), len(a.seen))
		}
	})
	return total, err
}
