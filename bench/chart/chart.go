// Package chart draws bars as SVG, readable on light and on dark pages.
package chart

import (
	"fmt"
	"html"
	"io"
	"math"
	"strings"
	"unicode/utf8"
)

// A Bar is one value with its name.
type Bar struct {
	Name  string
	Value float64 // above 0
	Label string  // the value as text
	Ours  bool    // drawn in the colour that stands out
}

// A Chart is some bars on one logarithmic scale, because what is compared here
// often differs by factors of a hundred.
type Chart struct {
	Title string
	Scale string // what the values are, for the line below the bars
	Bars  []Bar
}

const (
	width      = 860
	nameWidth  = 390
	labelWidth = 80
	barHeight  = 18
	rowHeight  = 26
	top        = 40
	bottom     = 44
	maxName    = 60 // characters
)

const style = `<style>
text{font:12px system-ui,sans-serif;fill:#57606a}
.title{font-size:14px;font-weight:600}
.name,.value{font-size:12px}
.other{fill:#8c959f}
.ours{fill:#0969da}
.grid{stroke:#8c959f;stroke-opacity:.35}
@media (prefers-color-scheme:dark){text{fill:#b1bac4}.ours{fill:#4493f8}}
</style>
`

// Write writes c to w. A chart without bars is only a title.
func (c *Chart) Write(w io.Writer) error {
	var b strings.Builder
	height := top + rowHeight*len(c.Bars) + bottom
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-label="%s">`+"\n",
		width, height, width, height, html.EscapeString(c.Title))
	b.WriteString(style)
	fmt.Fprintf(&b, `<text class="title" x="8" y="22">%s</text>`+"\n", html.EscapeString(c.Title))
	lo, hi := c.decades()
	c.grid(&b, lo, hi)
	for i := range c.Bars {
		c.Bars[i].write(&b, top+rowHeight*i, lo, hi)
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// decades returns the powers of ten that enclose all values.
func (c *Chart) decades() (lo, hi int) {
	lo, hi = math.MaxInt, math.MinInt
	for _, bar := range c.Bars {
		l := math.Log10(positive(bar.Value))
		lo, hi = min(lo, int(math.Floor(l))), max(hi, int(math.Ceil(l)))
	}
	if lo >= hi {
		hi = lo + 1
	}
	return lo, hi
}

func positive(v float64) float64 {
	if v > 0 && !math.IsInf(v, 0) {
		return v
	}
	return 1
}

// x returns where the value 10^l lies.
func x(l float64, lo, hi int) float64 {
	return nameWidth + (l-float64(lo))/float64(hi-lo)*(width-nameWidth-labelWidth)
}

func (c *Chart) grid(b *strings.Builder, lo, hi int) {
	if len(c.Bars) == 0 {
		return
	}
	end := top + rowHeight*len(c.Bars)
	for d := lo; d <= hi; d++ {
		at := x(float64(d), lo, hi)
		fmt.Fprintf(b, `<line class="grid" x1="%.1f" y1="%d" x2="%.1f" y2="%d"/>`+"\n", at, top-6, at, end)
		fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", at, end+16, power(d))
	}
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="end">%s, logarithmic scale</text>`+"\n", width-8, end+34, html.EscapeString(c.Scale))
}

func power(d int) string {
	if d < 0 {
		return fmt.Sprintf("%.*f", -d, math.Pow10(d))
	}
	text := fmt.Sprintf("%.0f", math.Pow10(d))
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

func (bar *Bar) write(b *strings.Builder, y, lo, hi int) {
	class := "other"
	if bar.Ours {
		class = "ours"
	}
	end := math.Max(nameWidth+2, x(math.Log10(positive(bar.Value)), lo, hi))
	middle := y + barHeight - 5
	fmt.Fprintf(b, `<text class="name" x="%d" y="%d" text-anchor="end">%s</text>`, nameWidth-8, middle, html.EscapeString(short(bar.Name)))
	fmt.Fprintf(b, `<rect class="%s" x="%d" y="%d" width="%.1f" height="%d" rx="2"/>`, class, nameWidth, y, end-nameWidth, barHeight)
	fmt.Fprintf(b, `<text class="value" x="%.1f" y="%d">%s</text>`+"\n", end+6, middle, html.EscapeString(bar.Label))
}

func short(name string) string {
	if utf8.RuneCountInString(name) <= maxName {
		return name
	}
	return string([]rune(name)[:maxName-1]) + "…"
}
