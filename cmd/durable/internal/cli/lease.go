package cli

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/durablestate/durable/cmd/durable/internal/survey"
	"github.com/durablestate/durable/cmd/durable/internal/ui"
)

func (a *app) lease() *cobra.Command {
	cmd := &cobra.Command{Use: "lease", Short: "Show or end the ownership of systems", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(a.leaseShow(), a.leaseRelease())
	return cmd
}

// leaseLine is a line of lease show.
type leaseLine struct {
	System  string    `json:"system"`
	State   string    `json:"state"`
	Holder  string    `json:"holder,omitempty"`
	Epoch   uint64    `json:"epoch,omitempty"`
	Expires time.Time `json:"expires,omitzero"`
	Error   string    `json:"error,omitempty"`
}

func (a *app) leaseShow() *cobra.Command {
	return &cobra.Command{
		Use:   "show [SYSTEM]",
		Short: "Show who owns the systems of the store",
		Long: `Show lists the lease of each system that has components, judged by this machine's
clock. A file store knows when the process of a holder has ended without a
release, which is shown as "holder gone": the next process gets the lease at once.`,
		Args: between(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, o, err := a.conn.reading(cmd.Context())
			if err != nil {
				return err
			}
			defer o.Close()
			names, err := systems(ctx, o, args)
			if err != nil && len(names) == 0 {
				return err
			}
			return cmp.Or(a.printLeases(ctx, o, names), incomplete(err))
		},
	}
}

// systems returns the names of the leases to look at. The error may stand beside
// a list that is not complete.
func systems(ctx context.Context, o *opened, args []string) ([]string, error) {
	if len(args) == 1 {
		return args, nil
	}
	ids, err := o.IDs(ctx)
	seen := map[string]bool{}
	var names []string
	for _, id := range ids {
		if name := survey.LeaseOf(id); !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	return names, err
}

func (a *app) printLeases(ctx context.Context, o *opened, names []string) error {
	now, found := time.Now(), false
	t := ui.NewTable("SYSTEM", "STATE", "HOLDER", ">EPOCH", ">ENDS")
	for _, name := range names {
		w := o.Ownership(ctx, name)
		l := leaseLine{System: name, State: w.State(now)}
		ends := "-"
		if w.Lease != nil {
			found = true
			l.Holder, l.Epoch, l.Expires = w.Lease.Holder, w.Lease.Epoch, w.Lease.Expires
			ends = "in " + ui.Age(l.Expires.Sub(now))
			if w.Gone {
				ends = "-"
			} else if !l.Expires.After(now) {
				ends = ui.Age(now.Sub(l.Expires)) + " ago"
			}
		}
		if w.Err != nil {
			return w.Err
		}
		if a.term.JSON {
			if err := a.term.Emit(l); err != nil {
				return err
			}
		}
		t.Add(cmp.Or(ui.Name(name), "(none)"), l.State, cmp.Or(ui.Name(l.Holder), "-"), strconv.FormatUint(l.Epoch, 10), ends)
	}
	if !a.term.JSON {
		if err := t.Write(a.term.Out, 0); err != nil {
			return err
		}
	}
	if !found && len(names) == 1 {
		return fail(exitNotFound, "nobody ever owned the system %q", names[0])
	}
	return nil
}

func (a *app) leaseRelease() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "release [SYSTEM]",
		Short: "End a lease whose holder is gone or hangs",
		Long: `Release ends a lease, so that the next process need not wait for its end. A
holder that still runs is told at its next renewal and saves nothing any more; if
it should not run on, stop it first.`,
		Args: between(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			o, err := a.conn.changing(ctx)
			if err != nil {
				return err
			}
			defer o.Close()
			name := survey.LeaseOf(o.Namespace + "x")
			switch {
			case len(args) == 1:
				name = args[0]
			case a.conn.allReplicas:
				return usage("which lease? name it, or the --replica; durable lease show lists them")
			}
			w := o.Ownership(ctx, name)
			switch {
			case w.Err != nil:
				return w.Err
			case w.Lease == nil:
				return fail(exitNotFound, "nobody ever owned the system %q", name)
			case w.Lease.Released:
				a.term.Note("the lease of %q is released already", name)
				return nil
			}
			if err := a.term.Confirm(ctx, fmt.Sprintf("System %q: %s.\nEnd this lease?", name, ui.Plain(w.String())), yes); err != nil {
				return err
			}
			if err := o.ReleaseLease(ctx, w.Lease); err != nil {
				return err
			}
			return a.printLeases(ctx, o, []string{name})
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}
