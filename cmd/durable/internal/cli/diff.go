package cli

import (
	"encoding/json"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/cmd/durable/internal/ui"
)

// A change is one difference between two states.
type change struct {
	Path string          `json:"path"` // for people; Keys says the same without a doubt
	Keys []any           `json:"keys"` // names of members, and numbers of elements
	Old  json.RawMessage `json:"old,omitempty"`
	New  json.RawMessage `json:"new,omitempty"`
	Kind string          `json:"kind"` // added, removed, changed
}

func (a *app) diff() *cobra.Command {
	var exit bool
	cmd := &cobra.Command{
		Use:               "diff ID V1 V2",
		Short:             "Show what changed between two versions of one component",
		Args:              exactly(3),
		ValidArgsFunction: a.completeIDs,
		RunE: func(cmd *cobra.Command, args []string) error {
			var versions [2]uint64
			for i, text := range args[1:] {
				v, err := strconv.ParseUint(text, 10, 64)
				if err != nil {
					return usage("%q is no version", text)
				}
				versions[i] = v
			}
			ctx, o, err := a.conn.reading(cmd.Context())
			if err != nil {
				return err
			}
			defer o.Close()
			id := o.Name(args[0])
			var snaps [2]*durable.Snapshot
			for i, v := range versions {
				p, err := pick(ctx, o, id, v, true)
				if err != nil {
					return err
				}
				snaps[i] = p.Snapshot
			}
			changes := compare(id, snaps[0], snaps[1])
			if err := a.printChanges(changes); err != nil {
				return err
			}
			if exit && len(changes) > 0 {
				return fail(exitUnsound, "versions %d and %d differ", versions[0], versions[1])
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&exit, "exit-code", false, "exit with 3 when the versions differ")
	return cmd
}

func (a *app) printChanges(changes []change) error {
	for _, c := range changes {
		if a.term.JSON {
			if err := a.term.Emit(c); err != nil {
				return err
			}
			continue
		}
		switch c.Kind {
		case "added":
			a.term.Printf("+ %s: %s\n", c.Path, ui.Line(string(c.New)))
		case "removed":
			a.term.Printf("- %s: %s\n", c.Path, ui.Line(string(c.Old)))
		default:
			a.term.Printf("~ %s: %s -> %s\n", c.Path, ui.Line(string(c.Old)), ui.Line(string(c.New)))
		}
	}
	if len(changes) == 0 && !a.term.JSON {
		a.term.Note("no difference")
	}
	return nil
}
