package cli

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/cmd/durable/internal/archive"
	"github.com/durablestate/durable/cmd/durable/internal/survey"
	"github.com/durablestate/durable/cmd/durable/internal/transfer"
	"github.com/durablestate/durable/cmd/durable/internal/ui"
	"github.com/durablestate/durable/internal/store"
)

// archiveLimit is the largest state that an archive may hold.
const archiveLimit = 1 << 30

func (a *app) importing() *cobra.Command {
	var o transfer.Options
	cmd := &cobra.Command{
		Use:   "import FILE|-",
		Short: "Bring the components of an archive into the store",
		Long: `Import reads the whole archive and checks every byte before it touches the
store. Then it saves the generations of each component with their versions and
epochs, oldest first, raises the fence, and reads everything back.

A component of which the store holds other state is refused, unless --force takes
it over: the archive's generations then get new versions above what is there, and
a running owner is refused. An import that was interrupted leaves components that
are complete, untouched, or at an older generation of the archive; the same
command again completes them.

With - the archive is read from standard input, to its end, before anything else
is done. An archive is imported whole, so --system and --replica are refused.`,
		Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if a.conn.system != "" || a.conn.replica != "" {
				return usage("import brings the whole archive; leave --system and --replica out, or export these components only")
			}
			if args[0] == "-" && ui.IsTerminal(a.term.In) {
				return usage("an archive is not typed: send a file or a program's output")
			}
			f, err := archive.Open(args[0], a.term.In)
			if err != nil {
				return err
			}
			defer f.Close()
			items, stand, err := a.checkArchive(f)
			if err != nil {
				return fmt.Errorf("%s: %w; nothing was changed", args[0], err)
			}
			to, err := a.openTarget(cmd.Context(), &a.conn, o.DryRun)
			if err != nil {
				return err
			}
			defer to.Close()
			o.Places = transfer.NewPlaces(func(_ context.Context, id string) (transfer.Standing, error) { return stand[id], nil })
			m := a.newMove(to, o, "import", len(items))
			err = m.all(cmd.Context(), items)
			return m.finish(err)
		},
	}
	transferFlags(cmd, &o)
	return cmd
}

func transferFlags(cmd *cobra.Command, o *transfer.Options) {
	cmd.Flags().BoolVar(&o.Force, "force", false, "take over components of which the target holds other state, also from a running owner")
	cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "say what would be done and change nothing")
}

// checkArchive reads a whole archive and returns what it holds, whose states stay
// in the file until they are loaded, and how far its components have come.
func (a *app) checkArchive(f *os.File) ([]*transfer.Item, map[string]transfer.Standing, error) {
	bar := a.term.Progress("checking", 0)
	defer bar.End()
	var items []*transfer.Item
	stand := map[string]transfer.Standing{}
	_, err := archive.Verify(f, archiveLimit, func(c *archive.Component, gens []archive.Generation) {
		s := transfer.Standing{Fence: survey.Fence{Epoch: c.Epoch, Version: c.Version}}
		if n := len(gens); n > 0 {
			s.Epoch, s.Version = gens[n-1].Epoch, gens[n-1].Version
		}
		stand[c.ID] = s
		items = append(items, packed(f, c, gens))
		bar.Step(items[len(items)-1].Bytes)
	})
	return items, stand, err
}

// openTarget opens the store to fill. A dry run into a directory that does not
// exist sees an empty store.
func (a *app) openTarget(ctx context.Context, c *connection, dry bool) (*opened, error) {
	if dry {
		cfg, set, err := c.load()
		if err != nil {
			return nil, err
		}
		if set.Adapter == "file" && checkStore(set.Directory) != nil {
			s, err := survey.New(durable.NewMemoryAdapter(nil), "")
			return &opened{s, cfg, set}, err
		}
	}
	return c.receiving(ctx)
}

// A move is a transfer under way.
type move struct {
	a     *app
	to    *opened
	o     transfer.Options
	guard *transfer.Guard // nil in a dry run
	bar   *ui.Progress
	start time.Time

	mu      sync.Mutex
	results []transfer.Result
	failed  []error
	unsound []string // came along without all of their generations
}

func (a *app) newMove(to *opened, o transfer.Options, what string, total int) *move {
	m := &move{a: a, to: to, o: o, bar: a.term.Progress(what, total), start: time.Now()}
	if !o.DryRun {
		m.guard = transfer.NewGuard(to.Store, o.Force)
	}
	return m
}

// deliver moves one component and keeps the account. Only what concerns all
// components is an error.
func (m *move) deliver(ctx context.Context, it *transfer.Item) error {
	var err error
	if m.guard != nil {
		err = m.guard.Take(ctx, it.ID)
	} else {
		ctx = store.Observe(ctx)
	}
	if err != nil {
		return err
	}
	r, err := transfer.Deliver(ctx, m.to.Store, it, m.o)
	m.bar.Step(r.Bytes)
	m.mu.Lock()
	defer m.mu.Unlock()
	if !it.Whole() {
		m.unsound = append(m.unsound, fmt.Sprintf("%s: %s, %d generations not usable", it.ID, it.Verdict, it.Skipped))
	}
	if err == nil {
		m.results = append(m.results, r)
		return nil
	}
	m.failed = append(m.failed, err)
	if exitCode(err) == exitRefused || transfer.Refused(err) {
		return ctx.Err() // the others go on
	}
	return err
}

// all delivers items, several at a time, as many as there is memory for.
func (m *move) all(ctx context.Context, items []*transfer.Item) error {
	ids := make([]string, len(items))
	for i, it := range items {
		ids[i] = it.ID
	}
	return survey.Each(ctx, ids, func(ctx context.Context, i int) (int64, error) {
		return items[i].Largest, m.deliver(ctx, items[i])
	})
}

// packed is a component of an archive.
func packed(f *os.File, c *archive.Component, gens []archive.Generation) *transfer.Item {
	it := &transfer.Item{ID: c.ID, Fence: survey.Fence{Epoch: c.Epoch, Version: c.Version}, Skipped: c.Skipped, Verdict: survey.Verdict(c.Verdict)}
	for _, g := range gens {
		it.Versions = append(it.Versions, g.Version)
		it.Bytes += g.Place.Bytes
		it.Largest = max(it.Largest, g.Place.Bytes)
	}
	it.Load = func(_ context.Context, version uint64) (*durable.Snapshot, error) {
		i := slices.Index(it.Versions, version)
		if i < 0 {
			return nil, durable.ErrNotFound
		}
		return gens[i].Place.Load(f, it.ID)
	}
	return it
}
