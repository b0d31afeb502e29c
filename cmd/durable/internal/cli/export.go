package cli

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/durablestate/durable/cmd/durable/internal/archive"
	"github.com/durablestate/durable/cmd/durable/internal/survey"
	"github.com/durablestate/durable/cmd/durable/internal/transfer"
	"github.com/durablestate/durable/cmd/durable/internal/ui"
)

// exported is the result of export.
type exported struct {
	File string `json:"file"`
	archive.Totals
	Deleted int                `json:"deleted"` // of the components: only their fences
	Seconds float64            `json:"seconds"`
	Unsound []survey.Component `json:"unsound"` // what could not be taken along whole
}

func (a *app) export() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "export FILE|- [ID...]",
		Short: "Write components with their history to one archive",
		Long: `Export writes every generation that verifies, and the fence of each component,
to one file. The file appears when it is complete and synced; an export that
fails leaves what was there. What programs save meanwhile may be in it or not,
one component or one consistent set at a time. Of deleted components it has the
fence, so that an import deletes them too. It exits with 3 when something was not sound: the
archive then holds what could be read.

With - the archive goes to standard output, and what export says about it to
standard error. A FILE that is a pipe or a device is written to.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage("durable export needs the name of a file; try durable export --help")
			}
			if args[0] == "-" && ui.IsTerminal(a.term.Out) {
				return usage("an archive is not for a terminal: send it to a file or a program")
			}
			ctx, o, err := a.conn.reading(cmd.Context())
			if err != nil {
				return err
			}
			defer o.Close()
			ids, incomplete, err := chooseToMove(ctx, o, args[1:])
			if err != nil {
				return err
			}
			if len(ids) == 0 && incomplete == nil { // of a mistyped system it would take the place of a backup
				return fail(exitNotFound, "no components in %s; nothing was written", o.where())
			}
			start := time.Now()
			e := &exported{File: args[0], Unsound: []survey.Component{}}
			write := func(w io.Writer) error { return a.writeArchive(ctx, o, ids, w, e) }
			report := a
			if args[0] == "-" {
				report = a.aside()
				err = write(a.term.Out)
			} else {
				err = archive.Create(ctx, args[0], force, write)
			}
			if errors.Is(err, fs.ErrExist) {
				return &failure{exitRefused, err}
			} else if err != nil {
				return err
			}
			e.Seconds = time.Since(start).Seconds()
			return report.printExported(e, incomplete)
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "replace an existing file")
	return cmd
}

// aside is a whose results go to standard error.
func (a *app) aside() *app {
	b, term := *a, *a.term
	term.Out = term.Err
	b.term = &term
	return &b
}

// writeArchive writes one component at a time; the next ones are looked at
// meanwhile.
func (a *app) writeArchive(ctx context.Context, o *opened, ids []string, w io.Writer, e *exported) error {
	out, err := archive.NewWriter(w, archive.Info{Created: time.Now().UTC().Truncate(time.Second), From: o.set.Adapter})
	if err != nil {
		return err
	}
	bar := a.term.Progress("export", len(ids))
	defer bar.End()
	var mu sync.Mutex
	err = survey.Each(ctx, ids, func(ctx context.Context, i int) (int64, error) {
		it, err := transfer.FromStore(ctx, o.Store, ids[i])
		if err != nil {
			return 0, err
		}
		mu.Lock()
		defer mu.Unlock()
		largest, all, err := writeItem(ctx, out, it)
		if !it.Whole() {
			e.Unsound = append(e.Unsound, survey.Component{ID: it.ID, Verdict: it.Verdict, LastVersion: it.Fence.Version})
		}
		if it.Verdict == survey.Missing {
			e.Deleted++
		}
		bar.Step(all)
		return largest, err
	})
	if err != nil {
		return err
	}
	slices.SortFunc(e.Unsound, func(a, b survey.Component) int { return order2(a.ID, b.ID) })
	e.Totals, err = out.Close()
	return err
}

func order2(a, b string) int {
	if a < b {
		return -1
	}
	return 1
}

// writeItem writes the generations of one component and returns the size of the
// largest and of all.
func writeItem(ctx context.Context, out *archive.Writer, it *transfer.Item) (largest, all int64, err error) {
	for i, v := range it.Versions {
		s, err := it.Load(ctx, v)
		if transfer.Gone(err) && i < len(it.Versions)-1 {
			continue // superseded since it was listed
		} else if err != nil {
			return largest, all, err
		}
		if err := out.Generation(it.ID, s); err != nil {
			return largest, all, err
		}
		largest, all = max(largest, int64(len(s.Data))), all+int64(len(s.Data))
	}
	return largest, all, out.Component(archive.Component{
		ID: it.ID, Epoch: it.Fence.Epoch, Version: it.Fence.Version, Verdict: string(it.Verdict), Skipped: it.Skipped,
	})
}

func (a *app) printExported(e *exported, incomplete error) error {
	if a.term.JSON {
		if err := a.term.Emit(e); err != nil {
			return err
		}
	} else {
		if err := a.printUnsound(e.Unsound); err != nil {
			return err
		}
		if e.Deleted > 0 {
			a.term.Printf("%s deleted: only the fence is in the archive\n", ui.Count(e.Deleted, "component was", "components were"))
		}
		a.term.Printf("%s: %s, %s, %s of state in %s, sha256 %s\n", ui.Name(e.File), ui.Count(e.Components, "component", "components"),
			ui.Count(e.Generations, "generation", "generations"), ui.Size(e.Bytes), seconds(e.Seconds), e.SHA256)
	}
	if incomplete != nil {
		return fail(exitUnsound, "the archive may lack components: %v", incomplete)
	}
	if n := len(e.Unsound); n > 0 {
		return fail(exitUnsound, "%s not exported whole", ui.Count(n, "component was", "components were"))
	}
	return nil
}

func seconds(s float64) time.Duration {
	return time.Duration(s * float64(time.Second)).Round(time.Millisecond)
}
