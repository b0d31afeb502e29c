// Package report turns what was measured into Markdown.
package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/durablestate/durable/bench/chart"
	"github.com/durablestate/durable/bench/measure"
)

// A Claim is what one row of the table of goals asks for, and what was found.
type Claim struct {
	Group   int
	Row     int
	Work    string
	Bar     float64
	AtMost  bool   // the bar must not be exceeded; otherwise it must be reached
	Unit    string // "×" for ratios
	Reached measure.Spread
	Against string // what a ratio compares with; may be empty
}

// Met reports whether the median is on the right side of the bar.
func (c *Claim) Met() bool {
	if c.AtMost {
		return c.Reached.Median <= c.Bar
	}
	return c.Reached.Median >= c.Bar
}

// A Report collects sections and claims in the order of the rows.
type Report struct {
	Host     string // what it was measured on
	Group    int    // of what is added next: groups are in the order of the report
	Claims   []Claim
	Sections []Section
}

// A Section is a measured table, or a text with a picture of its own.
type Section struct {
	Group int
	Title string
	Table *measure.Table // may be nil
	Text  string         // lines of Markdown in place of the table
	Scale string         // of Bars
	Bars  []chart.Bar    // the picture; a table has those of its ratios
	image string         // file name of the picture once it was drawn
}

// AddTable adds a measured table.
func (r *Report) AddTable(t *measure.Table) {
	s := Section{Group: r.Group, Title: t.Title, Table: t, Scale: "times faster"}
	for i := range t.Results {
		res := &t.Results[i]
		ratio := t.Ratio(t.Results[0].Name, res.Name).Median
		s.Bars = append(s.Bars, chart.Bar{Name: res.Name, Value: ratio, Label: number(ratio) + "×", Ours: res.Ours})
	}
	r.Sections = append(r.Sections, s)
}

// Add adds a section that is no table of times.
func (r *Report) Add(s Section) {
	s.Group = r.Group
	r.Sections = append(r.Sections, s)
}

// Claim adds what a row found.
func (r *Report) Claim(c Claim) {
	c.Group = r.Group
	r.Claims = append(r.Claims, c)
}

// Markdown returns the whole report. Pictures are linked below images.
func (r *Report) Markdown(images string) string {
	var b strings.Builder
	if r.Host != "" {
		fmt.Fprintf(&b, "Measured on %s.\n\n", r.Host)
	}
	if len(r.Claims) > 0 {
		r.claims(&b)
	}
	for i := range r.Sections {
		r.Sections[i].write(&b, images)
	}
	return b.String()
}

func (r *Report) claims(b *strings.Builder) {
	b.WriteString("| # | work | goal | reached (median, min..max of the rounds) | verdict |\n| --- | --- | --- | --- | --- |\n")
	sorted := slices.Clone(r.Claims)
	slices.SortStableFunc(sorted, func(a, b Claim) int { return a.Row - b.Row })
	for i := range sorted {
		c := &sorted[i]
		sign, verdict := "≥", "reached"
		if c.AtMost {
			sign = "≤"
		}
		if !c.Met() {
			verdict = "**short**, see [what falls short](#what-falls-short)"
		}
		work := c.Work
		if c.Against != "" {
			work += ", against " + c.Against
		}
		fmt.Fprintf(b, "| %d | %s | %s %s | %s (%s..%s) | %s |\n", c.Row, work, sign, quantity(c.Bar, c.Unit),
			quantity(c.Reached.Median, c.Unit), number(c.Reached.Min), number(c.Reached.Max), verdict)
	}
	b.WriteString("\n")
}

func (s *Section) write(b *strings.Builder, images string) {
	if s.Title != "" {
		fmt.Fprintf(b, "### %s\n\n", s.Title)
	}
	if s.image != "" {
		fmt.Fprintf(b, "![%s](%s%s)\n\n", s.Title, images, s.image)
	}
	if s.Table != nil {
		s.rows(b)
	}
	if s.Text != "" {
		b.WriteString(strings.TrimSpace(s.Text) + "\n\n")
	}
}

func (s *Section) rows(b *strings.Builder) {
	b.WriteString("| case | time/op | times faster | min..max | CPU/op | allocs/op | B/op |")
	line := "| --- | --- | --- | --- | --- | --- | --- |"
	if s.Table.Disk {
		b.WriteString(" flushes/op | device B/op |")
		line += " --- | --- |"
	}
	b.WriteString("\n" + line + "\n")
	base := s.Table.Results[0].Name
	for i := range s.Table.Results {
		r := &s.Table.Results[i]
		ratio := s.Table.Ratio(base, r.Name)
		name := r.Name
		if r.Ours {
			name = "**" + name + "**"
		}
		cpu := r.Each(func(s measure.Sample) float64 { return float64(s.CPU) })
		allocs := r.Each(func(s measure.Sample) float64 { return float64(s.Allocs) })
		bytes := r.Each(func(s measure.Sample) float64 { return float64(s.Bytes) })
		fmt.Fprintf(b, "| %s | %s | %s | %s..%s | %s | %s | %s |", name, Nanoseconds(r.Time().Median), number(ratio.Median),
			number(ratio.Min), number(ratio.Max), Nanoseconds(cpu.Median), number(allocs.Median), number(bytes.Median))
		if s.Table.Disk {
			flushes := r.Each(func(s measure.Sample) float64 { return float64(s.Flushes) })
			device := r.Each(func(s measure.Sample) float64 { return float64(s.DeviceBytes) })
			fmt.Fprintf(b, " %.3f | %s |", flushes.Median, number(device.Median))
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
}
