package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/cmd/durable/internal/survey"
	"github.com/durablestate/durable/cmd/durable/internal/transfer"
	"github.com/durablestate/durable/cmd/durable/internal/ui"
)

func (a *app) rollback() *cobra.Command {
	var yes, force bool
	cmd := &cobra.Command{
		Use:   "rollback ID VERSION",
		Short: "Make an older version the newest state, and take it over from its owner",
		Long: `Rollback saves the content of an older version as a new version. Nothing is
removed: the versions before stay in the history as long as it reaches.

It is a take-over. A running owner is refused and told at its next save; what it
had not saved by then is given up, which is what a rollback is for. When it
restores, or starts again, it finds the chosen content.

Components that are saved as one consistent set go back together: name ~set. What
a restart would not take, because the newest state is in the other place, is
refused and the error names that place.`,
		Args:              exactly(2),
		ValidArgsFunction: a.completeIDs,
		RunE: func(cmd *cobra.Command, args []string) error {
			version, err := strconv.ParseUint(args[1], 10, 64)
			if err != nil {
				return usage("%q is no version", args[1])
			}
			ctx := cmd.Context()
			o, err := a.conn.changing(ctx)
			if err != nil {
				return err
			}
			defer o.Close()
			id := o.Name(args[0])
			if err := mayRollBack(ctx, o, id, version, force); err != nil {
				return err
			}
			question := fmt.Sprintf("%s\nRoll %q back to version %d?", a.situation(ctx, o, id), id, version)
			if err := a.term.Confirm(ctx, question, yes); err != nil {
				return err
			}
			r, err := transfer.RollBack(ctx, o.Store, id, version)
			if errors.Is(err, transfer.ErrElsewhere) {
				return &failure{exitRefused, err}
			} else if err != nil {
				return err
			}
			if a.term.JSON {
				return a.term.Emit(r)
			}
			a.term.Printf("%s: version %d has the content of version %d, under epoch %d; a running owner is refused until it restores\n", ui.Plain(id), r.Version, r.To, r.Epoch)
			return nil
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&force, "force", false, "also to the newest version")
	return cmd
}

// mayRollBack refuses what would do nothing, or not what it seems to.
func mayRollBack(ctx context.Context, o *opened, id string, version uint64, force bool) error {
	snap, _, err := o.Version(ctx, id, version)
	notThere := errors.Is(err, durable.ErrNotFound)
	if err != nil && !notThere {
		return err
	}
	if err := transfer.Elsewhere(ctx, o.Store, id); err != nil {
		return &failure{exitRefused, err}
	}
	if notThere {
		return noVersion(ctx, o, id, version, err)
	}
	if newest, err := o.LoadState(ctx, id); !force && err == nil && newest.Version == snap.Version && newest.LastVersion == snap.Version {
		return fail(exitRefused, "version %d of %q is the newest already; --force saves it again and refuses a running owner", version, id)
	}
	return nil
}

// situation says what there is and who owns it, for someone who is about to
// change it.
func (a *app) situation(ctx context.Context, o *opened, id string) string {
	c, _ := o.Newest(ctx, id)
	own := o.Ownership(ctx, survey.LeaseOf(id))
	return fmt.Sprintf("%s: version %d, %s old, %s, %s; %s", ui.Plain(id), c.Version, ui.Since(c.SavedAt, time.Now()), ui.Size(c.Bytes), c.Verdict, ui.Plain(own.String()))
}

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
		if set.Restored(c).In == "" {
			own++
		} else {
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
