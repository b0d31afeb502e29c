package filestore_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/filestore"
	"github.com/durablestate/durable/internal/store"
)

// What a directory holds may have been written by anybody: names, numbers and
// lengths that no store of ours would write, with checksums that are right.

// lying returns a header line that promises length bytes, with checksums that are
// right for the payload.
func lying(id, kind, length string, payload []byte) []byte {
	line := fmt.Sprintf("DURABLE 01 %020d %020d w%s %s json 0 2001-09-09T01:46:40Z %s %s ", 1, 2, strings.Repeat("-", 31), id, kind, length)
	line += fmt.Sprintf("%08x ", crc(castagnoli, line))
	whole := line + string(payload)
	return fmt.Appendf(nil, "%s%08x %08x\n%s", line, crc(castagnoli, whole), crc(ieee, whole), payload)
}

// commitOf returns a directory with one save of "c", and a second commit b.
func commitOf(t testing.TB, b []byte) (dir, path string) {
	dir = t.TempDir()
	s := open(t, dir)
	save(t, s, "c", 1, 1, "one")
	require.NoError(t, s.Close())
	path = filepath.Join(dir, "c-0000000000000002")
	require.NoError(t, os.WriteFile(path, b, 0o600))
	return dir, path
}

// opened opens dir, asks for everything, and returns how many bytes that took.
func opened(t testing.TB, dir string) (taken uint64, err error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	s, err := filestore.Open(dir, filestore.Options{Keep: 3, MaxBytes: 1 << 20})
	if err == nil {
		for id := range s.List(ctx) {
			_, _ = s.Load(ctx, id)
			_, _ = s.History(ctx, id)
		}
		_, _ = s.LoadLease(ctx, "c")
		_, err = s.Load(ctx, "c")
		require.NoError(t, s.Close())
	}
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc, err
}

func TestALengthThatNoFileHasDoesNotPanicTheOpening(t *testing.T) {
	for _, kind := range []string{"t", "i", "-", "c", "d", "l"} {
		for _, length := range []string{"9223372036854775807", "9223372036854775800", "9223372036854773759", "4611686018427387904", "2147483647"} {
			dir, _ := commitOf(t, lying("c", kind, length, nil))
			_, err := opened(t, dir)
			if err != nil {
				require.True(t, store.IsAnswer(err), "%s %s: %v", kind, length, err)
			}
		}
	}
}

// row spells a row of a table.
func row(id string, version, size uint64) []byte {
	b := append(binary.AppendUvarint([]byte{'-'}, uint64(len(id))), id...)
	b = binary.AppendVarint(b, 1)
	b = binary.AppendUvarint(b, version)
	return binary.AppendUvarint(append(b, 1, 'w'), size)
}

// moved spells a row of a record that was moved from the commit origin.
func moved(id string, version, size, origin uint64) []byte {
	b := row(id, version, size)
	b[0] |= 0x80
	return binary.AppendUvarint(b, origin)
}

func TestRowsThatNoTableHasDoNotPanicTheOpening(t *testing.T) {
	rows := map[string][]byte{
		"a record of 2^63-1 bytes":     row("c", 2, math.MaxInt64),
		"a record of 2^64-1 bytes":     row("c", 2, math.MaxUint64),
		"two of 2^62":                  append(row("c", 2, 1<<62), row("d", 2, 1<<62)...),
		"two that end behind 2^30":     append(row("c", 2, 1<<30), row("d", 2, 1<<30)...),
		"an id longer than all":        binary.AppendUvarint([]byte{'-'}, math.MaxUint64),
		"an id without end":            binary.AppendUvarint([]byte{'-'}, math.MaxInt64),
		"no id":                        row("", 2, 100),
		"moved from the future":        moved("c", 2, 100, math.MaxUint64),
		"the last version":             row("c", math.MaxUint64, 100),
		"rows without number":          []byte(strings.Repeat(string(row("c", 1, 1)), 1<<18)),
		"a number that does not end":   []byte("-\x01c" + strings.Repeat("\xff", 30)),
		"an index, 2^63-1 bytes":       []byte(`[["c","-",1,2,"w",9223372036854775807],["d","-",1,2,"w",9223372036854775807]]`),
		"an index, fewer than no byte": []byte(`[["c","-",1,2,"w",-9223372036854775808]]`),
	}
	for what, payload := range rows {
		t.Run(what, func(t *testing.T) {
			kind := "t"
			if payload[0] == '[' {
				kind = "i"
			}
			dir, _ := commitOf(t, lying("table", kind, fmt.Sprint(len(payload)), payload))
			taken, err := opened(t, dir)
			if err != nil {
				require.ErrorIs(t, err, store.ErrCorrupt)
			}
			require.Less(t, taken, uint64(64<<20))
		})
	}
}

