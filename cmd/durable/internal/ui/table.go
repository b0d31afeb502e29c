package ui

import (
	"io"
	"strings"
)

// A Table is text that is aligned by what a terminal shows of it.
type Table struct {
	headers []string
	right   []bool
	rows    [][]string
	paint   func(row int, column, cell string) string
}

// NewTable returns a table with the headers; those that begin with ">" have
// their cells on the right.
func NewTable(headers ...string) *Table {
	t := &Table{paint: func(_ int, _, cell string) string { return cell }}
	for _, h := range headers {
		t.headers = append(t.headers, strings.TrimPrefix(h, ">"))
		t.right = append(t.right, strings.HasPrefix(h, ">"))
	}
	return t
}

// Add adds a row. Nothing in its cells can break it or control the terminal.
func (t *Table) Add(cells ...string) {
	row := make([]string, len(cells))
	for i, cell := range cells {
		row[i] = Line(cell)
	}
	t.rows = append(t.rows, row)
}

// Paint has f colour cells after they were aligned.
func (t *Table) Paint(f func(row int, column, cell string) string) { t.paint = f }

// Write writes the header and the first n rows, all for n below 1.
func (t *Table) Write(w io.Writer, n int) error {
	if n < 1 || n > len(t.rows) {
		n = len(t.rows)
	}
	widths := make([]int, len(t.headers))
	for i, h := range t.headers {
		widths[i] = Width(h)
	}
	for _, row := range t.rows[:n] {
		for i, cell := range row {
			widths[i] = max(widths[i], Width(cell))
		}
	}
	var b strings.Builder
	t.line(&b, -1, t.headers, widths)
	for i, row := range t.rows[:n] {
		t.line(&b, i, row, widths)
		if b.Len() > 1<<16 {
			if _, err := io.WriteString(w, b.String()); err != nil {
				return err
			}
			b.Reset()
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (t *Table) line(b *strings.Builder, row int, cells []string, widths []int) {
	var parts []string
	for i, cell := range cells {
		pad := strings.Repeat(" ", widths[i]-Width(cell))
		painted := cell
		if row >= 0 {
			painted = t.paint(row, t.headers[i], cell)
		}
		if t.right[i] {
			parts = append(parts, pad+painted)
		} else {
			parts = append(parts, painted+pad)
		}
	}
	b.WriteString(strings.TrimRight(strings.Join(parts, "  "), " "))
	b.WriteByte('\n')
}
