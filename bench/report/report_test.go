package report_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/durablestate/durable/bench/measure"
	"github.com/durablestate/durable/bench/report"
)

func TestClaim_is_met_by_its_median(t *testing.T) {
	low, high := measure.Spread{Median: 1, Min: 1, Max: 9}, measure.Spread{Median: 9, Min: 1, Max: 9}
	for _, c := range []struct {
		claim report.Claim
		met   bool
	}{
		{report.Claim{Bar: 5, Reached: low}, false},
		{report.Claim{Bar: 5, Reached: high}, true},
		{report.Claim{Bar: 5, Reached: low, AtMost: true}, true},
		{report.Claim{Bar: 5, Reached: high, AtMost: true}, false},
	} {
		if c.claim.Met() != c.met {
			t.Errorf("%+v: %v", c.claim, !c.met)
		}
	}
}

func sample() *report.Report {
	r := &report.Report{}
	r.Claim(report.Claim{Row: 9, Work: "saves", Bar: 60, Unit: "×", Reached: measure.Spread{Median: 12.34, Min: 10, Max: 1234}, Against: "hand"})
	r.Claim(report.Claim{Row: 10, Work: "cycles", Bar: 60, Unit: "×", Reached: measure.Spread{Median: 61}})
	one := []measure.Sample{{Wall: time.Millisecond}}
	r.AddTable(&measure.Table{Title: "A Table, of 1 KB", Results: []measure.Result{
		{Case: measure.Case{Name: "hand", Ops: 1}, Samples: []measure.Sample{{Wall: time.Second}}},
		{Case: measure.Case{Name: "durable", Ops: 1, Ours: true}, Samples: one},
	}})
	return r
}

func TestMarkdown_hides_nothing_that_fell_short(t *testing.T) {
	text := sample().Markdown("")
	for _, want := range []string{
		"| 9 | saves, against hand | ≥ 60.0× | 12.3× (10.0..1,234) | **short**",
		"| 10 | cycles | ≥ 60.0× | 61.0× (0.00..0.00) | reached |",
		"| **durable** | 1.00 ms | 1,000 | 1,000..1,000 |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestDraw_makes_pictures_that_the_Markdown_shows(t *testing.T) {
	r, dir := sample(), t.TempDir()
	if err := r.Draw(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "a-table-of-1-kb.svg")); err != nil {
		t.Error(err)
	}
	if text := r.Markdown("performance/"); !strings.Contains(text, "(performance/a-table-of-1-kb.svg)") {
		t.Error(text)
	}
}

func TestKeep_adds_what_an_earlier_run_found_about_other_rows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results.json")
	first, second := sample(), &report.Report{}
	first.Group = 7
	first.Claim(report.Claim{Row: 17, Work: "opening"})
	first.Add(report.Section{Title: "Later"})
	if err := first.Keep(path); err != nil {
		t.Fatal(err)
	}
	second.Claim(report.Claim{Row: 9, Work: "saves again"})
	second.Add(report.Section{Title: "Again"})
	if err := second.Keep(path); err != nil {
		t.Fatal(err)
	}
	got := second.Markdown("")
	for _, want := range []string{"opening", "### Later", "saves again", "### Again"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "A Table") || strings.Contains(got, "cycles") || strings.Index(got, "Again") > strings.Index(got, "Later") {
		t.Errorf("group 0 was measured again and comes first:\n%s", got)
	}
}
