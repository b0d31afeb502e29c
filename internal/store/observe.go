package store

import "context"

type observing struct{}

// Observe returns a context for reads that must change nothing, not even by the
// repairs that a store does on the way: a tool that looks at damage must find it
// again the next time.
func Observe(ctx context.Context) context.Context {
	return context.WithValue(ctx, observing{}, true)
}

// Observing reports whether ctx came from Observe.
func Observing(ctx context.Context) bool {
	return ctx.Value(observing{}) != nil
}
