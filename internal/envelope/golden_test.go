package envelope_test

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
)

const goldenDir = "../../testdata/envelope"

// golden lists every file in testdata/envelope with what it holds. Files are
// written once and kept for ever: a change of the format adds files with a new
// prefix, and the old ones must stay readable. To add one, add a line and run
// the test with WRITE_MISSING_GOLDEN=1.
var golden = map[string]envelope.Record{
	"v1-empty-state":    record("empty", '-', snapshot(1, 1, "json", "")),
	"v1-json":           record("word_counter", '-', snapshot(1732300000000, 42, "json", `{"words":{"hello":1}}`)),
	"v1-binary":         record("bin", '-', snapshot(3, 4, "binary", allBytes())),
	"v1-newlines":       record("lines", '-', snapshot(3, 5, "text", "\none\r\ntwo\n")),
	"v1-nested":         record("outer", '-', snapshot(3, 6, "", "DURABLE 01 not an envelope\n")),
	"v1-plain-fields":   record("zero", '-', store.Snapshot{WriteID: "w", Data: []byte("x")}),
	"v1-max":            record(strings.Repeat("é", 127)+"x", '-', maxSnapshot()),
	"v1-unicode-id":     record("日本 語/é%{}*", '-', snapshot(1, 2, "json", "{}")),
	"v1-id-dash":        record("-", '-', snapshot(1, 2, "-", "{}")),
	"v1-claim":          record("word_counter", 'c', snapshot(9, 42, "", "")),
	"v1-deletion":       record("word_counter", 'd', snapshot(10, 42, "", "")),
	"v1-lease":          record("fraud-detection", 'l', snapshot(10, 0, "json", `{"holder":"pod-1"}`)),
	"v1-lease-unnamed":  record("", 'l', snapshot(10, 0, "json", `{"holder":"pod-1"}`)),
	"v1-index":          record("index", 'i', snapshot(0, 7, "json", `[]`)),
	"v1-subsecond-time": record("time", '-', timed(time.Date(2024, 2, 29, 23, 59, 59, 100, time.UTC))),
	"v1-year-9999":      record("time", '-', timed(time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC))),
}

func record(id string, kind envelope.Kind, s store.Snapshot) envelope.Record {
	return envelope.Record{ID: id, Kind: kind, Snapshot: s}
}

func snapshot(epoch, version uint64, codec, data string) store.Snapshot {
	return store.Snapshot{
		Epoch: epoch, Version: version, WriteID: "K7Q2XW5GJ3M", Schema: 2, Codec: codec,
		SavedAt: time.Date(2025, 11, 22, 20, 0, 0, 0, time.UTC), Data: []byte(data),
	}
}

func timed(at time.Time) store.Snapshot {
	s := snapshot(1, 1, "json", "{}")
	s.SavedAt = at
	return s
}

func maxSnapshot() store.Snapshot {
	s := snapshot(math.MaxUint64, math.MaxUint64, strings.Repeat("é", 32), "max")
	s.WriteID, s.Schema = strings.Repeat("Z", 32), math.MaxInt32
	return s
}

func allBytes() string {
	var b strings.Builder
	for i := range 256 {
		b.WriteByte(byte(i))
	}
	return b.String()
}

func TestEveryEnvelopeEverWrittenStaysReadable(t *testing.T) {
	for name, want := range golden {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(goldenDir, name)
			writeMissing(t, path, &want)
			b, err := os.ReadFile(path)
			require.NoError(t, err)
			got, n, err := envelope.Parse(b)
			require.NoError(t, err)
			require.Equal(t, len(b), n)
			require.Equal(t, want, *got)
		})
	}
}

func TestEnvelopesAreWrittenByteForByteAsEver(t *testing.T) {
	for name, r := range golden {
		t.Run(name, func(t *testing.T) {
			want, err := os.ReadFile(filepath.Join(goldenDir, name))
			require.NoError(t, err)
			got, err := envelope.Append([]byte("before"), &r)
			require.NoError(t, err)
			require.Equal(t, "before"+string(want), string(got))
		})
	}
}

func TestNoGoldenEnvelopeIsForgotten(t *testing.T) {
	files, err := os.ReadDir(goldenDir)
	require.NoError(t, err)
	for _, f := range files {
		if !strings.HasPrefix(f.Name(), ".") {
			require.Contains(t, golden, f.Name())
		}
	}
}

// writeMissing writes a golden file that is not there yet, if told to.
func writeMissing(t *testing.T, path string, r *envelope.Record) {
	if _, err := os.Stat(path); err == nil || os.Getenv("WRITE_MISSING_GOLDEN") == "" {
		return
	}
	b, err := envelope.Append(nil, r)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, b, 0o644))
}
