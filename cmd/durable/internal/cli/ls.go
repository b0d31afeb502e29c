package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/durablestate/durable/cmd/durable/internal/survey"
	"github.com/durablestate/durable/cmd/durable/internal/ui"
	"github.com/durablestate/durable/internal/store"
)

// listed is a line of ls.
type listed struct {
	survey.Component
	Age   float64  `json:"age_seconds"`
	Owner string   `json:"owner,omitempty"`
	Older []string `json:"older_than,omitempty"` // of a set: components with newer states of their own
}

func (a *app) ls() *cobra.Command {
	var all bool
	var sortBy string
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List components: age, size, version, owner and whether they are sound",
		Long: `Ls lists the components of the store or of one system. It reads the newest
generation of each and changes nothing. A line's verdict is ok, unverified (a
plain value), fell-back (the newest generation does not verify, an older one
does), expired, lost, corrupt, too-new or unreadable; missing or removed of what
is still stored and a restart does not take, because its set was deleted or the
component was removed from it.

The components of a consistent set are listed as a restart finds them: in the set,
or by themselves where that state is newer.`,
		Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !slices.Contains([]string{"id", "age", "size"}, sortBy) {
				return usage("--sort must be id, age or size, not %q", sortBy)
			}
			ctx, o, err := a.conn.reading(cmd.Context())
			if err != nil {
				return err
			}
			defer o.Close()
			rows, err := a.list(ctx, o, all)
			if err != nil && len(rows) == 0 {
				return err
			}
			order(rows, sortBy)
			return cmp.Or(a.printList(rows), incomplete(err))
		},
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "also what the library keeps for itself: ~starts, ~aside/..., ~damaged/...")
	cmd.Flags().StringVar(&sortBy, "sort", "id", "order by id, age or size")
	return cmd
}

// incomplete words the error that stands beside a list.
func incomplete(err error) error {
	if err == nil {
		return nil
	}
	return &failure{exitUnsound, fmt.Errorf("the list is not complete: %w", err)}
}

// list reads the newest generation of every component, wherever it is.
func (a *app) list(ctx context.Context, o *opened, all bool) ([]listed, error) {
	if all {
		ctx = store.WithDamaged(ctx)
	}
	ids, failed := o.IDs(ctx)
	if !all {
		ids = slices.DeleteFunc(ids, survey.Internal)
	}
	sets := o.Sets()
	inSets := members(ctx, sets, ids)
	alone := len(ids)
	ids = append(ids, inSets...)
	rows := make([]listed, len(ids))
	bar, owners := a.term.Progress("reading", len(ids)), o.Owners()
	err := survey.Each(ctx, ids, func(ctx context.Context, i int) (int64, error) {
		c := sets.Restored(ctx, ids[i])
		now := time.Now()
		rows[i] = listed{Component: c, Owner: owners.Of(ctx, ids[i]).Holder(now)}
		if !c.SavedAt.IsZero() {
			rows[i].Age = max(0, now.Sub(c.SavedAt).Seconds())
		}
		bar.Step(c.Bytes)
		return c.Bytes, ctx.Err()
	})
	bar.End()
	if err != nil {
		return nil, err
	}
	notTaken(ctx, sets, rows)
	gone := slices.DeleteFunc(rows[alone:], func(r listed) bool { return r.In == "" }) // deleted after the set
	return rows[:alone+len(gone)], failed
}

// members returns the components that are in sets among ids and not in ids.
func members(ctx context.Context, sets *survey.Sets, ids []string) []string {
	var more []string
	for _, id := range ids {
		if !survey.IsSet(id) {
			continue
		}
		set := sets.Of(ctx, id)
		for i := range set.Members {
			full := set.Full(&set.Members[i])
			if _, found := slices.BinarySearch(ids, full); !found && !set.Members[i].Deleted {
				more = append(more, full)
			}
		}
	}
	return more
}

