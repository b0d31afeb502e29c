package archive

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/envelope"
)

// A Reader reads one archive. It must not be used concurrently.
type Reader struct {
	Info Info

	buf   *bufio.Reader
	sum   hash.Hash
	limit int64 // of one state
	at    int64 // bytes read so far

	owner string // id of the generations since the last component
	open  int
	seen  Totals
}

// A Record is one step of an archive: a generation, the end of a component, or
// the end of the archive.
type Record struct {
	ID        string            // of the Snapshot
	Snapshot  *durable.Snapshot // the caller owns it
	Place     Place             // of the Snapshot
	Component *Component
	End       *Totals
}

// A Place is where the envelope of a generation lies in an archive.
type Place struct{ Offset, Bytes int64 }

// Load reads the generation of id at p again.
func (p Place) Load(r io.ReaderAt, id string) (*durable.Snapshot, error) {
	b := make([]byte, p.Bytes) // as many as were read there before
	if _, err := r.ReadAt(b, p.Offset); err != nil {
		return nil, err
	}
	return durable.DecodeSnapshot(id, b)
}

// NewReader reads the first line. States above limit bytes are refused before
// memory is taken for them.
func NewReader(r io.Reader, limit int64) (*Reader, error) {
	a := &Reader{buf: bufio.NewReaderSize(r, 1<<16), sum: sha256.New(), limit: limit}
	start, err := a.buf.Peek(len(magic))
	if string(start) != magic {
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		return nil, ErrNoArchive
	}
	line, err := a.line()
	if err != nil {
		return nil, err
	}
	var version int
	if _, err := fmt.Sscanf(line[len(magic):], "%d ", &version); err != nil {
		return nil, ErrNoArchive
	}
	if version > format {
		return nil, fmt.Errorf("%w: format %d, this one reads up to %d", ErrTooNew, version, format)
	}
	_, text, _ := strings.Cut(line[len(magic):], " ")
	if err := json.Unmarshal([]byte(text), &a.Info); err != nil {
		return nil, fmt.Errorf("%w: first line: %w", ErrDamaged, err)
	}
	return a, nil
}

// Next returns the next record. After the one with End comes io.EOF.
func (r *Reader) Next() (*Record, error) {
	before := hex.EncodeToString(r.sum.Sum(nil))
	start, err := r.buf.Peek(len(componentLine))
	if err != nil && (len(start) == 0 || !errors.Is(err, io.EOF)) {
		return nil, truncated(err)
	}
	switch {
	case bytes.HasPrefix(start, []byte(envelope.Magic)):
		return r.generation()
	case bytes.HasPrefix(start, []byte(componentLine)):
		return r.component()
	case bytes.HasPrefix(start, []byte(endLine)):
		return r.end(before)
	}
	return nil, fmt.Errorf("%w: unknown record", ErrDamaged)
}

func (r *Reader) generation() (*Record, error) {
	place := Place{Offset: r.at}
	line, err := r.line()
	if err != nil {
		return nil, err
	}
	h, err := envelope.ParseHeader([]byte(line + "\n"))
	if errors.Is(err, durable.ErrTooNew) {
		return nil, fmt.Errorf("%w: %w", ErrTooNew, err)
	} else if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if r.limit > 0 && int64(h.PayloadLen) > r.limit {
		return nil, fmt.Errorf("%w: a state of %q has %d bytes, the limit is %d", durable.ErrTooLarge, h.ID, h.PayloadLen, r.limit)
	}
	var b bytes.Buffer // grows with what arrives, not with what the header promises
	b.WriteString(line + "\n")
	if _, err := io.CopyN(&b, r.buf, int64(h.PayloadLen)+1); err != nil {
		return nil, truncated(err)
	}
	r.sum.Write(b.Bytes()[h.HeaderLen:])
	r.at += int64(h.PayloadLen) + 1
	place.Bytes = int64(h.Len())
	whole := b.Bytes()[:h.Len()]
	snap, err := durable.DecodeSnapshot(h.ID, whole)
	if err == nil && b.Bytes()[h.Len()] != '\n' {
		err = errors.New("no newline behind a state")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if r.open > 0 && h.ID != r.owner {
		return nil, fmt.Errorf("%w: generations of %q and %q are mixed", ErrDamaged, r.owner, h.ID)
	}
	r.owner = h.ID
	r.open++
	r.seen.Bytes += int64(len(snap.Data))
	return &Record{ID: h.ID, Snapshot: snap, Place: place}, nil
}

func (r *Reader) component() (*Record, error) {
	line, err := r.line()
	if err != nil {
		return nil, err
	}
	var c Component
	if err := json.Unmarshal([]byte(line[len(componentLine):]), &c); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if c.Generations != r.open || r.open > 0 && c.ID != r.owner {
		return nil, fmt.Errorf("%w: %d generations of %q are missing", ErrDamaged, c.Generations-r.open, c.ID)
	}
	r.seen.Components++
	r.seen.Generations += r.open
	r.open = 0
	return &Record{Component: &c}, nil
}

func (r *Reader) end(sum string) (*Record, error) {
	line, err := r.line()
	if err != nil {
		return nil, err
	}
	r.seen.SHA256 = sum
	t := r.seen
	want, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	if line != endLine+string(want) || r.open > 0 { // to the letter: no sum covers this line
		return nil, fmt.Errorf("%w: its checksum or its counts differ", ErrDamaged)
	}
	if _, err := r.buf.ReadByte(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: something follows its end", ErrDamaged)
	}
	return &Record{End: &t}, nil
}

// line reads a line and returns it without its end.
func (r *Reader) line() (string, error) {
	var b []byte
	for {
		part, err := r.buf.ReadSlice('\n')
		b = append(b, part...)
		switch {
		case err == nil:
			r.sum.Write(b)
			r.at += int64(len(b))
			return string(b[:len(b)-1]), nil
		case len(b) > maxLine:
			return "", fmt.Errorf("%w: a line is too long", ErrDamaged)
		case !errors.Is(err, bufio.ErrBufferFull):
			return "", truncated(err)
		}
	}
}

func truncated(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrTruncated
	}
	return err
}

// A Generation is what is known of one without its state.
type Generation struct {
	Epoch, Version uint64
	Place          Place
}

// Verify reads a whole archive, one state at a time, and returns what it holds. It
// calls step for every component with its generations, oldest first.
func Verify(r io.Reader, limit int64, step func(c *Component, gens []Generation)) (*Totals, error) {
	a, err := NewReader(r, limit)
	if err != nil {
		return nil, err
	}
	var gens []Generation
	for {
		rec, err := a.Next()
		switch {
		case err != nil:
			return nil, err
		case rec.End != nil:
			return rec.End, nil
		case rec.Component != nil:
			step(rec.Component, gens)
			gens = nil
		default:
			gens = append(gens, Generation{rec.Snapshot.Epoch, rec.Snapshot.Version, rec.Place})
		}
	}
}
