package envelope_test

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
)

func encode(t testing.TB, r envelope.Record) []byte {
	t.Helper()
	b, err := envelope.Append(nil, &r)
	require.NoError(t, err)
	return b
}

func small(t testing.TB) []byte {
	return encode(t, record("c", '-', snapshot(1, 2, "json", `{"n":1}`)))
}

// requireCorrupt checks that b is recognised as damaged, not as new.
func requireCorrupt(t *testing.T, id string, b []byte, what string) {
	t.Helper()
	s, err := envelope.Decode(id, b)
	require.ErrorIs(t, err, store.ErrCorrupt, what)
	require.NotErrorIs(t, err, store.ErrTooNew, what)
	require.Nil(t, s, what)
}

func TestEveryFlippedBitIsFound(t *testing.T) {
	good := small(t)
	for i := range len(good) * 8 {
		b := bytes.Clone(good)
		b[i/8] ^= 1 << (i % 8)
		requireCorrupt(t, "c", b, fmt.Sprintf("bit %d of byte %d, %q", i%8, i/8, good[i/8]))
	}
}

func TestEveryBurstOfThreeBytesIsFound(t *testing.T) {
	good := small(t)
	for i := range len(good) - 2 {
		for _, fill := range []byte{0, '0', ' ', '\n', 0xff} {
			b := bytes.Clone(good)
			copy(b[i:], []byte{fill, fill, fill})
			if !bytes.Equal(b, good) {
				requireCorrupt(t, "c", b, fmt.Sprintf("%q from byte %d", fill, i))
			}
		}
	}
}

func TestEveryTruncationIsFound(t *testing.T) {
	good := small(t)
	for n := range good {
		requireCorrupt(t, "c", good[:n], fmt.Sprintf("the first %d bytes", n))
		requireCorrupt(t, "c", good[n+1:], fmt.Sprintf("all but the first %d bytes", n+1))
	}
}

func TestEveryMissingByteIsFound(t *testing.T) {
	good := small(t)
	for i := range good {
		requireCorrupt(t, "c", append(bytes.Clone(good[:i]), good[i+1:]...), fmt.Sprintf("byte %d removed", i))
	}
}

func TestNothingMayFollowAnEnvelope(t *testing.T) {
	good := small(t)
	for _, more := range []string{"\x00", "\n", " ", "}", string(good)} {
		requireCorrupt(t, "c", append(bytes.Clone(good), more...), fmt.Sprintf("followed by %q", more))
	}
}

func TestAnEnvelopeBelongsToOneComponent(t *testing.T) {
	good := small(t)
	for _, id := range []string{"d", "C", "c ", "", "cc"} {
		requireCorrupt(t, id, good, fmt.Sprintf("asked for as %q", id))
	}
}

func TestOnlySnapshotsHoldState(t *testing.T) {
	for _, kind := range []envelope.Kind{'c', 'd', 'l', 'i'} {
		requireCorrupt(t, "c", encode(t, record("c", kind, snapshot(1, 2, "", "{}"))), string(kind))
	}
}

func TestPartsOfTwoEnvelopesAreNoEnvelope(t *testing.T) {
	a := encode(t, record("c", '-', snapshot(1, 2, "json", `{"n":1}`)))
	b := encode(t, record("c", '-', snapshot(1, 3, "json", `{"n":2}`)))
	headA, _, _ := bytes.Cut(a, []byte("\n"))
	_, payloadB, _ := bytes.Cut(b, []byte("\n"))
	requireCorrupt(t, "c", fmt.Appendf(nil, "%s\n%s", headA, payloadB), "header and payload of two saves")
}

func TestAFutureFormatIsTooNewWhateverItsFieldsMean(t *testing.T) {
	line := strings.TrimSuffix(headerOf(small(t)), "\n")
	for _, change := range []func([]string) []string{
		func(f []string) []string { f[1] = "02"; return f },
		func(f []string) []string { f[1] = "99"; return f },
		func(f []string) []string { f[1] = "02"; return append(f[:3], f[8:]...) },
		func(f []string) []string { return append([]string{f[0], "02", "new", "fields", "{}"}, f[2:]...) },
		func(f []string) []string { f[9] = "z"; return f }, // a kind that this format does not know
		func(f []string) []string { f[9] = "zz"; return f },
	} {
		b := seal(strings.Join(change(strings.Split(line, " ")), " "), []byte(`{"n":1}`))
		_, err := envelope.Decode("c", b)
		require.ErrorIs(t, err, store.ErrTooNew, "%s", b)
		require.NotErrorIs(t, err, store.ErrCorrupt, "%s", b)
	}
}

func TestADamagedFutureHeaderIsCorrupt(t *testing.T) {
	f := strings.Split(strings.TrimSuffix(headerOf(small(t)), "\n"), " ")
	f[1] = "02"
	b := seal(strings.Join(f, " "), nil)
	for i := range len(b) - len(" 01234567 01234567\n") { // the rest is for the payload
		d := bytes.Clone(b)
		d[i] ^= 1
		requireCorrupt(t, "c", d, fmt.Sprintf("byte %d", i))
	}
}

