package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/durablestate/durable/cmd/durable/internal/survey"
	"github.com/durablestate/durable/cmd/durable/internal/ui"
)

func (a *app) deletion() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "delete ID",
		Short: "Delete all generations of a component and fence its owner off",
		Long: `Delete removes all generations of one component. Its fence is raised, so that a
running owner is refused at its next save and cannot bring the state back; when it
restores it starts fresh. There is no way back: export first.`,
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
			if _, err := o.LoadState(ctx, id); err != nil && survey.VerdictOf(err) == survey.Missing {
				return unknown(ctx, o, id, err)
			} else if err != nil && survey.VerdictOf(err) == survey.Unreadable {
				return err
			}
			after := effect(ctx, o, id)
			question := fmt.Sprintf("%s\nDelete %q with all its generations? Then %s.", a.situation(ctx, o, id), id, after)
			if err := a.term.Confirm(ctx, question, yes); err != nil {
				return err
			}
			if err := o.DeleteState(ctx, id); err != nil {
				return err
			}
			f, err := o.Fence(ctx, id)
			if err != nil {
				return err
			}
			if a.term.JSON {
				return a.term.Emit(map[string]any{"id": id, "deleted": true, "fence": f, "effect": after})
			}
			a.term.Printf("%s: deleted; its fence is epoch %d, version %d, and %s\n", ui.Plain(id), f.Epoch, f.Version, after)
			return nil
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

// effect says what the deletion of a component, or of a set, leads to.
func effect(ctx context.Context, o *opened, id string) string {
	const refused = "a running owner is refused"
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
