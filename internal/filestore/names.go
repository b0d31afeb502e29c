package filestore

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

const (
	formatName = "FORMAT"
	lockName   = "LOCK"

	commitPrefix     = "c-"
	leasePrefix      = "l-"
	quarantinePrefix = "x-"
	tempPrefix       = ".t-"
)

func commitName(seq uint64) string { return commitPrefix + hex16(seq) }
func tempName() string             { return tempPrefix + rand.Text() }

func hex16(v uint64) string {
	var b [16]byte
	for i := range b {
		b[i] = hexDigits[v>>(60-4*i)&15]
	}
	return string(b[:])
}

const hexDigits = "0123456789abcdef"

// parseCommitName returns the number of a commit file.
func parseCommitName(name string) (seq uint64, ok bool) {
	digits, ok := strings.CutPrefix(name, commitPrefix)
	if !ok || len(digits) != 16 || strings.Trim(digits, hexDigits) != "" {
		return 0, false
	}
	seq, err := strconv.ParseUint(digits, 16, 64)
	return seq, err == nil
}

// leaseFileName names the lock file of one acquisition of the lease name.
func leaseFileName(name string, epoch uint64) string {
	return leasePrefix + escape(name) + "-" + hex16(epoch)
}

// maxEscaped bounds the escaped part of a name, well below the 255 bytes of
// most file systems.
const maxEscaped = 120

// escape turns any string into a part of a file name, different strings into
// different ones, also where case, Unicode form or trailing dots do not count.
func escape(name string) string {
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '-' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "=%02x", c)
		}
	}
	if b.Len() <= maxEscaped {
		return b.String()
	}
	sum := sha256.Sum256([]byte(name))
	return b.String()[:32] + "==" + hex.EncodeToString(sum[:])
}
