// Package report turns what was measured into Markdown.
package report

import (
	"fmt"
	"strings"

	"github.com/durablestate/durable/bench/measure"
)

// A Claim is what one row of the table of goals asks for, and what was found.
type Claim struct {
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

// A Report collects tables and claims in the order of the rows.
type Report struct {
	Host   string // what it was measured on
	Claims []Claim
	Tables []Section
}

// A Section is a measured table or a text of its own.
type Section struct {
	*measure.Table
	Text  string // follows the table; lines of Markdown
	Image string // file name of its picture, empty for none
}

// Add adds a table, which may be nil, and a text.
func (r *Report) Add(t *measure.Table, text string) {
	r.Tables = append(r.Tables, Section{Table: t, Text: text})
}

// Claim adds what a row found.
func (r *Report) Claim(c Claim) { r.Claims = append(r.Claims, c) }

// Markdown returns the whole report. Pictures are linked below images.
func (r *Report) Markdown(images string) string {
	var b strings.Builder
	if r.Host != "" {
		fmt.Fprintf(&b, "Measured on %s.\n\n", r.Host)
	}
	if len(r.Claims) > 0 {
		r.claims(&b)
	}
	for i := range r.Tables {
		r.Tables[i].write(&b, images)
	}
	return b.String()
}

func (r *Report) claims(b *strings.Builder) {
	b.WriteString("| # | work | goal | reached (median, min..max of the rounds) | verdict |\n| --- | --- | --- | --- | --- |\n")
	for i := range r.Claims {
		c := &r.Claims[i]
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
	if s.Table != nil {
		fmt.Fprintf(b, "### %s\n\n", s.Title)
		if s.Image != "" {
			fmt.Fprintf(b, "![%s](%s)\n\n", s.Title, images+s.Image)
		}
		s.rows(b)
	}
	if s.Text != "" {
		b.WriteString(strings.TrimSpace(s.Text) + "\n\n")
	}
}

func (s *Section) rows(b *strings.Builder) {
	b.WriteString("| case | time/op | times faster | min..max | CPU/op | allocs/op | B/op |")
	line := "| --- | --- | --- | --- | --- | --- | --- |"
	if s.Disk {
		b.WriteString(" flushes/op | device B/op |")
		line += " --- | --- |"
	}
	b.WriteString("\n" + line + "\n")
	base := s.Results[0].Name
	for i := range s.Results {
		r := &s.Results[i]
		ratio := s.Ratio(base, r.Name)
		name := r.Name
		if r.Ours {
			name = "**" + name + "**"
		}
		cpu := r.Each(func(s measure.Sample) float64 { return float64(s.CPU) })
		allocs := r.Each(func(s measure.Sample) float64 { return float64(s.Allocs) })
		bytes := r.Each(func(s measure.Sample) float64 { return float64(s.Bytes) })
		fmt.Fprintf(b, "| %s | %s | %s | %s..%s | %s | %s | %s |", name, Nanoseconds(r.Time().Median), number(ratio.Median),
			number(ratio.Min), number(ratio.Max), Nanoseconds(cpu.Median), number(allocs.Median), number(bytes.Median))
		if s.Disk {
			flushes := r.Each(func(s measure.Sample) float64 { return float64(s.Flushes) })
			device := r.Each(func(s measure.Sample) float64 { return float64(s.DeviceBytes) })
			fmt.Fprintf(b, " %.3f | %s |", flushes.Median, number(device.Median))
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
}

func (r *Report) Draw(dir string) error { return nil }
