package envelope_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
)

// parts are the envelopes of a set: two components and one that was removed.
func parts(t testing.TB) [][]byte {
	return [][]byte{
		encode(t, record("left", '-', snapshot(3, 7, "json", `{"n":1}`))),
		encode(t, record("right of it", 'd', snapshot(4, 9, "", ""))),
		encode(t, record("r\u00efght", '-', snapshot(2, 5, "binary", "\x00\xff"))),
	}
}

// requireRead checks that the first n of want can be read.
func requireRead(t *testing.T, entries []envelope.Entry, want [][]byte, n int) {
	t.Helper()
	require.Len(t, entries, n)
	for i, e := range entries {
		require.NoError(t, e.Err)
		require.Equal(t, want[i], e.Raw)
		require.Equal(t, len(e.Raw), cap(e.Raw), "appending to one must not write over the next")
		require.Equal(t, e.ID, e.Record.ID)
	}
}

func TestASetIsReadAsItWasJoined(t *testing.T) {
	raws := parts(t)
	data, within := envelope.JoinSet(raws)
	require.Equal(t, slices.Concat(raws...), data)
	require.Equal(t, raws, within)
	for i := range within {
		require.Equal(t, len(within[i]), cap(within[i]))
	}
	within[0][len(within[0])-1] = ']'
	require.Equal(t, byte(']'), data[len(raws[0])-1], "what is returned is in the payload")

	data, _ = envelope.JoinSet(raws)
	entries, err := envelope.ReadSet(data)
	require.NoError(t, err)
	requireRead(t, entries, raws, 3)
	require.Equal(t, []string{"left", "right of it", "r\u00efght"}, []string{entries[0].ID, entries[1].ID, entries[2].ID})
	require.Equal(t, []bool{false, true, false}, []bool{entries[0].Deleted(), entries[1].Deleted(), entries[2].Deleted()})
	require.Equal(t, `{"n":1}`, string(entries[0].Record.Data))
	require.Equal(t, store.Fence{Epoch: 4, Version: 9}, entries[1].Record.Fence())
}

func TestASetOfNothingIsAState(t *testing.T) {
	data, within := envelope.JoinSet(nil)
	require.NotNil(t, data, "nil Data would be a refresh")
	require.Empty(t, data)
	require.Empty(t, within)
	entries, err := envelope.ReadSet(data)
	require.NoError(t, err)
	require.Empty(t, entries)
}

func TestASetThatIsCutOffIsReadUpToThere(t *testing.T) {
	raws := parts(t)
	data := slices.Concat(raws...)
	whole := 0
	for cut := range data {
		if cut == len(slices.Concat(raws[:whole+1]...)) {
			whole++
		}
		entries, err := envelope.ReadSet(data[:cut])
		requireRead(t, entries, raws, whole)
		if cut == len(slices.Concat(raws[:whole]...)) {
			require.NoError(t, err, "%d bytes: it ends where an envelope does", cut)
			continue
		}
		require.ErrorIs(t, err, store.ErrCorrupt, "%d bytes", cut)
	}
}

func TestNothingIsReadBehindWhatIsNoHeader(t *testing.T) {
	raws := parts(t)
	newer := seal("DURABLE 02 0 00000000 00000000 00000000", nil)
	for name, c := range map[string]struct {
		garbage []byte
		err     error
	}{
		"one byte":                {[]byte("x"), store.ErrCorrupt},
		"a line":                  {[]byte("no envelope\n"), store.ErrCorrupt},
		"a damaged header":        {bytes.Replace(raws[2], []byte("DURABLE 01"), []byte("DURABLE 10"), 1), store.ErrCorrupt},
		"a newer program's state": {newer, store.ErrTooNew},
	} {
		t.Run(name, func(t *testing.T) {
			for n := range raws {
				data := slices.Concat(slices.Concat(raws[:n]...), c.garbage, slices.Concat(raws[n:]...))
				entries, err := envelope.ReadSet(data)
				require.ErrorIs(t, err, c.err)
				requireRead(t, entries, raws, n)
			}
		})
	}
}

func TestAComponentIsInASetOnce(t *testing.T) {
	raws := parts(t)
	again := encode(t, record("left", 'd', snapshot(9, 9, "", "")))
	entries, err := envelope.ReadSet(slices.Concat(raws[0], raws[1], again, raws[2]))
	require.ErrorIs(t, err, store.ErrCorrupt)
	require.ErrorContains(t, err, `"left" is in it twice`)
	requireRead(t, entries, raws, 2)
}

func TestDamagedContentIsThatOfOneComponent(t *testing.T) {
	raws := parts(t)
	for at := range raws[0] {
		damaged := bytes.Clone(raws[0])
		damaged[at] ^= 1
		entries, err := envelope.ReadSet(slices.Concat(damaged, raws[1], raws[2]))
		if err != nil { // its length is not known any more
			require.Less(t, at, len(headerOf(raws[0])))
			require.ErrorIs(t, err, store.ErrCorrupt, "byte %d", at)
			require.Empty(t, entries)
			continue
		}
		require.Equal(t, "left", entries[0].ID)
		require.Equal(t, damaged, entries[0].Raw)
		require.ErrorIs(t, entries[0].Err, store.ErrCorrupt)
		require.Nil(t, entries[0].Record)
		require.False(t, entries[0].Deleted())
		requireRead(t, entries[1:], raws[1:], 2)
	}
}

