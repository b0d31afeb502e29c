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

type preserving struct{}

// Preserve returns a context for saves of whoever does not own what it saves: a tool
// that rolls back, imports or copies. Whatever generations there are stay. How many
// are kept is for the owner to say, whose next save does.
func Preserve(ctx context.Context) context.Context {
	return context.WithValue(ctx, preserving{}, true)
}

// Kept returns how many generations a save under ctx leaves of a component, keep
// being what the saver's own configuration says; 0: all there are.
func Kept(ctx context.Context, keep int) int {
	if ctx.Value(preserving{}) != nil {
		return 0
	}
	return keep
}

type deleted struct{}

// WithDeleted returns a context under which List also yields ids whose state was
// deleted and of which the store remembers a version. A tool that moves a store
// takes their fences along.
func WithDeleted(ctx context.Context) context.Context {
	return context.WithValue(ctx, deleted{}, true)
}

// ListsDeleted reports whether ctx came from WithDeleted.
func ListsDeleted(ctx context.Context) bool {
	return ctx.Value(deleted{}) != nil
}

type damaged struct{}

// WithDamaged returns a context under which a list also yields, behind DamagedPrefix,
// what a Quarantine holds, for a person who may want to remove it.
func WithDamaged(ctx context.Context) context.Context {
	return context.WithValue(ctx, damaged{}, true)
}

// ListsDamaged reports whether ctx came from WithDamaged.
func ListsDamaged(ctx context.Context) bool {
	return ctx.Value(damaged{}) != nil
}

type holder struct{}

// AskHolder returns a context for LoadLease that makes a store which knows more
// of a holder than its lease says so: gone is set when the holder's process has
// ended, although the lease has not. It must not be used concurrently.
func AskHolder(ctx context.Context) (_ context.Context, gone *bool) {
	gone = new(bool)
	return context.WithValue(ctx, holder{}, gone), gone
}

// HolderGone returns where LoadLease is to say that the holder's process has
// ended, nil when nobody asked.
func HolderGone(ctx context.Context) *bool {
	gone, _ := ctx.Value(holder{}).(*bool)
	return gone
}