func TestMalformedFieldsAreCorruptAlsoWithRightChecksums(t *testing.T) {
	line := strings.TrimSuffix(headerOf(small(t)), "\n")
	for field, values := range map[int][]string{
		1:  {"00", "1", "0x", "+1", ""},
		2:  {"1", strings.Repeat("9", 20), "+0000000000000000001", "-0000000000000000001", "0000000000000000000x"},
		3:  {"", strings.Repeat("9", 20)},
		4:  {strings.Repeat("-", 32), "a", strings.Repeat("a", 33), "a-b" + strings.Repeat("-", 29)},
		5:  {"-", "", "%63", "%", "%2", "%2D", "%zz", "a%0a", "%ff", strings.Repeat("c", 256)},
		6:  {"%6asonx%", "%6ason", "é"},
		7:  {"-1", "01", "x", "", "99999999999999999999"},
		8:  {"", "now", "2025-11-22T20:00:00+00:00", "2025-11-22T20:00:00.000Z", "2025-11-22 20:00:00Z", "0000-01-01T00:00:00Z"},
		10: {"-7", "07", "8", "6", "", "9223372036854775807", "9223372036854775808"},
	} {
		for _, v := range values {
			f := strings.Split(line, " ")
			f[field] = v
			requireCorrupt(t, "c", seal(strings.Join(f, " "), []byte(`{"n":1}`)), fmt.Sprintf("field %d is %q", field, v))
		}
	}
}

func TestALyingLengthAllocatesNothing(t *testing.T) {
	f := strings.Split(strings.TrimSuffix(headerOf(small(t)), "\n"), " ")
	f[10] = fmt.Sprint(math.MaxInt64)
	b := seal(strings.Join(f, " "), []byte(`{"n":1}`))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _, err := envelope.Parse(b)
	h, headErr := envelope.ParseHeader(b)
	runtime.ReadMemStats(&after)
	require.ErrorIs(t, err, store.ErrCorrupt)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20))
	if headErr == nil { // the length overflows when the header's is added
		_, err = h.Verify(b)
		require.ErrorIs(t, err, store.ErrCorrupt)
	}
}

func TestEnvelopesAreReadOneAfterTheOther(t *testing.T) {
	a := encode(t, record("a", '-', snapshot(1, 1, "json", "{}")))
	b := encode(t, record("b", '-', snapshot(1, 2, "json", "[]")))
	both := append(bytes.Clone(a), b...)
	first, n, err := envelope.Parse(both)
	require.NoError(t, err)
	require.Equal(t, "a", first.ID)
	require.Equal(t, len(a), n)
	second, n, err := envelope.Parse(both[n:])
	require.NoError(t, err)
	require.Equal(t, "b", second.ID)
	require.Equal(t, len(b), n)
	require.Equal(t, len(second.Data), cap(second.Data), "appending to one must not reach into the next")
}

func TestTheHeaderStandsAtFixedOffsets(t *testing.T) {
	b := encode(t, record("c", '-', snapshot(7, 8, "json", "{}")))
	require.Equal(t, "DURABLE 01 00000000000000000007 00000000000000000008 K7Q2XW5GJ3M"+strings.Repeat("-", 21)+" ", string(b[:envelope.PrefixLen]))
	h, err := envelope.ParseHeader(b[:bytes.IndexByte(b, '\n')+1])
	require.NoError(t, err)
	require.Equal(t, len(b), h.Len())
	require.EqualValues(t, 8, h.Version)
}

func TestTheLongestHeaderFits(t *testing.T) {
	s := maxSnapshot()
	s.SavedAt = time.Date(2025, 11, 22, 20, 0, 0, 123456789, time.UTC)
	b := encode(t, record(strings.Repeat("é", 127)+" ", '-', s))
	require.Less(t, bytes.IndexByte(b, '\n'), envelope.MaxHeaderLen)
	_, _, err := envelope.Parse(b)
	require.NoError(t, err)
}

func TestWhatAnEnvelopeCannotHoldIsRefused(t *testing.T) {
	for name, change := range map[string]func(*envelope.Record){
		"no id":          func(r *envelope.Record) { r.ID = "" },
		"long id":        func(r *envelope.Record) { r.ID = strings.Repeat("i", 256) },
		"control in id":  func(r *envelope.Record) { r.ID = "a\u0085" },
		"kind":           func(r *envelope.Record) { r.Kind = 'x' },
		"no write id":    func(r *envelope.Record) { r.WriteID = "" },
		"write id":       func(r *envelope.Record) { r.WriteID = "a-" },
		"long codec":     func(r *envelope.Record) { r.Codec = strings.Repeat("c", 65) },
		"control codec":  func(r *envelope.Record) { r.Codec = "a\n" },
		"invalid codec":  func(r *envelope.Record) { r.Codec = "\xff" },
		"schema below 0": func(r *envelope.Record) { r.Schema = -1 },
		"large schema":   func(r *envelope.Record) { r.Schema = math.MaxInt32 + 1 },
	} {
		r := record("c", '-', snapshot(1, 1, "json", "{}"))
		change(&r)
		_, err := envelope.Append(nil, &r)
		require.Error(t, err, name)
	}
}