func TestRecordsOfAStoreAboutItselfAreNoPartOfASet(t *testing.T) {
	raws := parts(t)
	for _, kind := range []envelope.Kind{envelope.Claim, envelope.Lease, envelope.Index, envelope.Table} {
		entries, err := envelope.ReadSet(slices.Concat(encode(t, record("other", kind, snapshot(1, 1, "", "x"))), raws[0]))
		require.NoError(t, err)
		require.ErrorIs(t, entries[0].Err, store.ErrCorrupt, "kind %c", kind)
		require.Nil(t, entries[0].Record)
		require.False(t, entries[0].Deleted())
		requireRead(t, entries[1:], raws, 1)
	}
}

func FuzzReadSet(f *testing.F) {
	raws := parts(f)
	whole := slices.Concat(raws...)
	f.Add(whole, uint16(0), byte(0))
	f.Add(whole[:len(whole)-1], uint16(0), byte(0))
	f.Add(slices.Concat(whole, raws[0]), uint16(0), byte(0))
	f.Add(slices.Concat(whole, []byte("behind it")), uint16(0), byte(0))
	f.Add(slices.Concat(encode(f, record("other", envelope.Lease, snapshot(1, 1, "", "x"))), whole), uint16(0), byte(0))
	f.Add(whole, uint16(len(raws[0])-1), byte(1))
	f.Add(whole, uint16(len(headerOf(raws[0]))-30), byte(1))
	f.Fuzz(func(t *testing.T, b []byte, at uint16, flip byte) {
		requireAccounted(t, b)
		sealed := sealAll(b)
		requireAccounted(t, sealed) // past the checksums
		if int(at) < len(sealed) {
			sealed[at] ^= flip
			requireAccounted(t, sealed)
		}
	})
}

// sealAll makes the checksums of the envelopes in b right, as far as their lengths
// tell where they are.
func sealAll(b []byte) (out []byte) {
	for len(b) > 0 {
		line, rest, ok := bytes.Cut(b, []byte("\n"))
		if !ok {
			break
		}
		n := len(rest)
		if h, err := envelope.ParseHeader(seal(string(line), nil)); err == nil {
			n = min(h.PayloadLen, n)
		}
		out = append(out, seal(string(line), rest[:n])...)
		b = rest[n:]
	}
	return append(out, b...)
}

// requireAccounted checks that every byte of b is in one entry or behind an error.
func requireAccounted(t *testing.T, b []byte) {
	entries, err := envelope.ReadSet(b)
	var raws [][]byte
	ids := map[string]bool{}
	for _, e := range entries {
		if ids[e.ID] || len(e.Raw) == 0 || (e.Record == nil) == (e.Err == nil) {
			t.Fatalf("%q was read as %+v", b, entries)
		}
		ids[e.ID] = true
		raws = append(raws, e.Raw)
		if e.Record == nil {
			continue
		}
		again, err := envelope.Append(nil, e.Record)
		if err != nil || e.Record.ID != e.ID || !bytes.Equal(again, e.Raw) {
			t.Fatalf("%q was read as %+v and written as %q, %v", e.Raw, e.Record, again, err)
		}
	}
	read, within := envelope.JoinSet(raws)
	if !bytes.HasPrefix(b, read) || (len(read) == len(b)) != (err == nil) || !slices.EqualFunc(within, raws, bytes.Equal) {
		t.Fatalf("%d of %d bytes of %q were read, %v", len(read), len(b), b, err)
	}
}

func TestASetTellsOfEachPartWhatARestoreGoesBy(t *testing.T) {
	data, _ := envelope.JoinSet(parts(t))
	whole := store.Found{Fence: store.Fence{Epoch: 5, Version: 12}, Version: 10, LastVersion: 12}
	s := envelope.OpenSet(data, whole)
	require.Equal(t, store.Found{Fence: store.Fence{Epoch: 3, Version: 7}, Version: 10, LastVersion: 12}, s.Part("left"))
	gone := s.Part("right of it")
	require.ErrorIs(t, gone.Err, store.ErrNotFound)
	require.Equal(t, store.Fence{Epoch: 4, Version: 9}, gone.Fence, "what is older does not come back")
	require.Equal(t, store.Found{Err: store.ErrNotFound}, s.Part("nobody"))

	damaged := envelope.OpenSet(append(bytes.Clone(data), "rubbish"...), whole)
	require.NoError(t, damaged.Part("left").Err)
	require.ErrorIs(t, damaged.Part("nobody").Err, store.ErrCorrupt, "it may have been behind what cannot be read")
	require.Equal(t, whole.Fence, damaged.Part("nobody").Fence)

	lost := store.Found{Fence: whole.Fence, Err: store.ErrLost}
	require.Equal(t, lost, envelope.OpenSet(nil, lost).Part("left"))
}
