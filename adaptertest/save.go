package adaptertest

import (
	"bytes"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/durablestate/durable"
)

var saveRules = []rule{
	{"every field comes back as it was saved",
		"store all fields of the snapshot, Epoch, Version, WriteID, Schema, Codec and SavedAt included; durable.EncodeSnapshot does",
		func(e *env) {
			s := e.saves(snap(7, 9, `{"a":1}`))
			e.holds(s)
			s.Schema, s.Codec, s.Version, s.WriteID = 0, "", 10, strings.Repeat("Z9a", 10)+"xy"
			e.holds(e.saves(s))
		}},
	{"any bytes come back as they were saved",
		"treat Data as opaque: no text conversion, no trimming, no delimiter inside",
		func(e *env) {
			for i, data := range awkwardData() {
				e.holds(e.saves(snap(1, uint64(i)+1, data)))
			}
		}},
	{"an empty state comes back empty and non-nil",
		"an empty state is a slice of length 0; return one, so that saving it again is not taken for a refresh",
		func(e *env) {
			e.holds(e.saves(snap(1, 1, "")))
			if e.loads().Data == nil {
				e.broken("Data is nil")
			}
		}},
	{"a large state comes back whole",
		"write and read until everything is through; short reads and writes are no success",
		func(e *env) {
			b := make([]byte, 1<<20)
			rand.NewChaCha8([32]byte{1}).Read(b)
			e.holds(e.saves(snap(1, 1, string(b))))
		}},
	{"a smaller state replaces a larger one completely",
		"replace, do not overwrite in place",
		func(e *env) {
			e.saves(snap(1, 1, strings.Repeat("long", 1000)))
			e.holds(e.saves(snap(1, 2, "short")))
		}},
	{"the saved snapshot is not changed",
		"fill in what is zero in a copy of the snapshot",
		func(e *env) {
			room := append(make([]byte, 0, 200), "mine"...)
			s := &durable.Snapshot{Codec: "json", Data: room}
			before := clone(s)
			e.saves(s)
			if behind := room[len(room):cap(room)]; !bytes.Equal(behind, make([]byte, len(behind))) {
				e.broken("what lies behind Data in the caller's slice was written to: do not append to Data")
			}
			if !reflect.DeepEqual(s, before) {
				e.broken("it was %+v and is %+v", before, s)
			}
		}},
	{"the saved snapshot is not kept",
		"copy Data before SaveState returns; the caller uses its slice again",
		func(e *env) {
			s := snap(1, 1, "mine")
			want := clone(s)
			e.saves(s)
			copy(s.Data, "XXXX")
			s.Codec, s.Epoch = "other", 99
			e.holds(want)
		}},
	{"a WriteID that is not 1 to 32 ASCII letters and digits is refused",
		"check the WriteID; durable.EncodeSnapshot does",
		func(e *env) {
			for _, w := range []string{"a-b", "a b", " ", "a\n", "é", "\x00", "w/1", strings.Repeat("w", 33)} {
				s := snap(1, 1, "data")
				s.WriteID = w
				e.failed("SaveState with WriteID "+shorten([]byte(w)), e.save(s))
			}
			e.missing(durable.ErrNotFound, 0, 0)
		}},
	{"nil Data is never a first save",
		"nil Data refreshes the last accepted save and stores nothing; what is not stored is ErrLost",
		func(e *env) {
			e.refuses(refresh(snap(1, 1, "")), durable.ErrLost, 0, 0)
			if err := e.save(&durable.Snapshot{}); err == nil {
				e.broken("SaveState with nil Data and Version 0 succeeded")
			}
			e.missing(durable.ErrNotFound, 0, 0)
		}},
	{"nil Data with a new version changes nothing",
		"nil Data refreshes the last accepted save and nothing else; a version above the fence without data is ErrLost",
		func(e *env) {
			s := e.saves(snap(1, 1, "one"))
			e.refuses(refresh(snap(1, 2, "")), durable.ErrLost, 1, 1)
			e.holds(s)
			e.holds(e.saves(snap(1, 2, "two")))
		}},
}

func awkwardData() []string {
	var all []byte
	for i := range 256 {
		all = append(all, byte(i))
	}
	envelope, _ := durable.EncodeSnapshot("another", snap(9, 9, "inner"))
	return []string{
		string(all), string(bytes.Repeat([]byte{0}, 100)), "\n", "\r\n\r\n", "no newline at the end", "newline at the end\n",
		" spaces ", `{"json":[1,2,3]}`, "null", "\xff\xfe\x00", string(envelope), "DURABLE 99 ", "+OK\r\n", "$-1\r\n", "\x1a", "\ufeffbom",
	}
}

