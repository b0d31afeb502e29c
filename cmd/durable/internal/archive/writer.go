package archive

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"

	"github.com/durablestate/durable"
)

// A Writer writes one archive. It must not be used concurrently.
type Writer struct {
	buf    *bufio.Writer
	sum    hash.Hash
	totals Totals
	open   int // generations since the last component
}

// NewWriter writes the first line. Nothing is complete before Close.
func NewWriter(w io.Writer, info Info) (*Writer, error) {
	a := &Writer{buf: bufio.NewWriterSize(w, 1<<16), sum: sha256.New()}
	return a, a.line(fmt.Sprintf("%s%d ", magic, format), info)
}

func (w *Writer) line(word string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return w.write([]byte(word), b, []byte("\n"))
}

func (w *Writer) write(parts ...[]byte) error {
	for _, p := range parts {
		w.sum.Write(p)
		if _, err := w.buf.Write(p); err != nil {
			return err
		}
	}
	return nil
}

// Generation adds a generation of the component id, older ones first. It does
// not keep s.
func (w *Writer) Generation(id string, s *durable.Snapshot) error {
	if s.WriteID == "" { // of a plain value, which has none
		c := *s
		c.WriteID = "plain"
		s = &c
	}
	b, err := durable.EncodeSnapshot(id, s)
	if err != nil {
		return err
	}
	w.open++
	w.totals.Bytes += int64(len(s.Data))
	return w.write(b, []byte("\n"))
}

// Component ends a component; c.Generations is filled in.
func (w *Writer) Component(c Component) error {
	c.Generations, w.open = w.open, 0
	w.totals.Components++
	w.totals.Generations += c.Generations
	return w.line(componentLine, c)
}

// Close writes the last line. It does not close the file.
func (w *Writer) Close() (Totals, error) {
	w.totals.SHA256 = hex.EncodeToString(w.sum.Sum(nil))
	if err := w.line(endLine, w.totals); err != nil {
		return w.totals, err
	}
	return w.totals, w.buf.Flush()
}
