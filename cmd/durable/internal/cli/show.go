package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
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
			snap, err := pick(ctx, o, id, version, cmd.Flags().Changed("version"))
			if err != nil {
				return err
			}
			if raw {
				_, err = a.term.Out.Write(snap.Data)
				return err
			}
			return a.printState(ctx, o, id, snap)
		},
	}
	cmd.Flags().Uint64Var(&version, "version", 0, "show this `version` instead of the newest")
	cmd.Flags().BoolVar(&raw, "raw", false, "write the bytes of the state and nothing else")
	return cmd
}

// pick loads a version, or the newest one.
func pick(ctx context.Context, o *opened, id string, version uint64, given bool) (*durable.Snapshot, error) {
	if !given {
		snap, err := o.LoadState(ctx, id)
		return snap, unknown(ctx, o, id, err)
	}
	snap, err := o.LoadSnapshot(ctx, id, version)
	if errors.Is(err, durable.ErrNotFound) {
		return nil, noVersion(ctx, o, id, version, err)
	}
	return snap, err
}

// noVersion says which versions there are instead.
func noVersion(ctx context.Context, o *opened, id string, version uint64, err error) error {
	infos, _ := o.ListSnapshots(ctx, id)
	var have []string
	for _, i := range infos {
		have = append(have, strconv.FormatUint(i.Version, 10))
	}
	if len(have) == 0 {
		return unknown(ctx, o, id, err)
	}
	return fail(exitNotFound, "version %d of %q is not stored; there are %s", version, id, strings.Join(have, ", "))
}

// unknown tells an id that nobody ever saved from one that was deleted.
func unknown(ctx context.Context, o *opened, id string, err error) error {
	if !errors.Is(err, durable.ErrNotFound) {
		return err
	}
	f, ferr := o.Fence(ctx, id)
	if ferr == nil && f.Version > 0 {
		return fail(exitNotFound, "%q was deleted; its fence is epoch %d, version %d", id, f.Epoch, f.Version)
	}
	return fail(exitNotFound, "no component %q in %s; durable ls lists them", id, o.where())
}

func (a *app) printState(ctx context.Context, o *opened, id string, snap *durable.Snapshot) error {
	infos, err := o.ListSnapshots(ctx, id)
	if err != nil {
		return err
	}
	fence, err := o.Fence(ctx, id)
	if err != nil {
		return err
	}
	own := o.Ownership(ctx, survey.LeaseOf(id))
	if a.term.JSON {
		return a.term.Emit(map[string]any{
			"id": id, "version": snap.Version, "epoch": snap.Epoch, "write_id": snap.WriteID, "saved_at": snap.SavedAt,
			"codec": snap.Codec, "schema": snap.Schema, "bytes": len(snap.Data), "fence": fence,
			"owner": own.Holder(time.Now()), "lease": own.State(time.Now()), "history": generations(infos), "state": stateJSON(id, snap),
		})
	}
	now := time.Now()
	a.term.Printf("component  %s\n", ui.Plain(id))
	a.term.Printf("version    %d, saved %s (%s ago)\n", snap.Version, ui.Time(snap.SavedAt), ui.Since(snap.SavedAt, now))
	a.term.Printf("epoch      %d\n", snap.Epoch)
	a.term.Printf("fence      epoch %d, version %d\n", fence.Epoch, fence.Version)
	a.term.Printf("format     codec %s, schema %d, write id %s\n", cmp.Or(ui.Plain(snap.Codec), "-"), snap.Schema, cmp.Or(snap.WriteID, "-"))
	a.term.Printf("size       %s\n", ui.Size(int64(len(snap.Data))))
	a.term.Printf("owner      %s\n\n", ui.Plain(own.String()))
	if err := a.printHistory(infos); err != nil {
		return err
	}
	a.term.Printf("\n%s\n", stateText(id, snap))
	return nil
}

// stateText is a state for people to read.
func stateText(id string, snap *durable.Snapshot) string {
	if survey.IsSet(id) {
		if members, err := survey.Members(snap.Data); err == nil {
			var b strings.Builder
			for _, m := range members {
				fmt.Fprintf(&b, "# %s: version %d, %s\n%s\n", ui.Plain(m.ID), m.Version, ui.Size(int64(len(m.Data))), stateText("", &m.Snapshot))
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
			}
			return m
		}
	}
	if json.Valid(snap.Data) {
		return json.RawMessage(snap.Data)
	}
	return snap.Data
}
