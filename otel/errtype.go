package otel

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"

	"github.com/durablestate/durable"
)

// errorTypes are the values of error.type, the narrow ones first: what is both
// NotDurable and a timeout is the former.
var errorTypes = []struct {
	err  error
	name string
}{
	{durable.ErrFenced, "fenced"},
	{durable.ErrConflict, "conflict"},
	{durable.ErrNotDurable, "not_durable"},
	{durable.ErrTooLarge, "too_large"},
	{durable.ErrLeaseHeld, "lease_held"},
	{durable.ErrNotFound, "not_found"},
	{durable.ErrExpired, "expired"},
	{durable.ErrLost, "lost"},
	{durable.ErrCorrupt, "corrupt"},
	{durable.ErrTooNew, "too_new"},
	{durable.ErrInvalidID, "invalid_id"},
	{durable.ErrNotApplied, "not_applied"},
	{durable.ErrReplaced, "replaced"},
	{durable.ErrNotRegistered, "not_registered"},
	{durable.ErrNotRestored, "not_restored"},
	{durable.ErrClosed, "closed"},
	{durable.ErrPermanent, "permanent"},
	{context.DeadlineExceeded, "timeout"},
	{context.Canceled, "canceled"},
}

const errorType = attribute.Key("error.type")

func errorTypeOf(err error) string {
	for _, t := range errorTypes {
		if errors.Is(err, t.err) {
			return t.name
		}
	}
	return "_OTHER" // what the semantic conventions prescribe
}

// withError adds error.type to attrs unless err is nil.
func withError(err error, attrs ...attribute.KeyValue) []attribute.KeyValue {
	if err != nil {
		attrs = append(attrs, errorType.String(errorTypeOf(err)))
	}
	return attrs
}
