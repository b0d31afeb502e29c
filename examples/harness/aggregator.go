package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"github.com/durablestate/durable"
)

const (
	windowSeconds = 300
	openWindows   = 2
	highRisk      = 0.8
)

// windows holds the risk of each user in the newest windows of event time.
type windows struct {
	Accepted int64
	Late     int64    // came after their window was closed
	Closed   int64    // were in windows that are closed
	Open     []window // by time
}

type window struct {
	Start int64
	Users map[string]risk
}

// risk is what happened to one user in one window.
type risk struct {
	Count, High int64
	Sum, Max    float64 // of scores
}

// Clone keeps the pause of a checkpoint short.
func (w *windows) Clone() windows {
	c := *w
	c.Open = slices.Clone(w.Open)
	for i := range c.Open {
		c.Open[i].Users = maps.Clone(c.Open[i].Users)
	}
	return c
}

// at returns the window that begins at start, which it opens if need be, and nil
// when it is closed already.
func (w *windows) at(start int64) *window {
	i, found := slices.BinarySearchFunc(w.Open, start, func(o window, s int64) int { return int(o.Start - s) })
	if found {
		return &w.Open[i]
	}
	if len(w.Open) >= openWindows && i == 0 {
		return nil
	}
	w.Open = slices.Insert(w.Open, i, window{start, map[string]risk{}})
	if len(w.Open) > openWindows {
		w.Closed += w.Open[0].count()
		w.Open = slices.Delete(w.Open, 0, 1)
		i--
	}
	return &w.Open[i]
}

func (w *window) count() (n int64) {
	for _, r := range w.Users {
		n += r.Count
	}
	return n
}

// riskAggregator adds scores up by user and window.
type riskAggregator struct {
	named
	durable.StatefulComponent[windows]
}

func (a *riskAggregator) Process(t *transaction) bool {
	a.Update(func(w *windows) {
		w.Accepted++
		open := w.at(t.At - t.At%windowSeconds)
		if open == nil {
			w.Late++
			return
		}
		r := open.Users[t.User]
		r.Count++
		r.Sum += t.Score
		r.Max = max(r.Max, t.Score)
		if t.Score >= highRisk {
			r.High++
		}
		open.Users[t.User] = r
	})
	return true
}

// Sum returns a checksum of how many transactions each user has in each window,
// which does not depend on their order.
func (a *riskAggregator) Sum() string {
	h := sha256.New()
	a.View(func(w *windows) {
		fmt.Fprintln(h, w.Accepted, w.Late, w.Closed)
		for _, open := range w.Open {
			for _, user := range slices.Sorted(maps.Keys(open.Users)) {
				fmt.Fprintln(h, open.Start, user, open.Users[user].Count)
			}
		}
	})
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// Audit implements stateful.
func (a *riskAggregator) Audit() (total int64, err error) {
	a.View(func(w *windows) {
		sum := w.Late + w.Closed
		for i, open := range w.Open {
			sum += open.count()
			if open.Start%windowSeconds != 0 || i > 0 && open.Start <= w.Open[i-1].Start {
				err = fmt.Errorf("window %d begins at %d", i, open.Start)
			}
			for user, r := range open.Users {
				if r.Count < 1 || r.High > r.Count || r.Max > 1 || r.Sum > r.Max*float64(r.Count)+1e-6 {
					err = fmt.Errorf("window %d, %s: %+v", open.Start, user, r)
				}
			}
		}
		if total = w.Accepted; sum != total {
			err = fmt.Errorf("windows have %d transactions, but %d were accepted", sum, total)
		}
	})
	return total, err
}
