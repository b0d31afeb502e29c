package otel_test

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/otel"
)

func Example() {
	ctx := context.Background()
	reader := metric.NewManualReader() // in a program, the exporter
	tel, err := otel.New(&otel.Options{MeterProvider: metric.NewMeterProvider(metric.WithReader(reader))})
	if err != nil {
		panic(err)
	}
	opts := &durable.Options{}
	opts.OnEvent = tel.OnEvent(opts.OnEvent)
	cp := durable.New(tel.Adapter(durable.NewMemoryAdapter(nil)), opts)
	stop, err := tel.Observe(cp)
	if err != nil {
		panic(err)
	}
	defer stop()

	words := durable.NewStatefulComponent(map[string]int{})
	_ = cp.Register("words", words)
	_, _ = cp.Restore(ctx)
	_ = words.Commit(ctx, func(w *map[string]int) { (*w)["hello"]++ })

	var now metricdata.ResourceMetrics
	_ = reader.Collect(ctx, &now)
	for _, m := range now.ScopeMetrics[0].Metrics {
		fmt.Println(m.Name, m.Unit)
	}
	_ = cp.Close()
	// Output:
	// durable.save.duration s
	// durable.restore.duration s
	// durable.adapter.operation.duration s
	// durable.save.size By
	// durable.lease.changes {change}
	// durable.checkpoint.age s
	// durable.components {component}
	// durable.components.changed {component}
	// durable.components.failing {component}
	// durable.state.size By
	// durable.status {status}
}
