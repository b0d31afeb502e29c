package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/durablestate/durable/cmd/durable/internal/survey"
	"github.com/durablestate/durable/cmd/durable/internal/transfer"
	"github.com/durablestate/durable/cmd/durable/internal/ui"
	"github.com/durablestate/durable/internal/store"
)

func (a *app) copying() *cobra.Command {
	var o transfer.Options
	var from, to string
	cmd := &cobra.Command{
		Use:   "copy --from a.yaml --to b.yaml [ID...]",
		Short: "Copy components between stores, with history and fence, and verify the copy",
		Long: `Copy brings components from one store into another, each generation with its
version and epoch, oldest first, then the fence, and reads everything back. The
source is not changed. Stop the source's owner first: what it saves after its
component was read stays behind. While the copy runs the target's systems are
leased, so that no program starts from half of it.

A component of which the target holds other state is refused, unless --force takes
it over under new versions. A copy that was interrupted leaves components that are
complete, untouched, or at an older generation; the same command again completes
them. Deleted components stay deleted: their fences come along. Components of one
consistent set come along with it, and what a restart restores from the copy is
what it would have restored from the source.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if from == "" || to == "" {
				return usage("durable copy needs --from and --to, two configurations")
			}
			if a.conn.named() {
				return usage("durable copy goes by --from and --to; leave --config, --adapter, --redis-url, --directory and --key-prefix out")
			}
			return a.copyBetween(cmd.Context(), from, to, args, o)
		},
	}
	transferFlags(cmd, &o)
	cmd.Flags().StringVar(&from, "from", "", "YAML `file` of the source")
	cmd.Flags().StringVar(&to, "to", "", "YAML `file` of the target")
	return cmd
}

// copyBetween copies the named components, or all.
func (a *app) copyBetween(base context.Context, from, to string, args []string, o transfer.Options) error {
	source := connection{config: from, system: a.conn.system, replica: a.conn.replica, say: a.conn.say}
	ctx, src, err := source.reading(base)
	if err != nil {
		return err
	}
	defer src.Close()
	ids, incomplete, err := chooseToMove(ctx, src, args)
	if err != nil {
		return err
	}
	target := connection{config: to, say: a.conn.say}
	dst, err := a.openTarget(base, &target, o.DryRun)
	if err != nil {
		return err
	}
	defer dst.Close()
	a.warnOwned(ctx, src, ids)
	o.Places = transfer.NewPlaces(func(ctx context.Context, id string) (transfer.Standing, error) {
		return transfer.StandingIn(store.Observe(ctx), src.Store, id)
	})
	m := a.newMove(dst, o, "copy", len(ids))
	err = survey.Each(base, ids, func(ctx context.Context, i int) (int64, error) {
		it, err := transfer.FromStore(store.Observe(ctx), src.Store, ids[i])
		if err != nil {
			return 0, err
		}
		return 0, m.deliver(ctx, it)
	})
	if err = m.finish(err); err == nil && incomplete != nil {
		return fail(exitUnsound, "the source may have more components: %v", incomplete)
	}
	return err
}

// warnOwned names the living owners of what is copied.
func (a *app) warnOwned(ctx context.Context, src *opened, ids []string) {
	owners, said := src.Owners(), map[string]bool{}
	for _, id := range ids {
		name, w := survey.LeaseOf(id), owners.Of(ctx, id)
		if !said[name] && w.Live(time.Now()) {
			said[name] = true
			a.term.Note("warning: %s runs on the source's system %q; what it saves from now on may stay behind", ui.Name(w.Lease.Holder), name)
		}
	}
}
