package cli

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/durablestate/durable/cmd/durable/internal/ui"
)

func (a *app) watch() *cobra.Command {
	var every time.Duration
	var count int
	var all bool
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "Show saves and ages as they happen",
		Long: `Watch reads the newest generation of every component again and again and shows
those first that were saved longest ago. SAVES counts versions since it began.
It reads all states each time: choose --interval with that in mind.`,
		Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if every <= 0 || count < 0 {
				return usage("--interval must be above 0 and --count not below")
			}
			ctx, o, err := a.conn.reading(cmd.Context())
			if err != nil {
				return err
			}
			defer o.Close()
			w := &watcher{a: a, o: o, all: all, first: map[string]uint64{}}
			return w.run(ctx, every, count)
		},
	}
	cmd.Flags().DurationVarP(&every, "interval", "i", 2*time.Second, "`time` between looks")
	cmd.Flags().IntVarP(&count, "count", "n", 0, "stop after so many looks; 0 is never")
	cmd.Flags().BoolVarP(&all, "all", "a", false, "also what the library keeps for itself")
	return cmd
}

type watcher struct {
	a     *app
	o     *opened
	all   bool
	first map[string]uint64 // version at the first look
}

func (w *watcher) run(ctx context.Context, every time.Duration, count int) error {
	w.a.term.Quiet = true
	for n := 1; ; n++ {
		rows, err := w.a.list(ctx, w.o, w.all)
		if ctx.Err() != nil {
			return nil
		}
		w.show(rows, err)
		if lost := w.a.term.Lost(); lost != nil {
			return lost
		}
		if n == count {
			return err
		}
		select {
		case <-time.After(every):
		case <-ctx.Done():
			return nil
		}
	}
}

// watched is a line of watch.
type watched struct {
	At time.Time `json:"at"`
	listed
	Saves uint64 `json:"saves"`
}

func (w *watcher) show(rows []listed, err error) {
	order(rows, "age")
	columns, where := w.a.whereColumn(rows)
	now, t := time.Now(), ui.NewTable(append([]string{"COMPONENT", ">AGE", ">SIZE", ">VERSION", ">SAVES", "OWNER", "VERDICT"}, columns...)...)
	for _, r := range rows {
		if _, ok := w.first[r.ID]; !ok {
			w.first[r.ID] = r.LastVersion
		}
		saves := uint64(0)
		if r.LastVersion > w.first[r.ID] {
			saves = r.LastVersion - w.first[r.ID]
		}
		if w.a.term.JSON {
			_ = w.a.term.Emit(watched{now.UTC(), r, saves})
		}
		t.Add(append([]string{ui.Name(r.ID), ui.Age(time.Duration(r.Age * float64(time.Second))), ui.Size(r.Bytes), fmt.Sprint(r.Version), fmt.Sprint(saves),
			ui.Name(r.Owner), string(r.Verdict)}, where(r)...)...)
	}
	switch {
	case !w.a.term.JSON:
		w.draw(rows, t, now, err)
	case err != nil:
		w.a.say(err)
	}
}

// draw writes one picture at a time, so that a terminal does not flicker.
func (w *watcher) draw(rows []listed, t *ui.Table, now time.Time, err error) {
	w.a.paint(t, "VERDICT")
	var b bytes.Buffer
	height := w.a.term.Height()
	if height > 0 {
		b.WriteString("\x1b[H\x1b[J")
	}
	unsound := 0
	for _, r := range rows {
		if !r.Verdict.Sound() {
			unsound++
		}
	}
	fmt.Fprintf(&b, "%s  %s, %d not sound\n", now.UTC().Format("15:04:05Z"), ui.Count(len(rows), "component", "components"), unsound)
	if err != nil {
		fmt.Fprintf(&b, "%s\n", w.a.conn.redact(ui.Plain(err.Error())))
	}
	_ = t.Write(&b, max(0, height-4))
	_, _ = w.a.term.Out.Write(b.Bytes()) // run looks whether it could
}
