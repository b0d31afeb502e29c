package saver

import (
	"crypto/rand"
	"encoding/base32"
	"time"
)

// Copy is what is known of the copy of a state in the store.
type Copy struct {
	changes    uint64  // change count that it covers
	attempt    writeID // of the last accepted save; zero: none under this epoch
	losses     uint32  // of the store, as known when the copy was last seen there
	exists     bool    // some snapshot is stored and has not vanished
	belowLevel bool    // it is stored, but not as durably as configured
	epoch      uint64
	used       uint64 // highest version used by us or known to be taken
	version    uint64 // of the last accepted save
	savedAt    int64  // nanoseconds of Unix time; 0: unknown
	bytes      int
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
