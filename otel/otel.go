package otel

import (
	"context"
	"errors"
	"slices"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

const scope = "github.com/durablestate/durable/otel"

// Options configures [New]. Zero fields mean the defaults named here.
type Options struct {
	MeterProvider  metric.MeterProvider // the global one
	TracerProvider trace.TracerProvider // the global one

	// Attributes are added to all metrics and spans, for example the name of
	// the system.
	Attributes []attribute.KeyValue

	// PerComponent adds durable.component.id to the metrics that are about
	// components. It multiplies their number by that of the components:
	// leave it off when there are many.
	PerComponent bool
}

// Telemetry has the instruments of one Checkpointer. Where a process has several,
// each needs a Telemetry of its own, with Attributes that tell them apart. It is
// safe for concurrent use.
type Telemetry struct {
	opts   Options
	tracer trace.Tracer
	meter  metric.Meter

	saveDuration, restoreDuration, adapterDuration metric.Float64Histogram
	saveSize                                       metric.Int64Histogram
	fences, vanished, leaseChanges, leaseRenewals  metric.Int64Counter
}

// New makes the instruments; nil opts mean the defaults. The error is that of
// the MeterProvider.
func New(opts *Options) (*Telemetry, error) {
	t := &Telemetry{}
	if opts != nil {
		t.opts = *opts
	}
	if t.opts.MeterProvider == nil {
		t.opts.MeterProvider = otel.GetMeterProvider()
	}
	if t.opts.TracerProvider == nil {
		t.opts.TracerProvider = otel.GetTracerProvider()
	}
	t.opts.Attributes = slices.Clone(t.opts.Attributes)
	t.tracer = t.opts.TracerProvider.Tracer(scope)
	t.meter = t.opts.MeterProvider.Meter(scope)
	m := &maker{meter: t.meter}
	t.saveDuration = m.seconds("durable.save.duration", "Duration of saves of components.")
	t.restoreDuration = m.seconds("durable.restore.duration", "Duration of restores of components.")
	t.adapterDuration = m.seconds("durable.adapter.operation.duration", "Duration of calls of the state adapter.")
	t.saveSize = m.bytes("durable.save.size", "Size of the states that were saved.")
	t.fences = m.counter("durable.fences", "{fence}", "How often another owner was found to have taken over.")
	t.vanished = m.counter("durable.state.vanished", "{copy}", "Stored copies that were found missing and written again.")
	t.leaseChanges = m.counter("durable.lease.changes", "{change}", "Acquisitions, releases and losses of the lease.")
	t.leaseRenewals = m.counter("durable.lease.renewals", "{renewal}", "Renewals of the lease.")
	return t, errors.Join(m.errs...)
}

// attributes returns attrs and those of the options, as an option of a
// measurement.
func (t *Telemetry) attributes(attrs ...attribute.KeyValue) metric.MeasurementOption {
	return metric.WithAttributes(append(attrs, t.opts.Attributes...)...)
}

const componentID = attribute.Key("durable.component.id")

// about adds the component's id where the options ask for it.
func (t *Telemetry) about(id string, attrs ...attribute.KeyValue) metric.MeasurementOption {
	if t.opts.PerComponent && id != "" {
		attrs = append(attrs, componentID.String(id))
	}
	return t.attributes(attrs...)
}

// A maker makes instruments and gathers what goes wrong.
type maker struct {
	meter metric.Meter
	errs  []error
}

// Bounds of histogram buckets: from a save to memory to one that runs into its
// timeout, from a counter to the largest state.
var (
	secondBounds = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	byteBounds   = []float64{1 << 8, 1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 24, 1 << 26, 1 << 28}
)

func (m *maker) seconds(name, about string) metric.Float64Histogram {
	h, err := m.meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(about),
		metric.WithExplicitBucketBoundaries(secondBounds...))
	m.errs = append(m.errs, err)
	return h
}

func (m *maker) bytes(name, about string) metric.Int64Histogram {
	h, err := m.meter.Int64Histogram(name, metric.WithUnit("By"), metric.WithDescription(about),
		metric.WithExplicitBucketBoundaries(byteBounds...))
	m.errs = append(m.errs, err)
	return h
}

func (m *maker) counter(name, unit, about string) metric.Int64Counter {
	c, err := m.meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(about))
	m.errs = append(m.errs, err)
	return c
}

func (m *maker) gauge(name, unit, about string) metric.Int64ObservableGauge {
	g, err := m.meter.Int64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(about))
	m.errs = append(m.errs, err)
	return g
}

func (m *maker) age(name, about string) metric.Float64ObservableGauge {
	g, err := m.meter.Float64ObservableGauge(name, metric.WithUnit("s"), metric.WithDescription(about))
	m.errs = append(m.errs, err)
	return g
}

// background is the context of measurements: events carry none.
var background = context.Background()
