package main

import (
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/durablestate/durable"
)

// metrics counts results. Its state is a plain map, which needs no InitState.
type metrics struct {
	named
	durable.StatefulComponent[map[string]int64]
}

const processed = "processed"

func (m *metrics) Process(t *transaction) bool {
	result := "passed"
	switch {
	case t.Blocked:
		result = "blocked"
	case t.Alert:
		result = "alerted"
	}
	m.Update(func(n *map[string]int64) {
		(*n)[processed]++
		(*n)[result]++
	})
	return true
}

// Audit implements stateful.
func (m *metrics) Audit() (total int64, err error) {
	m.View(func(n *map[string]int64) {
		var sum int64
		for result, count := range *n {
			if result != processed {
				sum += count
			}
		}
		if total = (*n)[processed]; sum != total {
			err = fmt.Errorf("%d results of %d transactions", sum, total)
		}
	})
	return total, err
}

// auditSink writes alerts down.
type auditSink struct {
	named
	log *slog.Logger
}

func (a *auditSink) Process(t *transaction) bool {
	if t.Alert {
		a.log.Debug("alert", "transaction", t.ID, "user", t.User, "country", t.Country, "score", t.Score)
	}
	return true
}

// dashboard shows now and then how it goes. What it counts is of this process
// only, and not worth keeping.
type dashboard struct {
	named
	log   *slog.Logger
	count atomic.Int64
	shown atomic.Int64 // seconds
}

func (d *dashboard) Process(*transaction) bool {
	n, now := d.count.Add(1), time.Now().Unix()
	if last := d.shown.Load(); now >= last+10 && d.shown.CompareAndSwap(last, now) {
		d.log.Info("processing", "transactions", n)
	}
	return true
}