// notTaken notes of each set which components have newer states of their own.
func notTaken(ctx context.Context, sets *survey.Sets, rows []listed) {
	at := map[string]int{}
	for i, r := range rows {
		if survey.IsSet(r.ID) {
			at[r.ID] = i
		}
	}
	for _, r := range rows {
		i, ok := at[survey.SetOf(r.ID)]
		if ok && r.In == "" && !survey.IsSet(r.ID) && sets.Of(ctx, r.ID).Has(r.ID) {
			rows[i].Older = append(rows[i].Older, survey.MemberOf(r.ID))
		}
	}
}

func order(rows []listed, by string) {
	slices.SortStableFunc(rows, func(a, b listed) int {
		switch by {
		case "age":
			return cmp.Compare(b.Age, a.Age)
		case "size":
			return cmp.Compare(b.Bytes, a.Bytes)
		}
		return cmp.Compare(a.ID, b.ID)
	})
}

func (a *app) printList(rows []listed) error {
	if a.term.JSON {
		for _, r := range rows {
			if err := a.term.Emit(r); err != nil {
				return err
			}
		}
		return nil
	}
	if len(rows) == 0 {
		a.term.Note("no components")
		return nil
	}
	unsound, bytes, sets := 0, int64(0), 0
	for _, r := range rows {
		if survey.IsSet(r.ID) {
			sets++
		}
		if r.In == "" {
			bytes += r.Bytes
		}
		if !r.Verdict.Sound() {
			unsound++
		}
	}
	if err := a.table(rows).Write(a.term.Out, 0); err != nil {
		return err
	}
	note := ui.Count(len(rows)-sets, "component", "components") + ", "
	if sets > 0 {
		note += ui.Count(sets, "set", "sets") + ", "
	}
	note += ui.Size(bytes)
	if unsound > 0 {
		note += fmt.Sprintf(", %d not sound: durable verify says why", unsound)
	}
	a.term.Note("%s", note)
	return nil
}

func (a *app) table(rows []listed) *ui.Table {
	columns, where := a.whereColumn(rows)
	t := ui.NewTable(append([]string{"COMPONENT", ">AGE", ">SIZE", ">VERSION", "OWNER", "VERDICT"}, columns...)...)
	for _, r := range rows {
		age, version := "-", strconv.FormatUint(r.Version, 10)
		if !r.SavedAt.IsZero() {
			age = ui.Age(time.Duration(r.Age * float64(time.Second)))
		}
		if r.Verdict == survey.FellBack {
			version = fmt.Sprintf("%d of %d", r.Version, r.LastVersion)
		}
		t.Add(append([]string{ui.Name(r.ID), age, ui.Size(r.Bytes), version, ui.Name(r.Owner), string(r.Verdict)}, where(r)...)...)
	}
	a.paint(t, "VERDICT", "SEVERITY", "OUTCOME")
	return t
}

// whereColumn is a column that says where states are, if there are sets among
// rows.
func (a *app) whereColumn(rows []listed) (columns []string, where func(listed) []string) {
	if !slices.ContainsFunc(rows, func(r listed) bool { return r.In != "" || survey.IsSet(r.ID) }) {
		return nil, func(listed) []string { return nil }
	}
	return []string{"WHERE"}, func(r listed) []string { return []string{ui.Plain(place(r))} }
}

// place says where the state of a component is, and what else is stored of it.
func place(r listed) string {
	switch {
	case len(r.Older) > 3:
		return fmt.Sprintf("older than what is stored of %d components by themselves", len(r.Older))
	case len(r.Older) > 0:
		return "older than what is stored of " + strings.Join(r.Older, ", ") + " by itself"
	case survey.IsSet(r.ID):
		return "all of its components"
	case r.In == "":
		return "by itself"
	case r.Own > 0:
		return fmt.Sprintf("in the set; its own version %d is older", r.Own)
	}
	return "in the set"
}

// paint colours the columns that judge, where colours are shown.
func (a *app) paint(t *ui.Table, columns ...string) {
	if !a.term.Colourful() {
		return
	}
	t.Paint(func(_ int, column, cell string) string {
		if slices.Contains(columns, column) {
			return ui.Colour(cell)
		}
		return cell
	})
}
