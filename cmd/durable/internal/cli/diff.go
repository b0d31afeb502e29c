package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/cmd/durable/internal/ui"
)

// A change is one difference between two states.
type change struct {
	Path string `json:"path"`
	Old  any    `json:"old,omitempty"`
	New  any    `json:"new,omitempty"`
	Kind string `json:"kind"` // added, removed, changed
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
			a.term.Printf("+ %s: %s\n", ui.Plain(c.Path), scalar(c.New))
		case "removed":
			a.term.Printf("- %s: %s\n", ui.Plain(c.Path), scalar(c.Old))
		default:
			a.term.Printf("~ %s: %s -> %s\n", ui.Plain(c.Path), scalar(c.Old), scalar(c.New))
		}
	}
	if len(changes) == 0 && !a.term.JSON {
		a.term.Note("no difference")
	}
	return nil
}

// scalar spells a value on one line.
func scalar(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return ui.Plain(string(b))
}

// compare lists the differences of two states in the order of their paths, or
// the first differing byte of states that are no JSON.
func compare(id string, old, new *durable.Snapshot) []change {
	a, errA := flat(id, old)
	b, errB := flat(id, new)
	if errA != nil || errB != nil {
		return compareBytes(old.Data, new.Data)
	}
	paths := maps.Clone(a)
	maps.Copy(paths, b)
	var list []change
	for _, p := range slices.Sorted(maps.Keys(paths)) {
		x, inA := a[p]
		y, inB := b[p]
		switch {
		case !inA:
			list = append(list, change{p, nil, y, "added"})
		case !inB:
			list = append(list, change{p, x, nil, "removed"})
		case x != y:
			list = append(list, change{p, x, y, "changed"})
		}
	}
	return list
}

func compareBytes(a, b []byte) []change {
	if bytes.Equal(a, b) {
		return nil
	}
	at := 0
	for at < min(len(a), len(b)) && a[at] == b[at] {
		at++
	}
	return []change{{fmt.Sprintf("byte %d", at), fmt.Sprintf("%d bytes", len(a)), fmt.Sprintf("%d bytes", len(b)), "changed"}}
}

// flat returns the leaves of a state by their paths; numbers stay as written.
func flat(id string, snap *durable.Snapshot) (map[string]any, error) {
	text, err := json.Marshal(stateJSON(id, snap))
	if err != nil {
		return nil, err
	}
	if !json.Valid(snap.Data) && text[0] == '"' {
		return nil, fmt.Errorf("no JSON")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	leaves := map[string]any{}
	flatten("", v, leaves)
	return leaves, nil
}

func flatten(path string, v any, leaves map[string]any) {
	under := func(key string) string {
		if path == "" {
			return key
		}
		return path + "." + key
	}
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			flatten(under(k), x, leaves)
		}
		if len(v) == 0 {
			leaves[path] = "{}"
		}
	case []any:
		for i, x := range v {
			flatten(path+"["+strconv.Itoa(i)+"]", x, leaves)
		}
		if len(v) == 0 {
			leaves[path] = "[]"
		}
	default:
		leaves[path] = v
	}
}
