package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/cmd/durable/internal/survey"
	"github.com/durablestate/durable/cmd/durable/internal/ui"
)

func (a *app) show() *cobra.Command {
	var version uint64
	var raw bool
	cmd := &cobra.Command{
		Use:               "show ID",
		Short:             "Show one component: header, owner, history and state",
		Args:              exactly(1),
		ValidArgsFunction: a.completeIDs,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, o, err := a.conn.reading(cmd.Context())
			if err != nil {
				return err
			}
			defer o.Close()
			id := o.Name(args[0])
			if raw && a.term.JSON {
				return usage("--raw writes bytes and --json writes JSON; keep one")
			}
			p, err := pick(ctx, o, id, version, cmd.Flags().Changed("version"))
			if err != nil {
				return err
			}
			if raw {
				_, err = a.term.Out.Write(p.Data)
				return err
			}
			return a.printState(ctx, o, id, p)
		},
	}
	cmd.Flags().Uint64Var(&version, "version", 0, "show this `version` instead of the newest")
	cmd.Flags().BoolVar(&raw, "raw", false, "write the bytes of the state and nothing else")
	return cmd
}

func (a *app) printState(ctx context.Context, o *opened, id string, p *picked) error {
	list, err := histories(ctx, o, id)
	if err != nil {
		return err
	}
	fence, err := o.Fence(ctx, cmp.Or(p.in, id))
	if err != nil {
		return err
	}
	own := o.Ownership(ctx, survey.LeaseOf(id))
	if a.term.JSON {
		m := map[string]any{
			"id": id, "version": p.Version, "epoch": p.Epoch, "write_id": p.WriteID, "saved_at": p.SavedAt,
			"codec": p.Codec, "schema": p.Schema, "bytes": len(p.Data), "fence": fence,
			"owner": own.Holder(time.Now()), "lease": own.State(time.Now()), "history": list, "state": stateJSON(id, p.Snapshot),
		}
		if p.in != "" {
			m["in"] = p.in
		}
		return a.term.Emit(m)
	}
	now := time.Now()
	a.term.Printf("component  %s\n", ui.Name(id))
	if p.in != "" {
		a.term.Printf("stored     in %s, together with the other components\n", ui.Name(p.in))
	}
	if p.own > 0 {
		a.term.Printf("           its own version %d is older, a restart does not take it\n", p.own)
	}
	a.term.Printf("version    %d, saved %s (%s ago)\n", p.Version, ui.Time(p.SavedAt), ui.Since(p.SavedAt, now))
	a.term.Printf("epoch      %d\n", p.Epoch)
	a.term.Printf("fence      epoch %d, version %d\n", fence.Epoch, fence.Version)
	a.term.Printf("format     codec %s, schema %d, write id %s\n", cmp.Or(ui.Plain(p.Codec), "-"), p.Schema, cmp.Or(p.WriteID, "-"))
	a.term.Printf("size       %s\n", ui.Size(int64(len(p.Data))))
	a.term.Printf("owner      %s\n\n", ui.Plain(own.String()))
	if err := a.printHistory(list); err != nil {
		return err
	}
	a.term.Printf("\n%s\n", stateText(id, p.Snapshot))
	return nil
}

// stateText is a state for people to read.
func stateText(id string, snap *durable.Snapshot) string {
	if survey.IsSet(id) {
		if members, err := survey.Members(snap.Data); err == nil {
			var b strings.Builder
			for _, m := range members {
				if m.Err != nil {
					fmt.Fprintf(&b, "# %s: cannot be read: %s\n", ui.Name(m.ID), ui.Plain(m.Err.Error()))
					continue
				}
				if m.Deleted {
					fmt.Fprintf(&b, "# %s: removed\n", ui.Name(m.ID))
					continue
				}
				fmt.Fprintf(&b, "# %s: version %d, %s\n%s\n", ui.Name(m.ID), m.Version, ui.Size(int64(len(m.Data))), stateText("", &m.Snapshot))
			}
			return strings.TrimRight(b.String(), "\n")
		}
	}
	var b bytes.Buffer
	if json.Indent(&b, snap.Data, "", "  ") == nil {
		return ui.Plain(b.String())
	}
	const most = 512
	dump := hex.Dump(snap.Data[:min(most, len(snap.Data))])
	if more := len(snap.Data) - most; more > 0 {
		dump += fmt.Sprintf("and %d bytes more; --raw writes all\n", more)
	}
	return strings.TrimRight(dump, "\n")
}

// stateJSON is a state as part of a JSON document: as it is when it is JSON, and
// in base64 otherwise.
func stateJSON(id string, snap *durable.Snapshot) any {
	if survey.IsSet(id) {
		if members, err := survey.Members(snap.Data); err == nil {
			m := map[string]any{}
			for i := range members {
				m[members[i].ID] = stateJSON("", &members[i].Snapshot)
				if members[i].Err != nil || members[i].Deleted {
					m[members[i].ID] = nil
				}
			}
			return m
		}
	}
	if json.Valid(snap.Data) {
		return json.RawMessage(snap.Data)
	}
	return snap.Data
}
