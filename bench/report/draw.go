package report

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/durablestate/durable/bench/chart"
)

// Draw draws every section that has bars into the directory dir, which is
// created. Markdown links the pictures from then on.
func (r *Report) Draw(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for i := range r.Sections {
		s := &r.Sections[i]
		if len(s.Bars) == 0 {
			continue
		}
		name := Slug(s.Title) + ".svg"
		c := chart.Chart{Title: s.Title, Scale: s.Scale, Bars: s.Bars}
		out, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		if err := errors.Join(c.Write(out), out.Close()); err != nil {
			return err
		}
		s.image = name
	}
	return nil
}

// Slug makes a file name of a title.
func Slug(title string) string {
	words := strings.FieldsFunc(strings.ToLower(title), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
	return strings.Join(words, "-")
}
