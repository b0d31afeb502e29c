package cli

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/durablestate/durable/cmd/durable/internal/transfer"
	"github.com/durablestate/durable/cmd/durable/internal/ui"
)

// moved is the result of import and copy.
type moved struct {
	DryRun      bool              `json:"dry_run"`
	Components  int               `json:"components"`
	Outcomes    map[string]int    `json:"outcomes"`
	Generations int               `json:"generations"` // written
	Verified    int               `json:"verified"`    // read back and compared
	Bytes       int64             `json:"bytes"`
	Seconds     float64           `json:"seconds"`
	Notes       []transfer.Result `json:"notes"` // components with something to say
	Unsound     []string          `json:"unsound"`
	Failed      []string          `json:"failed"`
}

// finish says what was done; err is what ended it.
func (m *move) finish(err error) error {
	m.bar.End()
	if m.guard != nil {
		m.guard.Release()
	}
	res := m.account()
	if m.a.term.JSON {
		err = cmp.Or(err, m.a.term.Emit(res))
	} else {
		m.print(res)
	}
	if len(m.failed) > 0 {
		err = m.failed[0]
		if slices.ContainsFunc(m.failed, func(e error) bool { return exitCode(e) == exitFailed && !transfer.Refused(e) }) {
			return fmt.Errorf("%w; what is named as copied is complete, and the same command again goes on", err)
		}
		return fail(exitRefused, "%s refused, the others are complete: %w", ui.Count(len(m.failed), "component was", "components were"), err)
	}
	if err == nil && len(m.unsound) > 0 {
		return fail(exitUnsound, "%s did not come along whole", ui.Count(len(m.unsound), "component", "components"))
	}
	return err
}

func (m *move) account() *moved {
	m.mu.Lock()
	defer m.mu.Unlock()
	res := &moved{DryRun: m.o.DryRun, Components: len(m.results), Outcomes: map[string]int{}, Seconds: time.Since(m.start).Seconds(),
		Notes: []transfer.Result{}, Unsound: m.unsound, Failed: []string{}}
	slices.SortFunc(m.results, func(a, b transfer.Result) int { return cmp.Compare(a.ID, b.ID) })
	slices.Sort(m.unsound)
	for _, r := range m.results {
		res.Outcomes[r.Outcome]++
		res.Generations += r.Written
		res.Verified += r.Verified
		res.Bytes += r.Bytes
		if r.Detail != "" {
			res.Notes = append(res.Notes, r)
		}
	}
	for _, err := range m.failed {
		res.Failed = append(res.Failed, m.a.conn.redact(err.Error()))
	}
	return res
}

const mostLines = 20

func (m *move) print(r *moved) {
	t := m.a.term
	some := func(n int, line func(i int)) {
		for i := range min(n, mostLines) {
			line(i)
		}
		if n > mostLines {
			t.Printf("and %d more\n", n-mostLines)
		}
	}
	some(len(r.Notes), func(i int) { t.Printf("%s: %s\n", ui.Name(r.Notes[i].ID), r.Notes[i].Detail) })
	some(len(r.Unsound), func(i int) { t.Printf("not whole: %s\n", ui.Plain(r.Unsound[i])) })
	some(len(r.Failed), func(i int) { t.Printf("refused or failed: %s\n", ui.Plain(r.Failed[i])) })
	will := ""
	if r.DryRun {
		will = "would be "
	}
	for _, outcome := range []string{transfer.Copied, transfer.Replaced, transfer.There, transfer.Fenced} {
		if n := r.Outcomes[outcome]; n > 0 {
			t.Printf("%s %s%s\n", ui.Count(n, "component", "components"), will, map[string]string{
				transfer.Copied: "copied", transfer.Replaced: "taken over", transfer.There: "there already", transfer.Fenced: "without state: only the fence",
			}[outcome])
		}
	}
	n := ui.Count(r.Generations, "generation", "generations")
	if r.DryRun {
		t.Printf("%s would be written; nothing was changed\n", n)
		return
	}
	t.Printf("%s written, %s; %d read back and equal; %s\n", n, ui.Size(r.Bytes), r.Verified, seconds(r.Seconds))
}
