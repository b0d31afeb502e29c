package otel

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/durablestate/durable"
)

// Observe has the status and the health of cp reported whenever metrics are
// collected, until stop is called. Call it once for each Checkpointer, as soon as
// there is one: it does not wait for the store or a component. A component that
// was never saved and has changed counts as old as the observation.
func (t *Telemetry) Observe(cp *durable.Checkpointer) (stop func() error, err error) {
	m := &maker{meter: t.meter}
	o := &observation{
		t: t, cp: cp, begin: time.Now(),
		age:     m.age("durable.checkpoint.age", "Time since the stored copy was last known to be current."),
		all:     m.gauge("durable.components", "{component}", "Components that are registered."),
		changed: m.gauge("durable.components.changed", "{component}", "Components with a change that is not stored."),
		failing: m.gauge("durable.components.failing", "{component}", "Components whose last attempt to be saved failed."),
		size:    m.gauge("durable.state.size", "By", "Size of the last saves."),
		status:  m.gauge("durable.status", "{status}", "1 for the state that the Checkpointer is in, 0 for the others."),
	}
	if err := errors.Join(m.errs...); err != nil {
		return nil, err
	}
	r, err := t.meter.RegisterCallback(o.observe, o.age, o.all, o.changed, o.failing, o.size, o.status)
	if err != nil {
		return nil, err
	}
	return r.Unregister, nil
}

type observation struct {
	t     *Telemetry
	cp    *durable.Checkpointer
	begin time.Time

	age                                 metric.Float64ObservableGauge
	all, changed, failing, size, status metric.Int64ObservableGauge
}

func (o *observation) observe(_ context.Context, to metric.Observer) error {
	components := o.cp.Status()
	o.observeStatus(to)
	if !o.t.opts.PerComponent {
		o.observeTotals(to, "", components)
		return nil
	}
	for i, c := range components {
		o.observeTotals(to, c.ComponentID, components[i:i+1])
	}
	return nil
}

func (o *observation) observeTotals(to metric.Observer, id string, components []durable.ComponentStatus) {
	var oldest time.Duration
	var changed, failing, size int64
	for _, c := range components {
		oldest = max(oldest, o.ageOf(c))
		size += int64(c.Bytes)
		if c.Changed {
			changed++
		}
		if c.Err != nil {
			failing++
		}
	}
	attrs := o.t.about(id)
	to.ObserveFloat64(o.age, oldest.Seconds(), attrs)
	to.ObserveInt64(o.all, int64(len(components)), attrs)
	to.ObserveInt64(o.changed, changed, attrs)
	to.ObserveInt64(o.failing, failing, attrs)
	to.ObserveInt64(o.size, size, attrs)
}

func (o *observation) ageOf(c durable.ComponentStatus) time.Duration {
	if c.Age == 0 && c.Changed {
		return time.Since(o.begin)
	}
	return c.Age
}

const statusState = attribute.Key("durable.status.state")

// states are all that a Checkpointer can be in.
var states = []string{"ready", "standby", "outage", "superseded", "not_restored", "closed"}

func (o *observation) observeStatus(to metric.Observer) {
	current := stateOf(o.cp.Health())
	for _, s := range states {
		var is int64
		if s == current {
			is = 1
		}
		to.ObserveInt64(o.status, is, o.t.attributes(statusState.String(s)))
	}
}

// stateOf names what Health answers. Outage is all that is no other state: a
// component has gone three intervals without a checkpoint, or Restore waits for a
// store that does not answer.
func stateOf(err error) string {
	switch {
	case err == nil:
		return "ready"
	case errors.Is(err, durable.ErrLeaseHeld):
		return "standby"
	case errors.Is(err, durable.ErrFenced):
		return "superseded"
	case errors.Is(err, durable.ErrClosed):
		return "closed"
	case errors.Is(err, durable.ErrNotRestored):
		return "not_restored"
	}
	return "outage"
}
