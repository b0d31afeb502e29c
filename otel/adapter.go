package otel

import (
	"context"
	"errors"
	"iter"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/durablestate/durable"
)

// Adapter returns a wrapper of a that measures each call and makes a span of it.
// It changes nothing: it is as safe for concurrent use as a, is a
// durable.Historian when a is one, and lets durable.Owner be found in a. The
// caller closes either of them.
func (t *Telemetry) Adapter(a durable.StateAdapter) durable.StateAdapter {
	w := &adapter{t: t, StateAdapter: a, kind: adapterType.String(typeOf(a))}
	if h, ok := a.(durable.Historian); ok {
		return &historian{w, h}
	}
	return w
}

const (
	adapterType   = attribute.Key("durable.adapter.type")
	operationName = attribute.Key("durable.operation.name")
	epoch         = attribute.Key("durable.epoch")
)

func typeOf(a durable.StateAdapter) string {
	for a != nil {
		switch a.(type) {
		case *durable.RedisAdapter:
			return "redis"
		case *durable.FileAdapter:
			return "file"
		case *durable.MemoryAdapter:
			return "memory"
		}
		w, ok := a.(interface{ Unwrap() durable.StateAdapter })
		if !ok {
			break
		}
		a = w.Unwrap()
	}
	return "other"
}

type adapter struct {
	durable.StateAdapter
	t    *Telemetry
	kind attribute.KeyValue
}

// Unwrap returns what is wrapped.
func (a *adapter) Unwrap() durable.StateAdapter { return a.StateAdapter }

// A call is one call of the adapter that is under way.
type call struct {
	a     *adapter
	op    string
	span  trace.Span
	begin time.Time
}

func (a *adapter) begin(ctx context.Context, op, id string, attrs ...attribute.KeyValue) (context.Context, *call) {
	ctx, span := a.t.tracer.Start(ctx, "durable "+op, trace.WithSpanKind(trace.SpanKindClient))
	if span.IsRecording() {
		span.SetAttributes(operationName.String(op), a.kind)
		span.SetAttributes(a.t.opts.Attributes...)
		span.SetAttributes(attrs...)
		if id != "" {
			span.SetAttributes(componentID.String(id))
		}
	}
	return ctx, &call{a, op, span, time.Now()}
}

func (c *call) end(err error) {
	attrs := withError(err, operationName.String(c.op), c.a.kind)
	c.a.t.adapterDuration.Record(background, time.Since(c.begin).Seconds(), c.a.t.attributes(attrs...))
	fail(c.span, err)
	c.span.End()
}

// SaveState implements durable.StateAdapter. A save without data is a refresh.
func (a *adapter) SaveState(ctx context.Context, id string, s *durable.Snapshot) error {
	if s == nil {
		return a.StateAdapter.SaveState(ctx, id, s)
	}
	op := "save"
	if s.Data == nil {
		op = "refresh"
	}
	ctx, c := a.begin(ctx, op, id, version.Int64(int64(s.Version)), epoch.Int64(int64(s.Epoch)), size.Int(len(s.Data)))
	err := a.StateAdapter.SaveState(ctx, id, s)
	c.end(err)
	return err
}

// LoadState implements durable.StateAdapter.
func (a *adapter) LoadState(ctx context.Context, id string) (*durable.Snapshot, error) {
	ctx, c := a.begin(ctx, "load", id)
	s, err := a.StateAdapter.LoadState(ctx, id)
	c.loaded(s)
	c.end(err)
	return s, err
}

func (c *call) loaded(s *durable.Snapshot) {
	if s != nil {
		c.span.SetAttributes(version.Int64(int64(s.Version)), epoch.Int64(int64(s.Epoch)), size.Int(len(s.Data)))
	}
}

// DeleteState implements durable.StateAdapter.
func (a *adapter) DeleteState(ctx context.Context, id string) error {
	ctx, c := a.begin(ctx, "delete", id)
	err := a.StateAdapter.DeleteState(ctx, id)
	c.end(err)
	return err
}

// historian is the wrapper of an adapter that shows older generations.
type historian struct {
	*adapter
	h durable.Historian
}

// ListComponents implements durable.Historian. The span lasts as long as the
// sequence is read.
func (a *historian) ListComponents(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		ctx, c := a.begin(ctx, "list", "")
		var failed error
		defer func() { c.end(failed) }()
		for id, err := range a.h.ListComponents(ctx) {
			failed = errors.Join(failed, err)
			if !yield(id, err) {
				return
			}
		}
	}
}

// ListSnapshots implements durable.Historian.
func (a *historian) ListSnapshots(ctx context.Context, id string) ([]durable.SnapshotInfo, error) {
	ctx, c := a.begin(ctx, "history", id)
	infos, err := a.h.ListSnapshots(ctx, id)
	c.end(err)
	return infos, err
}

// LoadSnapshot implements durable.Historian.
func (a *historian) LoadSnapshot(ctx context.Context, id string, v uint64) (*durable.Snapshot, error) {
	ctx, c := a.begin(ctx, "load_version", id, version.Int64(int64(v)))
	s, err := a.h.LoadSnapshot(ctx, id, v)
	c.loaded(s)
	c.end(err)
	return s, err
}
