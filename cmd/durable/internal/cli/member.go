package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/cmd/durable/internal/survey"
)

// A picked is a state of a component, and where it is.
type picked struct {
	*durable.Snapshot
	in  string // the set that has it; empty: it is stored by itself
	own uint64 // version of an older state that is stored by itself
}

// pick loads a version, or what a restart would restore.
func pick(ctx context.Context, o *opened, id string, version uint64, given bool) (*picked, error) {
	if given {
		return pickVersion(ctx, o, id, version)
	}
	own, snap := o.Newest(ctx, id)
	if survey.IsSet(id) || survey.Internal(id) {
		return &picked{Snapshot: snap}, unknown(ctx, o, id, own.Err())
	}
	c := o.Set(ctx, id).Restored(own)
	switch {
	case c.In == "":
		return &picked{Snapshot: snap}, unknown(ctx, o, id, own.Err())
	case c.Err() != nil:
		return nil, &failure{cmp.Or(exitCode(c.Err()), exitFailed), fmt.Errorf("%q: %s", id, c.Detail)}
	}
	whole, err := o.LoadState(ctx, c.In)
	if err != nil {
		return nil, err
	}
	snap, err = survey.MemberIn(whole, id)
	return &picked{snap, c.In, c.Own}, err
}

// pickVersion loads a version, which is one of the component by itself or one of
// the set.
func pickVersion(ctx context.Context, o *opened, id string, version uint64) (*picked, error) {
	snap, in, err := o.Version(ctx, id, version)
	if errors.Is(err, durable.ErrNotFound) {
		return nil, noVersion(ctx, o, id, version, err)
	}
	return &picked{Snapshot: snap, in: in}, err
}

// noVersion says which versions there are instead.
func noVersion(ctx context.Context, o *opened, id string, version uint64, err error) error {
	list, _ := histories(ctx, o, id)
	var have []string
	for _, g := range list {
		have = append(have, strconv.FormatUint(g.Version, 10))
	}
	if len(have) == 0 {
		return unknown(ctx, o, id, err)
	}
	return fail(exitNotFound, "version %d of %q is not stored; there are %s", version, id, strings.Join(have, ", "))
}

// unknown tells an id that nobody ever saved from one that was deleted.
func unknown(ctx context.Context, o *opened, id string, err error) error {
	if !errors.Is(err, durable.ErrNotFound) {
		return err
	}
	own, _ := o.Newest(ctx, id)
	switch set := o.Set(ctx, id); {
	case survey.IsSet(id):
	case set.Has(id) && set.Restored(own).In != "":
		return fail(exitRefused, "%q has no state of its own, it is saved as a part of %q: name that", id, set.ID)
	case set.Removed(id):
		return fail(exitNotFound, "%q was removed from %q", id, set.ID)
	}
	f, ferr := o.Fence(ctx, id)
	if ferr == nil && f.Version > 0 {
		return fail(exitNotFound, "%q was deleted; its fence is epoch %d, version %d", id, f.Epoch, f.Version)
	}
	return fail(exitNotFound, "no component %q in %s; durable ls lists them", id, o.where())
}

// histories lists the generations of a component, by itself and in the set, newest
// first.
func histories(ctx context.Context, o *opened, id string) ([]generation, error) {
	infos, err := o.ListSnapshots(ctx, id)
	list := generations(infos)
	if survey.IsSet(id) || survey.Internal(id) {
		return list, err
	}
	inSet, setErr := memberHistory(ctx, o, id)
	if setErr != nil || len(inSet) == 0 {
		return list, cmp.Or(err, setErr)
	}
	if err != nil && !errors.Is(err, durable.ErrNotFound) {
		return inSet, err
	}
	list = append(inSet, list...)
	slices.SortStableFunc(list, func(a, b generation) int { return cmp.Compare(b.Version, a.Version) })
	return list, nil
}

// memberHistory lists the generations of the set that have the component.
func memberHistory(ctx context.Context, o *opened, id string) ([]generation, error) {
	set := survey.SetOf(id)
	infos, err := o.ListSnapshots(ctx, set)
	if errors.Is(err, durable.ErrNotFound) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("%q: %w", set, err)
	}
	var list []generation
	found := false
	for i, g := range generations(infos) {
		g.In = set
		if infos[i].Err == nil {
			whole, err := o.LoadSnapshot(ctx, set, g.Version)
			if errors.Is(err, durable.ErrNotFound) {
				continue // superseded since it was listed
			} else if err != nil {
				return nil, err
			}
			snap, err := survey.MemberIn(whole, id)
			switch {
			case errors.Is(err, durable.ErrNotFound):
				continue
			case err != nil:
				g.Verdict, g.Detail = survey.VerdictOf(err), err.Error()
			default:
				g.Bytes, g.Codec, g.Schema = len(snap.Data), snap.Codec, snap.Schema
			}
			found = true
		}
		list = append(list, g)
	}
	if !found {
		return nil, nil
	}
	return list, nil
}
