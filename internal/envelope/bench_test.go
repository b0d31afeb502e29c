package envelope_test

import (
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
)

// sizes are those of payloads: what most components have, and what few have.
var sizes = []int{0, 512, 1 << 10, 16 << 10, 1 << 20}

// benchRecord returns a record with n random bytes.
func benchRecord(n int) *envelope.Record {
	data := make([]byte, n)
	random := rand.NewChaCha8([32]byte{})
	_, _ = random.Read(data)
	return &envelope.Record{ID: "component-000042", Kind: envelope.Snapshot, Snapshot: store.Snapshot{
		Epoch: 1732300000000, Version: 42, WriteID: "0123456789ABCDEFGHJKMNPQRS", Schema: 2, Codec: "json",
		SavedAt: time.Date(2025, 11, 22, 20, 0, 0, 123456789, time.UTC), Data: data,
	}}
}

func BenchmarkAppend(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := benchRecord(n)
			room := make([]byte, 0, n+512)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := envelope.Append(room, r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppendHeader(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := benchRecord(n)
			room := make([]byte, 0, 512)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := envelope.AppendHeader(room, r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := benchRecord(n)
			raw := encode(b, *r)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := envelope.Decode(r.ID, raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkIntact(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := benchRecord(n)
			raw := encode(b, *r)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				if !envelope.Intact(r.ID, r.Epoch, r.Version, raw) {
					b.Fatal("it is intact")
				}
			}
		})
	}
}

// BenchmarkChecksum is what the checksums cost by themselves.
func BenchmarkChecksum(b *testing.B) {
	for name, table := range map[string]*crc32.Table{"castagnoli": crc32.MakeTable(crc32.Castagnoli), "ieee": crc32.IEEETable} {
		for _, n := range append([]int{150, 200}, sizes...) {
			b.Run(fmt.Sprint(name, "/", n), func(b *testing.B) {
				data := benchRecord(n).Data
				b.SetBytes(int64(n))
				for b.Loop() {
					_ = crc32.Checksum(data, table)
				}
			})
		}
	}
}
