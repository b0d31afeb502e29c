package otel_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/otel"
)

// A bench has everything that is recorded.
type bench struct {
	t      *testing.T
	tel    *otel.Telemetry
	reader *metric.ManualReader
	spans  *tracetest.SpanRecorder
}

func newBench(t *testing.T, o otel.Options) *bench {
	b := &bench{t: t, reader: metric.NewManualReader(), spans: tracetest.NewSpanRecorder()}
	o.MeterProvider = metric.NewMeterProvider(metric.WithReader(b.reader))
	o.TracerProvider = trace.NewTracerProvider(trace.WithSpanProcessor(b.spans))
	tel, err := otel.New(&o)
	require.NoError(t, err)
	b.tel = tel
	return b
}

// open returns a Checkpointer that is instrumented in every way.
func (b *bench) open(a durable.StateAdapter, holder string) *durable.Checkpointer {
	cp := durable.New(b.tel.Adapter(a), &durable.Options{
		Holder: holder, Logger: slog.New(slog.DiscardHandler), OnEvent: b.tel.OnEvent(nil),
	})
	stop, err := b.tel.Observe(cp)
	require.NoError(b.t, err)
	b.t.Cleanup(func() { require.NoError(b.t, stop()) })
	return cp
}

func (b *bench) collect() []metricdata.Metrics {
	var all metricdata.ResourceMetrics
	require.NoError(b.t, b.reader.Collect(context.Background(), &all))
	require.Len(b.t, all.ScopeMetrics, 1)
	return all.ScopeMetrics[0].Metrics
}

// points returns the values of a metric by its attributes, a=b,c=d: the sum of a
// counter, the value of a gauge, the count of a histogram.
func (b *bench) points(name string) map[string]float64 {
	points := map[string]float64{}
	for _, m := range b.collect() {
		if m.Name != name {
			continue
		}
		switch d := m.Data.(type) {
		case metricdata.Sum[int64]:
			for _, p := range d.DataPoints {
				points[encode(p.Attributes)] = float64(p.Value)
			}
		case metricdata.Gauge[int64]:
			for _, p := range d.DataPoints {
				points[encode(p.Attributes)] = float64(p.Value)
			}
		case metricdata.Gauge[float64]:
			for _, p := range d.DataPoints {
				points[encode(p.Attributes)] = p.Value
			}
		case metricdata.Histogram[float64]:
			for _, p := range d.DataPoints {
				points[encode(p.Attributes)] = float64(p.Count)
			}
		case metricdata.Histogram[int64]:
			for _, p := range d.DataPoints {
				points[encode(p.Attributes)] = float64(p.Count)
			}
		default:
			b.t.Fatalf("%s is a %T", name, d)
		}
	}
	return points
}

func encode(s attribute.Set) string { return s.Encoded(attribute.DefaultEncoder()) }

// status returns the one state that is 1.
func (b *bench) status() string {
	var current []string
	for attrs, v := range b.points("durable.status") {
		if v == 1 {
			current = append(current, strings.TrimPrefix(attrs, "durable.status.state="))
		}
	}
	return strings.Join(current, " ")
}

// ended returns the spans of a name.
func (b *bench) ended(name string) (spans []trace.ReadOnlySpan) {
	for _, s := range b.spans.Ended() {
		if s.Name() == name {
			spans = append(spans, s)
		}
	}
	return spans
}

func (b *bench) spanNames() []string {
	names := map[string]bool{}
	for _, s := range b.spans.Ended() {
		names[s.Name()] = true
	}
	return slices.Sorted(maps.Keys(names))
}

func attributesOf(s trace.ReadOnlySpan) map[attribute.Key]string {
	m := map[attribute.Key]string{}
	for _, kv := range s.Attributes() {
		m[kv.Key] = kv.Value.String()
	}
	return m
}

var errOff = errors.New("connection refused")

// A store can be switched off.
type store struct {
	*durable.MemoryAdapter
	off atomic.Bool
}

func newStore() *store { return &store{MemoryAdapter: durable.NewMemoryAdapter(nil)} }

func (s *store) SaveState(ctx context.Context, id string, snap *durable.Snapshot) error {
	if s.off.Load() {
		return errOff
	}
	return s.MemoryAdapter.SaveState(ctx, id, snap)
}

type counter struct {
	durable.StatefulComponent[map[string]int]
}

func (c *counter) add() { c.Update(func(m *map[string]int) { (*m)["n"]++ }) }
