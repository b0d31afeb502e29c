package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/cmd/durable/internal/survey"
	"github.com/durablestate/durable/cmd/durable/internal/ui"
)

// drilled is the result of a drill.
type drilled struct {
	Components int             `json:"components"`
	Restored   int             `json:"restored"`
	Bytes      int64           `json:"bytes"`
	Seconds    float64         `json:"seconds"`
	Oldest     float64         `json:"oldest_seconds"` // age of the oldest state
	Outcomes   map[string]int  `json:"outcomes"`
	Problems   []restoreResult `json:"problems"`

	later map[string]uint64 // what the next start takes from the spill, and was not met yet
}

type restoreResult struct {
	ID      string `json:"id"`
	Outcome string `json:"outcome"`
	Version uint64 `json:"version"`
	Detail  string `json:"detail,omitempty"`
}

func (a *app) drill() *cobra.Command {
	return &cobra.Command{
		Use:   "drill",
		Short: "Rehearse a recovery: restore every component into memory, change nothing",
		Long: `Drill runs the restore that a program runs at its start, for every component of
the store or of one system, into memory, and reports how long it took and how
each ended. What the next start takes from a spill first is told, not restored. Components that were saved as one set are restored from it. It takes no lease, claims nothing and saves nothing, so it can be run
beside the owner. It exits with 3 when a component would not come back as it was.`,
		Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, o, err := a.conn.reading(cmd.Context())
			if err != nil {
				return err
			}
			defer o.Close()
			ids, incomplete, err := choose(ctx, o, nil)
			if err != nil {
				return err
			}
			ids = slices.DeleteFunc(ids, survey.Internal)
			later, err := due(ctx, o)
			if err != nil {
				return fmt.Errorf("the spill cannot be read: %w", err)
			}
			d, err := a.rehearse(ctx, o, ids, later)
			if err != nil {
				return err
			}
			if err := a.printDrill(d); err != nil || incomplete == nil {
				return err
			}
			return fail(exitUnsound, "the list is not complete: %v", incomplete)
		},
	}
}

// rehearse restores ids, one system after the other.
func (a *app) rehearse(ctx context.Context, o *opened, ids []string, later map[string]uint64) (*drilled, error) {
	sets := o.Sets()
	ids = append(ids, members(ctx, sets, ids)...)
	bar := a.term.Progress("drill", len(ids))
	defer bar.End()
	d := &drilled{Outcomes: map[string]int{}, Problems: []restoreResult{}, later: later}
	start := time.Now()
	dirs, groups := bySystem(ids)
	for _, dir := range dirs {
		var components []string
		for _, id := range groups[dir] {
			if !survey.IsSet(id) {
				if !sets.Of(ctx, id).Removed(id) || sets.Restored(ctx, id).Verdict != survey.Removed {
					components = append(components, id)
				}
			} else if set := sets.Of(ctx, id); set.Newest.Err() != nil || set.Damaged != nil {
				d.lost(set)
			}
		}
		r := &rehearsal{s: o.Store, dir: dir, names: map[string]string{}, parts: map[string]*part{}, bar: bar}
		if err := d.rehearse(ctx, r, components); err != nil {
			return nil, err
		}
	}
	for _, id := range slices.Sorted(maps.Keys(d.later)) {
		d.Components++
		d.spilled(id)
	}
	d.Seconds = time.Since(start).Seconds()
	return d, nil
}

// spilled notes that the next start has another state of id than the store, and that
// nothing was rehearsed with it.
func (d *drilled) spilled(id string) {
	d.Problems = append(d.Problems, restoreResult{id, "spilled", d.later[id], "the next start takes what the spill holds of it first: durable doctor says what is there"})
	delete(d.later, id)
}

// lost adds a set of which nobody can tell which components were in it.
func (d *drilled) lost(set *survey.Set) {
	d.Components++
	err := cmp.Or(set.Newest.Err(), set.Damaged)
	d.Problems = append(d.Problems, restoreResult{set.ID, string(survey.VerdictOf(err)), set.Newest.Version, detail(err)})
}

// detail drops the name under which the rehearsal knows a component.
func detail(err error) string {
	for e := (*durable.Error)(nil); errors.As(err, &e); err = e.Err {
		if errors.As(e.Err, new(*durable.Error)) {
			continue
		}
		return e.Err.Error()
	}
	return err.Error()
}

func (a *app) printDrill(d *drilled) error {
	if a.term.JSON {
		if err := a.term.Emit(d); err != nil {
			return err
		}
	} else {
		if len(d.Problems) > 0 {
			t := ui.NewTable("COMPONENT", "OUTCOME", ">VERSION", "DETAIL")
			for _, p := range d.Problems {
				t.Add(ui.Name(p.ID), p.Outcome, strconv.FormatUint(p.Version, 10), ui.Plain(p.Detail))
			}
			a.paint(t, "OUTCOME")
			if err := t.Write(a.term.Out, 0); err != nil {
				return err
			}
		}
		a.term.Printf("%d of %s restored, %s in %s; the oldest state is %s old; nothing was changed\n", d.Restored,
			ui.Count(d.Components, "component", "components"), ui.Size(d.Bytes), seconds(d.Seconds), ui.Age(time.Duration(d.Oldest*float64(time.Second))))
	}
	if n := d.Components - d.Restored; n > 0 {
		return fail(exitUnsound, "%s not come back whole", ui.Count(n, "component would", "components would"))
	}
	return nil
}