func TestATimeThatRFC3339CannotHoldDoesNotStopASave(t *testing.T) {
	for _, year := range []int{-5, 0, 10000, 292277026596} {
		r := record("c", '-', timed(time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)))
		s, err := envelope.Decode("c", encode(t, r))
		require.NoError(t, err)
		require.True(t, s.SavedAt.IsZero(), "%s", s.SavedAt)
	}
}

func TestValidIDs(t *testing.T) {
	for id, want := range map[string]bool{
		"a": true, " ": true, "é": true, "\ufffd": true, "a/b": true, "\u00a0": true, strings.Repeat("x", 255): true,
		"": false, strings.Repeat("x", 256): false, "\x00": false, "\x1f": false, "\x7f": false, "\u0080": false, "\u009f": false,
		"\xff": false, "\ufffd\xff": false, "\xed\xa0\x80": false,
	} {
		require.Equal(t, want, envelope.ValidID(id), "%q", id)
	}
}

func TestWriteIDsAreLettersAndDigits(t *testing.T) {
	for c := range 256 {
		b := byte(c)
		want := b >= '0' && b <= '9' || b >= 'A' && b <= 'Z' || b >= 'a' && b <= 'z'
		require.Equal(t, want, envelope.ValidWriteID("a"+string([]byte{b})+"a"), "%q", b)
	}
	require.True(t, envelope.ValidWriteID(strings.Repeat("w", 32)))
	require.False(t, envelope.ValidWriteID(strings.Repeat("w", 33)))
	require.False(t, envelope.ValidWriteID(""))
}

// Blocks of a large payload must add up to the whole.
func TestPayloadsOfAnyLengthAreWhole(t *testing.T) {
	for _, n := range []int{1, 16<<10 - 1, 16 << 10, 16<<10 + 1, 100_000} {
		r := record("c", '-', snapshot(1, 1, "bin", strings.Repeat("abc", n)[:n]))
		b := encode(t, r)
		require.Equal(t, seal(strings.TrimSuffix(headerOf(b), "\n"), r.Data), b)
		head, err := envelope.AppendHeader(nil, &r)
		require.NoError(t, err)
		require.Equal(t, headerOf(b), string(head))
		require.True(t, envelope.Intact("c", 1, 1, b))
	}
}

func TestPlainStateIsAJSONObject(t *testing.T) {
	s, ok := envelope.Plain([]byte("\n {\"a\":1} "))
	require.True(t, ok)
	require.Equal(t, &store.Snapshot{Codec: "json", Data: []byte("\n {\"a\":1} ")}, s)
	for _, b := range []string{"", " ", "[]", "null", "1", `{"a":`, `{"a":1}x`, "DURABLE "} {
		_, ok := envelope.Plain([]byte(b))
		require.False(t, ok, b)
	}
}

func FuzzParse(f *testing.F) {
	for _, r := range golden {
		f.Add(encode(f, r), "c")
	}
	f.Add([]byte("DURABLE 02 0 00000000 00000000 00000000\n"), "")
	f.Fuzz(func(t *testing.T, b []byte, id string) {
		reencodes(t, b)
		if head, payload, ok := bytes.Cut(b, []byte("\n")); ok {
			reencodes(t, seal(string(head), payload)) // past the checksums
		}
		if s, err := envelope.Decode(id, b); (s == nil) == (err == nil) {
			t.Fatalf("Decode returned %v, %v", s, err)
		}
	})
}

// reencodes checks that b is refused or means exactly one record.
func reencodes(t *testing.T, b []byte) {
	r, n, err := envelope.Parse(b)
	if err != nil {
		if r != nil || errors.Is(err, store.ErrCorrupt) == errors.Is(err, store.ErrTooNew) {
			t.Fatalf("Parse returned %v, %v", r, err)
		}
		return
	}
	again, err := envelope.Append(nil, r)
	if err != nil || !bytes.Equal(again, b[:n]) {
		t.Fatalf("%q was read as %+v and written as %q, %v", b[:n], r, again, err)
	}
}

func headerOf(b []byte) string { return string(b[:bytes.IndexByte(b, '\n')+1]) }

// seal replaces the three checksums at the end of the header line by the right ones.
func seal(line string, payload []byte) []byte {
	f := strings.Split(line, " ")
	if len(f) > 3 {
		line = strings.Join(f[:len(f)-3], " ") + " "
	}
	table := crc32.MakeTable(crc32.Castagnoli)
	line += fmt.Sprintf("%08x ", crc32.Checksum([]byte(line), table))
	all := append([]byte(line), payload...)
	return fmt.Appendf(nil, "%s%08x %08x\n%s", line, crc32.Checksum(all, table), crc32.ChecksumIEEE(all), payload)
}
