package durable

import (
	"crypto/rand"
	"encoding/base32"
	"time"
)

// confirmed is what Status says of the stored copy.
type confirmed struct {
	version uint64
	savedAt int64
	bytes   int
}

// stored is what is known of the copy in the store.
type stored struct {
	epoch    uint64
	tried    uint64  // highest version used by us or known to be taken
	attempt  writeID // of the last accepted save; zero: none under this epoch
	version  uint64  // of that save
	changes  uint64  // change count it covers
	bytes    int
	savedAt  int64  // nanoseconds of Unix time; 0: unknown
	losses   uint32 // of the store, as known when it was last seen there
	anywhere bool   // some snapshot is stored and has not vanished
	short    bool   // it is stored, but not as durably as configured
}

// writeID names an attempt to save. It comes from the system's generator each
// time: two copies of one virtual machine must not use the same ones.
type writeID [16]byte

func newWriteID() (id writeID) {
	rand.Read(id[:])
	return id
}

var writeIDs = base32.StdEncoding.WithPadding(base32.NoPadding)

func (id writeID) String() string {
	var text [26]byte
	writeIDs.Encode(text[:], id[:])
	return string(text[:])
}

// instant is a moment, in nanoseconds after New plus one; 0 is none.
type instant int64

func (c *Checkpointer) instant(t time.Time) instant { return instant(t.Sub(c.made)) + 1 }

// since returns how long before now it was.
func (m *member) since(i instant, now time.Time) time.Duration {
	return time.Duration(m.c.instant(now) - i)
}

// unixNano is 0 for a time that nanoseconds cannot tell: no clock is that wrong
// unless it is of no use.
func unixNano(t time.Time) int64 {
	if y := t.Year(); y < 1678 || y > 2261 {
		return 0
	}
	return t.UnixNano()
}

func unixTime(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns)
}
