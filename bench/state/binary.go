package state

import (
	"encoding/binary"
	"errors"
	"math"
)

// Binary is a State with an encoding of its own, as a program might write it.
type Binary State

// Touch is that of State.
func (s *Binary) Touch() { (*State)(s).Touch() }

// MarshalState encodes s under the lock.
func (s *Binary) MarshalState() ([]byte, error) {
	b := make([]byte, 0, s.sizeHint())
	b = appendText(b, s.Name)
	b = binary.AppendVarint(b, s.Count)
	b = binary.AppendVarint(b, s.Updated)
	b = binary.AppendUvarint(b, uint64(len(s.Orders)))
	for i := range s.Orders {
		b = s.Orders[i].append(b)
	}
	b = binary.AppendUvarint(b, uint64(len(s.Offsets)))
	for k, v := range s.Offsets {
		b = binary.AppendVarint(appendText(b, k), v)
	}
	b = binary.AppendUvarint(b, uint64(len(s.Histogram)))
	for _, v := range s.Histogram {
		b = binary.AppendVarint(b, v)
	}
	return b, nil
}

// sizeHint is a little above the length of the encoding for states of New.
func (s *Binary) sizeHint() int {
	return 64 + len(s.Name) + 44*len(s.Orders) + 18*len(s.Offsets) + 4*len(s.Histogram)
}

func (o *Order) append(b []byte) []byte {
	b = appendText(appendText(b, o.ID), o.Symbol)
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(o.Price))
	b = binary.AppendVarint(b, o.Quantity)
	filled := byte(0)
	if o.Filled {
		filled = 1
	}
	b = append(b, filled)
	b = binary.AppendUvarint(b, uint64(len(o.Tags)))
	for _, t := range o.Tags {
		b = appendText(b, t)
	}
	return b
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// UnmarshalState decodes what MarshalState made. Its strings share one copy of
// data.
func (s *Binary) UnmarshalState(data []byte) error {
	r := reader{data, string(data)}
	s.Name, s.Count, s.Updated = r.text(), r.varint(), r.varint()
	s.Orders = make([]Order, r.length())
	for i := range s.Orders {
		s.Orders[i].read(&r)
	}
	n := r.length()
	s.Offsets = make(map[string]int64, n)
	for range n {
		k := r.text()
		s.Offsets[k] = r.varint()
	}
	s.Histogram = make([]int64, r.length())
	for i := range s.Histogram {
		s.Histogram[i] = r.varint()
	}
	if r.b == nil {
		return errors.New("the state is cut off")
	}
	return nil
}

func (o *Order) read(r *reader) {
	o.ID, o.Symbol = r.text(), r.text()
	o.Price = math.Float64frombits(r.fixed())
	o.Quantity, o.Filled = r.varint(), r.byte() == 1
	o.Tags = make([]string, r.length())
	for i := range o.Tags {
		o.Tags[i] = r.text()
	}
}

// A reader takes values off b, which is nil after the first that was cut off. s
// has the same end.
type reader struct {
	b []byte
	s string
}

func (r *reader) skip(n int) {
	if n <= 0 || n > len(r.b) {
		r.b, r.s = nil, ""
		return
	}
	r.b, r.s = r.b[n:], r.s[n:]
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	r.skip(n)
	return v
}

// length returns a number of items, each of which takes a byte at least.
func (r *reader) length() int {
	v, n := binary.Uvarint(r.b)
	r.skip(n)
	if v > uint64(len(r.b)) {
		r.b, r.s = nil, ""
		return 0
	}
	return int(v)
}

func (r *reader) text() string {
	n := r.length()
	if n == 0 {
		return ""
	}
	text := r.s[:n]
	r.skip(n)
	return text
}

func (r *reader) fixed() uint64 {
	if len(r.b) < 8 {
		r.skip(-1)
		return 0
	}
	v := binary.LittleEndian.Uint64(r.b)
	r.skip(8)
	return v
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.skip(-1)
		return 0
	}
	v := r.b[0]
	r.skip(1)
	return v
}
