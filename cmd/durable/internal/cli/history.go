package cli

import (
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/cmd/durable/internal/survey"
	"github.com/durablestate/durable/cmd/durable/internal/ui"
)

// A generation is a line of history.
type generation struct {
	Version uint64         `json:"version"`
	Epoch   uint64         `json:"epoch"`
	SavedAt time.Time      `json:"saved_at,omitzero"`
	Bytes   int            `json:"bytes"`
	Codec   string         `json:"codec,omitempty"`
	Schema  int            `json:"schema"`
	Verdict survey.Verdict `json:"verdict"`
	Detail  string         `json:"detail,omitempty"`
	In      string         `json:"in,omitempty"` // the set that has it
}

func generations(infos []durable.SnapshotInfo) []generation {
	list := make([]generation, 0, len(infos))
	for _, i := range infos {
		g := generation{i.Version, i.Epoch, i.SavedAt, i.Bytes, i.Codec, i.Schema, survey.VerdictOfInfo(i), "", ""}
		if i.Err != nil {
			g.Detail = i.Err.Error()
		}
		list = append(list, g)
	}
	return list
}

func (a *app) history() *cobra.Command {
	return &cobra.Command{
		Use:   "history ID",
		Short: "List the stored generations of one component, each read and verified",
		Long: `History lists the stored generations of one component, newest first. Those that
are in the consistent set of its system are listed with those stored by itself.`,
		Args:              exactly(1),
		ValidArgsFunction: a.completeIDs,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, o, err := a.conn.reading(cmd.Context())
			if err != nil {
				return err
			}
			defer o.Close()
			id := o.Name(args[0])
			list, err := histories(ctx, o, id)
			if err != nil {
				return unknown(ctx, o, id, err)
			}
			return a.printHistory(list)
		},
	}
}

func (a *app) printHistory(list []generation) error {
	if a.term.JSON {
		for _, g := range list {
			if err := a.term.Emit(g); err != nil {
				return err
			}
		}
		return nil
	}
	now := time.Now()
	columns := []string{">VERSION", ">EPOCH", "SAVED", ">AGE", ">SIZE", "CODEC", ">SCHEMA", "VERDICT"}
	inSet := slices.ContainsFunc(list, func(g generation) bool { return g.In != "" })
	if inSet {
		columns = append(columns, "WHERE")
	}
	t := ui.NewTable(columns...)
	for _, g := range list {
		cells := []string{strconv.FormatUint(g.Version, 10), strconv.FormatUint(g.Epoch, 10), ui.Time(g.SavedAt), ui.Since(g.SavedAt, now),
			ui.Size(int64(g.Bytes)), ui.Plain(g.Codec), strconv.Itoa(g.Schema), string(g.Verdict)}
		switch {
		case g.In != "":
			cells = append(cells, ui.Name(g.In))
		case inSet:
			cells = append(cells, "by itself")
		}
		t.Add(cells...)
	}
	a.paint(t, "VERDICT")
	return t.Write(a.term.Out, 0)
}
