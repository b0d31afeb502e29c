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
	"github.com/durablestate/durable/internal/store"
)

func (a *app) rollback() *cobra.Command {
	var yes, force bool
	cmd := &cobra.Command{
		Use:   "rollback ID VERSION|KEPT",
		Short: "Make an older version the newest state, and take it over from its owner",
		Long: `Rollback saves the content of an older version as a new version. Nothing is
removed: the versions before stay in the history as long as it reaches.

It is a take-over. A running owner is refused and told at its next save; what it
had not saved by then is given up, which is what a rollback is for. When it
restores, or starts again, it finds the chosen content.

In place of a version it takes the id of a copy that was kept: '~aside/...' or
'~spill/...', as ls --all lists them. The copy stays until durable delete removes it.

Components that are saved as one consistent set go back together: name ~set. What
a restart would not take, because the newest state is in the other place, is
refused and the error names that place.`,
		Args:              exactly(2),
		ValidArgsFunction: a.completeIDs,
		RunE: func(cmd *cobra.Command, args []string) error {
			_, kept := store.KeptName(args[1])
			version, err := strconv.ParseUint(args[1], 10, 64)
			if err != nil && !kept {
				return usage("%q is no version, nor the id of a copy that was kept", args[1])
			}
			ctx := cmd.Context()
			o, err := a.conn.changing(ctx)
			if err != nil {
				return err
			}
			defer o.Close()
			id := o.Name(args[0])
			back := func() (*transfer.Rollback, error) { return transfer.RollBack(ctx, o.Store, id, version) }
			if kept {
				old, err := transfer.Kept(ctx, o.Store, args[1], id)
				if err != nil {
					return err
				}
				back = func() (*transfer.Rollback, error) { return transfer.RollBackTo(ctx, o.Store, id, old) }
			} else if err := mayRollBack(ctx, o, id, version, force); err != nil {
				return err
			}
			now, _ := o.Newest(ctx, id)
			question := fmt.Sprintf("%s\nRoll %q back to %s?", a.situation(ctx, o, now), id, ui.Name(args[1]))
			if err := a.term.Confirm(ctx, question, yes); err != nil {
				return err
			}
			r, err := back()
			if err != nil {
				return refusedElsewhere(err)
			}
			if a.term.JSON {
				return a.term.Emit(r)
			}
			a.term.Printf("%s: version %d has the content of %s, under epoch %d; a running owner is refused until it restores\n", ui.Name(id), r.Version, origin(args[1], kept), r.Epoch)
			return nil
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&force, "force", false, "also to the newest version")
	return cmd
}

// origin names what was rolled back to.
func origin(to string, kept bool) string {
	if kept {
		return ui.Name(to)
	}
	return "version " + to
}

// mayRollBack refuses what would do nothing, or not what it seems to.
func mayRollBack(ctx context.Context, o *opened, id string, version uint64, force bool) error {
	snap, _, err := o.Version(ctx, id, version)
	notThere := errors.Is(err, durable.ErrNotFound)
	if err != nil && !notThere {
		return err
	}
	if err := transfer.Elsewhere(ctx, o.Store, id); err != nil {
		return refusedElsewhere(err)
	}
	if notThere {
		return noVersion(ctx, o, id, version, err)
	}
	if newest, err := o.LoadState(ctx, id); !force && err == nil && newest.Version == snap.Version && newest.LastVersion == snap.Version {
		return fail(exitRefused, "version %d of %q is the newest already; --force saves it again and refuses a running owner", version, id)
	}
	return nil
}

// refusedElsewhere gives an error that names another place the exit code of a
// refusal.
func refusedElsewhere(err error) error {
	if errors.Is(err, transfer.ErrElsewhere) {
		return &failure{exitRefused, err}
	}
	return err
}

// situation says what there is and who owns it, for someone who is about to
// change it.
func (a *app) situation(ctx context.Context, o *opened, c survey.Component) string {
	own := o.Ownership(ctx, survey.LeaseOf(c.ID))
	where := ""
	if c.In != "" {
		where = ", in " + ui.Name(c.In)
	}
	return fmt.Sprintf("%s: version %d, %s old, %s, %s%s; %s", ui.Name(c.ID), c.Version, ui.Since(c.SavedAt, time.Now()), ui.Size(c.Bytes), c.Verdict, where, ui.Plain(own.String()))
}