func TestASparseFileDoesNotTakeItsLengthInMemory(t *testing.T) {
	const huge = 3 << 30
	table := lying("table", "t", fmt.Sprint(huge-200), nil)
	lease := lying("c", "l", fmt.Sprint(huge-200), nil)
	for name, b := range map[string][]byte{
		"c-0000000000000002": table, "c-0000000000000003": lying("c", "-", fmt.Sprint(huge-200), nil), "c-0000000000000004": nil,
		"c-0000000000000005": lease, "FORMAT": nil, "LOCK": nil, "x-c-0000000000000001": table, "l-c-0000000000000001": lease, ".t-x": table,
	} {
		t.Run(name, func(t *testing.T) {
			dir, _ := commitOf(t, nil)
			require.NoError(t, os.Remove(filepath.Join(dir, "c-0000000000000002")))
			path := filepath.Join(dir, name)
			require.NoError(t, os.WriteFile(path, b, 0o600))
			size := int64(huge)
			if h, err := envelope.ParseHeader(b); err == nil {
				size = int64(h.Len())
			}
			require.NoError(t, os.Truncate(path, size))
			taken, _ := opened(t, dir)
			require.Less(t, taken, uint64(64<<20))
		})
	}
}

// A number without a successor is no place to go on from: what would be saved after
// it could not be found again.
func TestAFileWithTheLastNumberLosesNoAcknowledgedSave(t *testing.T) {
	state := func(version uint64) string {
		b, err := envelope.Append(nil, &envelope.Record{ID: "other", Kind: envelope.Snapshot, Snapshot: *snap(1, version, "x")})
		require.NoError(t, err)
		return string(b)
	}
	for _, name := range []string{"c-ffffffffffffffff", "c-fffffffffffffffe", "c-fffffffffffffffd", "x-c-ffffffffffffffff", "x-c-fffffffffffffffe"} {
		for _, content := range []string{"", state(1), state(math.MaxUint64)} {
			dir, _ := commitOf(t, nil)
			require.NoError(t, os.Remove(filepath.Join(dir, "c-0000000000000002")))
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
			acked := uint64(0)
			for range 3 { // each in a program of its own
				s := open(t, dir)
				for range 2 {
					f, err := s.Fence(ctx, "c")
					require.NoError(t, err)
					err = s.Save(ctx, "c", snap(1, f.Version+1, "n"))
					if err == nil {
						acked = f.Version + 1
						continue
					}
					require.ErrorIs(t, err, store.ErrPermanent, name)
					require.ErrorContains(t, err, "c-ffffffffffffffff", "which file to move away")
				}
				require.NoError(t, s.Close())
				if acked > 0 {
					_, version, _ := loaded(t, open(t, dir), "c")
					require.Equal(t, acked, version, name)
				}
			}
		}
	}
}

func TestNoNumberWrapsAround(t *testing.T) {
	s := open(t, t.TempDir())
	require.NoError(t, s.Claim(ctx, "c", math.MaxUint64))
	require.NoError(t, s.Save(ctx, "c", snap(math.MaxUint64, math.MaxUint64, "last")))
	require.ErrorIs(t, s.Delete(ctx, "c"), store.ErrPermanent)
	data, _, _ := loaded(t, s, "c")
	require.Equal(t, "last", data)
	_, err := s.AcquireLease(ctx, "l", "a", 1, math.MaxUint64)
	require.NoError(t, err)
	_, err = s.AcquireLease(ctx, "l", "a", 1, 1)
	require.ErrorIs(t, err, store.ErrPermanent)
}

// FuzzOutside opens directories with a commit whose checksums are right, whatever
// it says.
func FuzzOutside(f *testing.F) {
	f.Add("t", "100", row("c", 2, 50))
	f.Add("t", "9223372036854775807", moved("c", 2, 1<<30, 7))
	f.Add("i", "40", []byte(`[["c","-",1,2,"w",9223372036854775807]]`))
	f.Add("l", "2", []byte("{}"))
	f.Add("-", "1", []byte("x"))
	f.Fuzz(func(t *testing.T, kind, length string, payload []byte) {
		dir, _ := commitOf(t, lying("c", kind, length, payload))
		_, _ = opened(t, dir)
		b := lying("c", kind, fmt.Sprint(len(payload)), payload)
		dir, _ = commitOf(t, append(b, b...))
		taken, _ := opened(t, dir)
		require.Less(t, taken, uint64(64<<20+100*len(payload)))
	})
}

func TestAnIndexOfTheFirstFormatDoesNotTakeManyTimesItsLengthInMemory(t *testing.T) {
	for what, payload := range map[string]string{
		"lines without fields": "[" + strings.Repeat("[],", 1<<20) + "[]]",
		"no lines":             "[" + strings.Repeat("null,", 1<<20) + "[]]",
		"a line of fields":     "[[" + strings.Repeat("1,", 1<<20) + "1]]",
		"no list":              `{"a":1}`,
		"two lists":            "[][]",
		"a list that goes on":  "[",
	} {
		dir, _ := commitOf(t, lying("table", "i", fmt.Sprint(len(payload)), []byte(payload)))
		taken, err := opened(t, dir)
		if err != nil {
			require.ErrorIs(t, err, store.ErrCorrupt, what)
		}
		require.Less(t, taken, uint64(64<<20), what)
	}
}
