// Package otel shows how a durable.Checkpointer is doing, as OpenTelemetry
// metrics and spans. It is a module of its own, so that programs which do not
// use it carry none of its dependencies.
//
//	tel, err := otel.New(nil)                      // the global providers
//	opts.OnEvent = tel.OnEvent(opts.OnEvent)
//	cp := durable.New(tel.Adapter(adapter), opts)
//	stop, err := tel.Observe(cp)
//
// Each of the three calls works without the others. Programs that open a Config
// leave Adapter out, or open the adapter themselves.
//
// # Metrics
//
// From OnEvent:
//
//   - durable.save.duration (s): a save of a component, with
//     durable.save.kind "save", "skip" (unchanged, only kept alive) or "spill",
//     and error.type if it failed. Its count is the number of saves, and with an
//     error.type that of failures by kind.
//   - durable.save.size (By): state of the saves that succeeded.
//   - durable.restore.duration (s): claim, load and apply one component, with
//     error.type if its state could not be used.
//   - durable.fences: how often another owner was found to have taken over a
//     component, or all.
//   - durable.state.vanished: stored copies that were found missing and written
//     again.
//   - durable.lease.changes: with durable.lease.change "acquired", "released" or
//     "lost".
//   - durable.lease.renewals: with error.type if the renewal failed.
//
// From Observe, asked whenever metrics are collected:
//
//   - durable.checkpoint.age (s): the recovery point, the time since the stored
//     copy was last known to be current, of the component where it is longest.
//   - durable.components: the registered components;
//     durable.components.changed: those with a change that is not stored, which a
//     crash would lose; durable.components.failing: those whose last attempt
//     failed.
//   - durable.state.size (By): of the last saves, added up.
//   - durable.status: 1 for the durable.status.state that the Checkpointer is in
//     and 0 for the others: "ready", "standby", "outage", "superseded",
//     "not_restored" and "closed".
//
// From Adapter:
//
//   - durable.adapter.operation.duration (s): one call of the adapter, with
//     durable.operation.name "save", "refresh", "load", "delete", "list",
//     "history" or "load_version", durable.adapter.type "redis", "file", "memory"
//     or "other", and error.type.
//
// The attribute error.type names the error of package durable, such as "fenced",
// "corrupt" or "not_durable", "timeout" or "canceled", and "_OTHER" for
// everything else. Component ids are on spans, and on metrics only when Options
// asks for them. No attribute carries state, a password or the text of an error;
// spans carry that text, which names no secret.
//
// # Spans
//
// Adapter makes a client span for each call. OnEvent makes spans afterwards, with
// the time that passed, for restores, spills, fences, vanished copies and changes
// of the lease. Checkpoints serve many callers at once, so their spans have no
// parent.
package otel
