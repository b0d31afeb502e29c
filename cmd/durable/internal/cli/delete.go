package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/durablestate/durable/cmd/durable/internal/survey"
	"github.com/durablestate/durable/cmd/durable/internal/transfer"
	"github.com/durablestate/durable/cmd/durable/internal/ui"
	"github.com/durablestate/durable/internal/store"
)

func (a *app) deletion() *cobra.Command {
	var yes, own bool
	cmd := &cobra.Command{
		Use:   "delete ID",
		Short: "Delete all generations of a component and fence its owner off",
		Long: `Delete removes all generations of one component. Its fence is raised, so that a
running owner is refused at its next save and cannot bring the state back; when it
restores it starts fresh. There is no way back: export first.

A component that is saved in the consistent set of its system is removed from it:
the set is saved anew without it, the other components as they are. It is a
take-over of the set: its running owner is refused and told, and restores again.
Registered again under that id, the component starts fresh. Older versions of the
set still have it, as long as the history reaches, and rolling ~set back to one of
them brings it back with all the others.

A delete that was interrupted is completed by the same command.`,
		Args:              exactly(1),
		ValidArgsFunction: a.completeIDs,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			o, err := a.conn.changing(ctx)
			if err != nil {
				return err
			}
			defer o.Close()
			id := o.Name(args[0])
			plan, err := planDeletion(ctx, o, id, own)
			if err != nil {
				return err
			}
			question := fmt.Sprintf("%s\n%s? Then %s.", a.situation(ctx, o, plan.now), plan.what, plan.after)
			if err := a.term.Confirm(ctx, question, yes); err != nil {
				return err
			}
			d, err := plan.do(ctx, o.Store, id)
			if err != nil {
				return refusedElsewhere(err)
			}
			return a.printDeletion(d, plan.after)
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&own, "own", false, "only what is stored of the component by itself; a set keeps it")
	return cmd
}

func (a *app) printDeletion(d *transfer.Deletion, after string) error {
	if a.term.JSON {
		return a.term.Emit(struct {
			*transfer.Deletion
			Deleted bool   `json:"deleted"`
			Effect  string `json:"effect"`
		}{d, true, after})
	}
	what := fmt.Sprintf("deleted; its fence is epoch %d, version %d", d.Fence.Epoch, d.Fence.Version)
	switch {
	case d.Fence == (survey.Fence{}):
		what = "deleted"
	case d.In != "":
		what = fmt.Sprintf("removed; version %d of %s is without it", d.As, ui.Name(d.In))
	}
	a.term.Printf("%s: %s, and %s\n", ui.Name(d.ID), what, after)
	return nil
}

// A planned deletion, for someone who is to agree to it.
type planned struct {
	now   survey.Component // what goes
	what  string
	after string // what it leads to
	do    func(context.Context, *survey.Store, string) (*transfer.Deletion, error)
}

// planDeletion finds out what the deletion of a component would do.
func planDeletion(ctx context.Context, o *opened, id string, ownOnly bool) (*planned, error) {
	own, _ := o.Newest(ctx, id)
	if own.Verdict == survey.Unreadable {
		return nil, own.Err()
	}
	p := &planned{now: own, what: fmt.Sprintf("Delete %q with all its generations", id), do: transfer.Delete}
	var removal *transfer.Removal
	if ownOnly {
		p.what, p.do = fmt.Sprintf("Delete all generations that are stored of %q by itself", id), transfer.DeleteOwn
	} else {
		var err error
		if removal, err = transfer.PlanRemoval(ctx, o.Store, id); err != nil {
			return nil, refusedElsewhere(err)
		}
	}
	if removal == nil {
		p.after = effect(ctx, o, id)
		return p, unknown(ctx, o, id, missing(own))
	}
	if c := o.Set(ctx, id).Restored(own); c.In != "" {
		p.now = c
	}
	p.what += fmt.Sprintf(" and remove it from %q", removal.Set)
	p.after = "the other components of the set stay as they are; its running owner is refused until it restores, and registered again this component starts fresh"
	return p, nil
}

// missing returns why there is nothing to delete, nil if there is something.
func missing(c survey.Component) error {
	if c.Verdict != survey.Missing {
		return nil
	}
	return c.Err()
}

// effect says what the deletion of a component, or of a set, leads to.
func effect(ctx context.Context, o *opened, id string) string {
	const refused = "a running owner is refused"
	if _, kept := store.KeptName(id); kept {
		return "nothing else changes"
	}
	set := o.Set(ctx, id)
	if !survey.IsSet(id) {
		own, _ := o.Newest(ctx, id)
		if c := set.Restored(own); c.In != "" && c.Err() == nil {
			return fmt.Sprintf("nothing else changes: version %d in %q is newer, and a restart takes that", c.Version, set.ID)
		}
		return refused
	}
	own, fresh := 0, 0
	for i := range set.Members {
		c, _ := o.Newest(ctx, set.Full(&set.Members[i]))
		switch r := set.Restored(c); {
		case r.In == "":
			own++
		case r.Verdict != survey.Removed:
			fresh++
		}
	}
	switch {
	case fresh == 0 && own > 0:
		return "nothing else changes: its components have newer states of their own, and a restart takes these"
	case own > 0:
		return fmt.Sprintf("%s; %s starts fresh and %s newer states of their own", refused, ui.Count(fresh, "component", "components"), ui.Count(own, "component has", "components have"))
	}
	return refused + "; a restart starts all of its components fresh"
}
