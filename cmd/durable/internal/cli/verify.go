package cli

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/durablestate/durable/cmd/durable/internal/survey"
	"github.com/durablestate/durable/cmd/durable/internal/ui"
)

// verified is the result of verify.
type verified struct {
	Components  int                `json:"components"`
	Generations int                `json:"generations"`
	Bytes       int64              `json:"bytes"`
	Seconds     float64            `json:"seconds"`
	Unverified  int                `json:"unverified"`
	Unsound     []survey.Component `json:"unsound"`
	Incomplete  string             `json:"incomplete,omitempty"` // why components may be missing
}

func (a *app) verify() *cobra.Command {
	return &cobra.Command{
		Use:   "verify [ID...]",
		Short: "Read every generation and check every byte",
		Long: `Verify reads every stored generation of the named components, or of all, and
checks every byte against its checksums. It changes nothing, not even what is
damaged. It exits with 3 when something is unsound.`,
		ValidArgsFunction: a.completeIDs,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, o, err := a.conn.reading(cmd.Context())
			if err != nil {
				return err
			}
			defer o.Close()
			ids, failed, err := choose(ctx, o, args)
			if err != nil {
				return err
			}
			v, err := a.check(ctx, o, ids)
			if err != nil {
				return err
			}
			if failed != nil {
				v.Incomplete = failed.Error()
			}
			return a.printVerified(v)
		},
	}
}

// choose returns the named components, or all of them and why these may not be
// complete.
func choose(ctx context.Context, o *opened, args []string) (ids []string, incomplete, err error) {
	if len(args) == 0 {
		ids, err = o.IDs(ctx)
		if len(ids) > 0 {
			return ids, err, nil
		}
		return nil, nil, err
	}
	for _, arg := range args {
		id := o.Name(arg)
		if _, err := o.ListSnapshots(ctx, id); survey.VerdictOf(err) == survey.Missing {
			return nil, nil, unknown(ctx, o, id, err)
		} else if survey.VerdictOf(err) == survey.Unreadable {
			return nil, nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil, nil
}

func (a *app) check(ctx context.Context, o *opened, ids []string) (*verified, error) {
	start := time.Now()
	v := &verified{Components: len(ids), Unsound: []survey.Component{}}
	var mu sync.Mutex
	bar := a.term.Progress("verify", len(ids))
	err := survey.Each(ctx, ids, func(ctx context.Context, i int) (int64, error) {
		c, infos := o.Verify(ctx, ids[i])
		largest := int64(0)
		for _, g := range infos {
			largest = max(largest, int64(g.Bytes))
		}
		bar.Step(c.AllBytes)
		if c.Verdict == survey.Missing { // deleted since it was listed
			return largest, ctx.Err()
		}
		mu.Lock()
		defer mu.Unlock()
		v.Generations += c.Generations
		v.Bytes += c.AllBytes
		if c.Verdict == survey.Unverified {
			v.Unverified++
		}
		if !c.Verdict.Sound() {
			v.Unsound = append(v.Unsound, c)
		}
		return largest, ctx.Err()
	})
	bar.End()
	v.Seconds = time.Since(start).Seconds()
	slices.SortFunc(v.Unsound, func(a, b survey.Component) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return v, err
}

func (a *app) printVerified(v *verified) error {
	if a.term.JSON {
		if err := a.term.Emit(v); err != nil {
			return err
		}
	} else {
		if err := a.printUnsound(v.Unsound); err != nil {
			return err
		}
		a.term.Printf("%s, %s, %s read in %s: %d not sound\n", ui.Count(v.Components, "component", "components"),
			ui.Count(v.Generations, "generation", "generations"), ui.Size(v.Bytes),
			time.Duration(v.Seconds*float64(time.Second)).Round(time.Millisecond), len(v.Unsound))
		if v.Unverified > 0 {
			a.term.Printf("%d plain values cannot be verified; the next save of their program gives them checksums\n", v.Unverified)
		}
	}
	switch {
	case v.Incomplete != "":
		return fail(exitUnsound, "the list is not complete: %s", v.Incomplete)
	case len(v.Unsound) > 0:
		return fail(exitUnsound, "%s not sound", ui.Count(len(v.Unsound), "component is", "components are"))
	}
	return nil
}

func (a *app) printUnsound(list []survey.Component) error {
	if len(list) == 0 {
		return nil
	}
	t := ui.NewTable("COMPONENT", ">USABLE", ">LAST", "VERDICT", "DETAIL")
	for _, c := range list {
		usable := "none"
		if c.Version > 0 {
			usable = strconv.FormatUint(c.Version, 10)
		}
		t.Add(ui.Name(c.ID), usable, strconv.FormatUint(c.LastVersion, 10), string(c.Verdict), ui.Plain(c.Detail))
	}
	a.paint(t, "VERDICT")
	return t.Write(a.term.Out, 0)
}
