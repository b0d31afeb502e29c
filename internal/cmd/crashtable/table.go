package main

import (
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// An event is one line of go test -json; see go doc test2json.
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
	Elapsed float64
}

// A table collects rows and what speaks against them.
type table struct {
	required []string // what rows must be there
	rows     []row
	problems []string
	output   map[string]string // of tests that run
	passed   []string          // verdicts of trials
	failed   []string
}

// A row is one line of a test.
type row struct {
	what  string
	first string // what was done, such as "1000 cuts"
	named map[string]string
	more  []string
}

var (
	line    = regexp.MustCompile(`\bcrash: ([^:]+): (\S+=\S+(?: \S+=\S+)*)`)
	columns = []string{"acknowledged", "lost", "torn", "mixed"}
)

func newTable(required ...string) *table {
	return &table{required: required, output: map[string]string{}}
}

// take takes one event and returns what to show of it at once.
func (t *table) take(e event) (show string) {
	id := strings.TrimSuffix(e.Package+" "+e.Test, " ")
	switch e.Action {
	case "output":
		if m := line.FindStringSubmatch(e.Output); m != nil {
			t.rows = append(t.rows, newRow(m[1], strings.Fields(m[2])))
			show = "     " + m[0]
		}
		t.hear(strings.TrimRight(e.Output, "\n"))
		t.output[id] += e.Output
	case "pass":
		delete(t.output, id)
		if e.Test != "" && !strings.Contains(e.Test, "/") {
			return fmt.Sprintf("ok   %s %.1fs", e.Test, e.Elapsed)
		}
	case "fail":
		t.problem("%s failed", id)
		return t.unfinished(id)
	case "skip":
		if e.Test != "" {
			t.problem("%s was skipped", id)
			return t.output[id]
		}
	}
	return show
}

// hear keeps what is a line of a trial's verdict.
func (t *table) hear(line string) {
	text, found := strings.CutPrefix(line, "trial: ")
	_, text, _ = strings.Cut(text, ": ")
	switch {
	case !found:
	case strings.HasPrefix(text, "passed, seed ") || strings.HasPrefix(text, "skipped, seed "):
		t.passed = append(t.passed, line)
	default:
		t.failed = append(t.failed, line)
	}
}

// unfinished returns what the test or the package id printed, and with a package
// also what its tests did that had no end because the process died.
func (t *table) unfinished(id string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(t.output)) {
		if name == id || strings.HasPrefix(name, id+" ") {
			b.WriteString(t.output[name])
			delete(t.output, name)
		}
	}
	return b.String()
}

func (t *table) problem(format string, args ...any) {
	t.problems = append(t.problems, fmt.Sprintf(format, args...))
}

func newRow(what string, figures []string) row {
	r := row{what: what, named: map[string]string{}}
	for i, f := range figures {
		key, value, _ := strings.Cut(f, "=")
		text := value + " " + strings.ReplaceAll(key, "_", " ")
		switch {
		case i == 0:
			r.first = text
		case slices.Contains(columns, key):
			r.named[key] = value
		case key == "seed":
			r.more = append(r.more, "seed "+value)
		default:
			r.more = append(r.more, text)
		}
	}
	return r
}

// print prints the table and reports whether all is well.
func (t *table) print(w io.Writer) bool {
	cells := [][]string{append([]string{"what", "done"}, append(columns, "more")...)}
	for _, r := range t.rows {
		c := []string{r.what, r.first}
		for _, name := range columns {
			c = append(c, r.named[name])
		}
		cells = append(cells, append(c, strings.Join(r.more, ", ")))
		t.judge(r)
	}
	for _, what := range t.required {
		if !t.has(what) {
			t.problem("there is no row %q", what)
		}
	}
	printCells(w, cells)
	for _, p := range t.problems {
		fmt.Fprintln(w, "PROBLEM:", p)
	}
	for _, line := range append(t.passed, t.failed...) {
		fmt.Fprintln(w, line)
	}
	return len(t.problems) == 0
}

// judge wants nothing lost, torn or mixed.
func (t *table) judge(r row) {
	for _, name := range columns[1:] {
		if v := r.named[name]; v != "" && v != "0" {
			t.problem("%s: %s %s", r.what, v, name)
		}
	}
}

func (t *table) has(what string) bool {
	for _, r := range t.rows {
		if r.what == what {
			return true
		}
	}
	return false
}

// printCells prints a table as Markdown, with columns of even width.
func printCells(w io.Writer, cells [][]string) {
	width := make([]int, len(cells[0]))
	for _, row := range cells {
		for i, c := range row {
			width[i] = max(width[i], utf8.RuneCountInString(c))
		}
	}
	width[len(width)-1] = 0 // the last may be long
	for n, row := range cells {
		for i, c := range row {
			fmt.Fprintf(w, "| %-*s ", width[i], c)
		}
		fmt.Fprintln(w, "|")
		if n == 0 {
			for i := range row {
				fmt.Fprint(w, "|", strings.Repeat("-", width[i]+2))
			}
			fmt.Fprintln(w, "|")
		}
	}
}
