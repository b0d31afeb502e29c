package cli

import (
	"context"
	"slices"

	"github.com/durablestate/durable/cmd/durable/internal/survey"
	"github.com/durablestate/durable/internal/store"
)

// chooseToMove returns the named components, or all of them and why these may not
// be complete. Deleted ones belong to them: their fences keep them deleted.
func chooseToMove(ctx context.Context, o *opened, args []string) (ids []string, incomplete, err error) {
	if len(args) == 0 {
		return choose(store.WithDeleted(ctx), o, nil)
	}
	for _, arg := range args {
		id := o.Name(arg)
		f, err := o.Fence(ctx, id)
		if err != nil {
			return nil, nil, err
		}
		_, missing := o.LoadState(ctx, id)
		inSet := f.Version == 0 && !survey.IsSet(id) && o.Set(ctx, id).Has(id)
		if survey.VerdictOf(missing) == survey.Missing && (f == (survey.Fence{}) || inSet) {
			return nil, nil, unknown(ctx, o, id, missing)
		}
		ids = append(ids, id)
	}
	return ids, nil, together(ctx, o, ids)
}

// together refuses to take a component without the set that may have its newest
// state, and the other way round.
func together(ctx context.Context, o *opened, ids []string) error {
	sets := o.Sets()
	for _, id := range ids {
		if survey.Internal(id) {
			continue
		}
		set := sets.Of(ctx, id)
		if !survey.IsSet(id) {
			if set.Existed() && !slices.Contains(ids, set.ID) {
				return apart(id, set.ID)
			}
			continue
		}
		for i := range set.Members {
			full := set.Full(&set.Members[i])
			f, err := o.Fence(ctx, full)
			if err != nil {
				return err
			}
			if f.Version > 0 && !slices.Contains(ids, full) {
				return apart(id, full)
			}
		}
	}
	return nil
}

func apart(id, other string) error {
	return fail(exitRefused, "%q and %q belong together, the versions of both tell a restart which is newer: name both, or none for all", id, other)
}
