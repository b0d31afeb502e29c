package otel

import (
	"errors"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/durablestate/durable"
)

// OnEvent returns a function for durable.Options.OnEvent. It counts and measures
// the event, never blocks, and then calls next, which may be nil. The function is
// safe for concurrent use.
func (t *Telemetry) OnEvent(next func(durable.Event)) func(durable.Event) {
	l := &leaseWatch{t: t}
	return func(e durable.Event) {
		t.measure(e)
		if e.Op == "lease" {
			l.event(e)
		}
		if next != nil {
			next(e)
		}
	}
}

const (
	saveKind = attribute.Key("durable.save.kind")
	version  = attribute.Key("durable.version")
	size     = attribute.Key("durable.state.size")
)

func (t *Telemetry) measure(e durable.Event) {
	switch e.Op {
	case "save", "skip", "spill":
		t.saveDuration.Record(background, e.Duration.Seconds(), t.about(e.ComponentID, withError(e.Err, saveKind.String(e.Op))...))
		if e.Op != "skip" && e.Err == nil {
			t.saveSize.Record(background, int64(e.Bytes), t.about(e.ComponentID, saveKind.String(e.Op)))
		}
		if e.Op == "spill" {
			t.span(e, "durable spill")
		}
	case "restore":
		t.restoreDuration.Record(background, e.Duration.Seconds(), t.about(e.ComponentID, withError(e.Err)...))
		t.span(e, "durable restore")
	case "fence":
		t.fences.Add(background, 1, t.about(e.ComponentID))
		t.span(e, "durable fence")
	case "vanished":
		t.vanished.Add(background, 1, t.about(e.ComponentID))
		t.span(e, "durable vanished")
	}
}

// span records what is over already.
func (t *Telemetry) span(e durable.Event, name string, attrs ...attribute.KeyValue) {
	end := time.Now()
	_, s := t.tracer.Start(background, name, trace.WithTimestamp(end.Add(-e.Duration)), trace.WithNewRoot(),
		trace.WithAttributes(t.opts.Attributes...), trace.WithAttributes(attrs...))
	if !s.IsRecording() {
		return
	}
	if e.ComponentID != "" {
		s.SetAttributes(componentID.String(e.ComponentID), version.Int64(int64(e.Version)), size.Int(e.Bytes))
	}
	fail(s, e.Err)
	s.End(trace.WithTimestamp(end))
}

// fail marks s with err, if there is one. The texts of errors name no secret.
func fail(s trace.Span, err error) {
	if err == nil {
		return
	}
	s.SetAttributes(errorType.String(errorTypeOf(err)))
	if !errors.Is(err, durable.ErrNotFound) { // the answer to a first start
		s.SetStatus(codes.Error, err.Error())
	}
}

const (
	leaseChange = attribute.Key("durable.lease.change")
	leaseEpoch  = attribute.Key("durable.lease.epoch")
)

// A leaseWatch tells an acquisition of the lease from a renewal: it has another
// epoch.
type leaseWatch struct {
	t     *Telemetry
	mu    sync.Mutex
	epoch uint64 // of the lease that is held, 0 for none
}

func (l *leaseWatch) event(e durable.Event) {
	change := l.follow(e)
	if change == "" || change == "lost" {
		l.t.leaseRenewals.Add(background, 1, l.t.attributes(withError(e.Err)...))
	}
	if change != "" {
		l.t.leaseChanges.Add(background, 1, l.t.attributes(withError(e.Err, leaseChange.String(change))...))
		l.t.span(e, "durable lease "+change, leaseEpoch.Int64(int64(e.Version)))
	}
}

func (l *leaseWatch) follow(e durable.Event) (change string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case e.Version == 0: // the end of Close
		l.epoch, change = 0, "released"
	case errors.Is(e.Err, durable.ErrFenced):
		l.epoch, change = 0, "lost"
	case e.Err == nil && e.Version != l.epoch:
		l.epoch, change = e.Version, "acquired"
	}
	return change
}
