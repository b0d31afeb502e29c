package testkit

import (
	"bytes"
	"encoding/binary"

	"github.com/durablestate/durable"
)

// Counts is a state that has to be set up before it can be used.
type Counts struct{ Words map[string]int }

// InitState makes the map.
func (c *Counts) InitState() {
	if c.Words == nil {
		c.Words = map[string]int{}
	}
}

// WordCounter is a component that counts words.
type WordCounter struct {
	durable.StatefulComponent[Counts]
}

// Add counts word once more.
func (w *WordCounter) Add(word string) { w.Update(func(c *Counts) { c.Words[word]++ }) }

// Count returns how often word was counted.
func (w *WordCounter) Count(word string) (n int) {
	w.View(func(c *Counts) { n = c.Words[word] })
	return n
}

// Custom is a component without a StatefulComponent, whose state is Data. It has
// no lock.
type Custom struct{ Data []byte }

// SnapshotState implements [durable.Component].
func (c *Custom) SnapshotState() ([]byte, error) { return bytes.Clone(c.Data), nil }

// RestoreState implements [durable.Component].
func (c *Custom) RestoreState(b []byte) error { c.Data = bytes.Clone(b); return nil }

// Broken is a component that hangs, panics or fails when its state is asked for.
type Broken struct {
	Panics bool
	Err    error
	Hang   chan struct{}
}

// SnapshotState implements [durable.Component].
func (b *Broken) SnapshotState() ([]byte, error) {
	if b.Hang != nil {
		<-b.Hang
	}
	if b.Panics {
		panic("boom")
	}
	return []byte("x"), b.Err
}

// RestoreState implements [durable.Component].
func (b *Broken) RestoreState([]byte) error { return nil }

// Sum is a small state that can be cloned.
type Sum struct{ N int }

// Clone lets a Sum be encoded outside of its lock.
func (t *Sum) Clone() Sum { return *t }

// Summed is a component whose state is a Sum.
type Summed struct {
	durable.StatefulComponent[Sum]
}

// Value returns the sum.
func (c *Summed) Value() (n int) {
	c.View(func(t *Sum) { n = t.N })
	return n
}

// Add adds n to the sum.
func (c *Summed) Add(n int) { c.Update(func(t *Sum) { t.N += n }) }

// Number is a state whose encoding costs one small allocation.
type Number struct{ N uint64 }

// MarshalState encodes the number.
func (n *Number) MarshalState() ([]byte, error) { return binary.AppendUvarint(nil, n.N), nil }

// UnmarshalState decodes the number.
func (n *Number) UnmarshalState(data []byte) error {
	n.N, _ = binary.Uvarint(data)
	return nil
}