var fenceRules = []rule{
	{"versions may have gaps",
		"compare with the fence only; do not count",
		func(e *env) {
			e.holds(e.saves(snap(1, 5, "five")))
			e.holds(e.saves(snap(1, 500, "five hundred")))
		}},
	{"a version that is not above the fence is refused with ErrConflict",
		"compare Version with the highest version ever accepted, in one atomic step with the write",
		func(e *env) {
			s := e.saves(snap(1, 5, "five"))
			for _, v := range []uint64{5, 4, 1} {
				e.refuses(snap(1, v, "late"), durable.ErrConflict, 1, 5)
			}
			e.holds(s)
		}},
	{"an epoch below the fence is refused with ErrFenced",
		"compare Epoch with the highest epoch ever claimed or accepted, in one atomic step with the write",
		func(e *env) {
			s := e.saves(snap(5, 1, "owner"))
			e.refuses(snap(4, 2, "predecessor"), durable.ErrFenced, 5, 1)
			e.holds(s)
		}},
	{"a save with a greater epoch raises the fence by itself",
		"store the epoch of every accepted save as the fence",
		func(e *env) {
			e.saves(snap(5, 1, "predecessor"))
			s := e.saves(snap(7, 2, "successor"))
			e.refuses(snap(6, 3, "predecessor"), durable.ErrFenced, 7, 2)
			e.refuses(snap(5, 3, "predecessor"), durable.ErrFenced, 7, 2)
			e.holds(s)
		}},
	{"a greater epoch does not excuse an old version",
		"check Version after Epoch, also when Epoch is greater",
		func(e *env) {
			s := e.saves(snap(5, 3, "three"))
			e.refuses(snap(9, 3, "again"), durable.ErrConflict, 5, 3)
			e.refuses(snap(9, 2, "before"), durable.ErrConflict, 5, 3)
			e.holds(s)
		}},
	{"a refused save does not move the fence",
		"raise the fence only together with the write that it admits",
		func(e *env) {
			e.saves(snap(5, 3, "three"))
			e.refuses(snap(9, 3, "conflict"), durable.ErrConflict, 5, 3)
			e.refuses(snap(4, 99, "fenced"), durable.ErrFenced, 5, 3)
			e.holds(e.saves(snap(5, 4, "four")))
		}},
	{"the answer to an old epoch and an old version is ErrFenced",
		"check Epoch before Version: whoever was superseded must learn that first",
		func(e *env) {
			e.saves(snap(5, 3, "three"))
			e.refuses(snap(4, 2, "late"), durable.ErrFenced, 5, 3)
			e.refuses(snap(4, 3, "late"), durable.ErrFenced, 5, 3)
		}},
	{"large epochs and versions are compared exactly",
		"compare as unsigned 64-bit integers, or as decimals of equal width; floating point is not exact above 2^53",
		func(e *env) {
			for i, v := range []uint64{1<<53 + 1, 1 << 63, math.MaxUint64 - 1} {
				e := e.of(e.other(string(rune('a' + i))))
				s := e.saves(snap(v, v, "large"))
				e.refuses(snap(v, v-1, "below"), durable.ErrConflict, v, v)
				e.refuses(snap(v-1, v+1, "below"), durable.ErrFenced, v, v)
				e.holds(s)
				e.holds(e.saves(snap(v+1, v+1, "above")))
			}
		}},
	{"versions never wrap around",
		"answer ErrConflict when no version is left above the fence",
		func(e *env) {
			s := e.saves(snap(1, math.MaxUint64, "last"))
			e.refuses(snap(1, 0, "next"), durable.ErrConflict, 1, math.MaxUint64)
			e.holds(s)
		}},
	{"components have fences of their own",
		"keep one fence per component",
		func(e *env) {
			e.saves(snap(9, 9, "this"))
			o := e.of(e.other("-other"))
			o.holds(o.saves(snap(1, 1, "other")))
			o.refuses(snap(1, 1, "late"), durable.ErrConflict, 1, 1)
		}},
}

var fillRules = []rule{
	{"version 0 means the next version",
		"fill a zero Version in with the fence's version plus one",
		func(e *env) {
			for _, v := range []uint64{1, 2, 3} {
				e.saves(snap(1, 0, "next"))
				e.isAt(1, v)
			}
			e.saves(snap(1, 10, "gap"))
			e.saves(snap(1, 0, "next"))
			e.isAt(1, 11)
		}},
	{"epoch 0 means the epoch of the fence",
		"fill a zero Epoch in with the fence's epoch when the call begins",
		func(e *env) {
			e.saves(snap(7, 1, "owner"))
			e.saves(snap(0, 2, "plain"))
			e.isAt(7, 2)
			e.saves(snap(0, 0, "plain"))
			e.isAt(7, 3)
			e.refuses(snap(0, 3, "late"), durable.ErrConflict, 7, 3)
		}},
	{"without any owner the epoch stays 0",
		"fill a zero Epoch in with the fence's epoch, which is 0 when nobody ever claimed the component",
		func(e *env) {
			e.saves(snap(0, 0, "one"))
			e.isAt(0, 1)
		}},
	{"an empty WriteID is filled in with one of its own",
		"make up a random WriteID of 1 to 32 ASCII letters and digits for every save that has none",
		func(e *env) {
			var seen []string
			for range 3 {
				s := snap(1, 0, "same data")
				s.WriteID = ""
				e.saves(s)
				w := e.loads().WriteID
				if w == "" || len(w) > 32 || slices.Contains(seen, w) {
					e.broken("WriteID %q after %q", w, seen)
				}
				seen = append(seen, w)
			}
		}},
	{"a zero SavedAt is filled in with the time",
		"set SavedAt to time.Now() when it is zero",
		func(e *env) {
			s := snap(1, 1, "data")
			s.SavedAt = time.Time{}
			e.saves(s)
			if got := e.loads().SavedAt; got.Before(savedAt) {
				e.broken("SavedAt is %s", got)
			}
		}},
}

// isAt checks epoch and version of what is stored.
func (e *env) isAt(epoch, version uint64) {
	e.Helper()
	if s := e.loads(); s.Epoch != epoch || s.Version != version {
		e.broken("LoadState returned epoch %d, version %d instead of %d, %d", s.Epoch, s.Version, epoch, version)
	}
}
