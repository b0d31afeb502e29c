package cli

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/cmd/durable/internal/ui"
)

// finding is one thing that the doctor has to say.
type finding struct {
	ID       string `json:"id"`
	Severity string `json:"severity"` // error, warning, unknown, info
	Where    string `json:"where,omitempty"`
	Evidence string `json:"evidence"`
	Remedy   string `json:"remedy,omitempty"`
}

var severities = []string{"error", "warning", "unknown", "info"}

func (a *app) doctor() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Look for what endangers state: server, disk, settings, clocks, components",
		Long: `Doctor looks at the server or the file system, at the configuration, at clocks
and versions, at leases and at the newest generation of every component. It
changes nothing. It exits with 3 when it finds an error or a warning.`,
		Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, o, err := a.conn.reading(cmd.Context())
			if err != nil {
				return err
			}
			defer o.Close()
			found := a.examine(ctx, o)
			slices.SortStableFunc(found, func(x, y finding) int {
				return cmp.Compare(slices.Index(severities, x.Severity), slices.Index(severities, y.Severity))
			})
			return a.printFindings(found)
		},
	}
}

// examine makes every examination there is for the store.
func (a *app) examine(ctx context.Context, o *opened) []finding {
	found := versions(o)
	switch adapter := o.StateAdapter.(type) {
	case *durable.RedisAdapter:
		found = append(found, audit(ctx, adapter)...)
		if !unreachable(found) {
			found = append(found, a.conn.server(ctx)...)
		}
	case *durable.FileAdapter:
		found = append(found, disk(o.set.Directory, adapter.Durable())...)
	}
	found = append(found, settingsFindings(o)...)
	if !unreachable(found) {
		found = append(found, a.contents(ctx, o)...)
	}
	return found
}

func unreachable(found []finding) bool {
	return slices.ContainsFunc(found, func(f finding) bool { return f.ID == "unreachable" })
}

func audit(ctx context.Context, adapter *durable.RedisAdapter) []finding {
	list, err := adapter.Audit(ctx)
	if err != nil {
		return []finding{{"audit", "unknown", "", err.Error(), ""}}
	}
	var found []finding
	for _, f := range list {
		found = append(found, finding{f.ID, f.Severity, f.Server, f.Evidence, f.Remedy})
	}
	return found
}

func (a *app) printFindings(found []finding) error {
	bad := 0
	for _, f := range found {
		f.Evidence = a.conn.redact(f.Evidence)
		if f.Severity == "error" || f.Severity == "warning" {
			bad++
		}
		if a.term.JSON {
			if err := a.term.Emit(f); err != nil {
				return err
			}
			continue
		}
		a.term.Verdict(f.Severity)
		a.term.Printf("%s %s %s: %s\n", strings.Repeat(" ", len("warning")-len(f.Severity)), ui.Name(cmp.Or(f.Where, "store")), f.ID, ui.Line(f.Evidence))
		if f.Remedy != "" {
			a.term.Printf("        %s\n", f.Remedy)
		}
	}
	if bad > 0 {
		return fail(exitUnsound, "%s to look at", ui.Count(bad, "finding", "findings"))
	}
	return nil
}
