// Package envelope is the format in which every adapter stores a snapshot: one
// ASCII header line, then the payload bytes as they are.
//
//	DURABLE 01 <epoch> <version> <write id> <component id> <codec> <schema> <saved at> <flags> <length> <header crc> <crc32c> <crc32>\n<payload>
//
// Epoch and version have 20 digits and the write id is padded with '-' to 32
// bytes, so that they stand at fixed offsets. Component id and codec are
// percent-encoded. The header crc is the CRC-32C of the line up to it; the last
// two are CRC-32C and CRC-32 (IEEE) of everything before them and the payload.
// Two coprime generators together catch every burst of up to 64 bits.
//
// The magic, the two digits of the format and the last four fields of the line
// keep their place and meaning in every format to come, so that a program can
// tell a newer format from damage.
package envelope

import (
	"fmt"
	"math"
	"strings"

	"github.com/durablestate/durable/internal/store"
)

const (
	// Magic begins every envelope.
	Magic = "DURABLE "
	// Format is the format this package writes.
	Format = 1
	// PrefixLen is the length of the fixed-width fields: magic, format, epoch,
	// version and write id, each followed by a space.
	PrefixLen = len(Magic) + 2 + 1 + 20 + 1 + 20 + 1 + writeIDLen + 1
	// MaxHeaderLen bounds the header line, newline included.
	MaxHeaderLen = 2048
	// MaxOverhead bounds how much longer than the limit of states a stored value may
	// be: its header, and one more in bytes that were set aside as they were found.
	MaxOverhead = 2 * MaxHeaderLen

	// maxPayload bounds what a header may promise, so that adding its own length,
	// or one, does not overflow. Whether there is as much is for who has the bytes.
	maxPayload = math.MaxInt - MaxHeaderLen - 1

	writeIDLen = 32
	maxIDLen   = 255
	maxCodec   = 64
	fields     = 14
	fixedTail  = 4 // length and the three checksums
)

// Fits reports that the data of s is within the limit of states. What was set aside
// as it was found may have a header beside it.
func Fits(s *store.Snapshot, limit int64) bool {
	if s.Codec == store.RawCodec {
		limit += MaxHeaderLen
	}
	return int64(len(s.Data)) <= limit
}

// Kind says what an envelope holds. It is the flags field of the header.
type Kind byte

// The kinds of envelopes. Only a Snapshot holds a component's state; the others
// are records of a store about itself.
const (
	Snapshot Kind = '-' // a component's state
	Claim    Kind = 'c' // the fence was raised
	Deletion Kind = 'd' // all generations were removed
	Lease    Kind = 'l' // a lease record
	Index    Kind = 'i' // what the envelopes beside it are, as JSON
	Table    Kind = 't' // the same in binary
)

func (k Kind) valid() bool { return strings.IndexByte("-cdlit", byte(k)) >= 0 }

// A Record is one envelope in plain form.
type Record struct {
	ID   string
	Kind Kind
	store.Snapshot
}

// ValidID reports whether id may name a component: 1 to 255 bytes of UTF-8
// without control characters.
func ValidID(id string) bool {
	return id != "" && len(id) <= maxIDLen && validText(id)
}

// CheckID returns store.ErrInvalidID, and what is wrong, unless id is valid.
func CheckID(id string) error {
	if !ValidID(id) {
		return fmt.Errorf("%w: %q is not 1 to 255 bytes of valid UTF-8 without control characters", store.ErrInvalidID, id)
	}
	return nil
}

// CheckPart is CheckID for what becomes a part of an id, together with others.
func CheckPart(part string) error {
	if err := CheckID(part); err != nil {
		return err
	}
	if strings.Contains(part, "/") || strings.HasPrefix(part, "~") {
		return fmt.Errorf(`%w: %q must not contain "/" or begin with "~"`, store.ErrInvalidID, part)
	}
	return nil
}

func validText(s string) bool {
	if plain(s) {
		return true
	}
	for _, r := range s { // invalid UTF-8 ranges as U+FFFD
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == '\uFFFD' && strings.ToValidUTF8(s, "") != s {
			return false
		}
	}
	return true
}

// ValidWriteID reports whether w may name a save: 1 to 32 ASCII letters and digits.
func ValidWriteID(w string) bool {
	if w == "" || len(w) > writeIDLen {
		return false
	}
	ok := uint64(1)
	for i := range len(w) {
		ok &= alphanumeric[w[i]>>6] >> (w[i] & 63)
	}
	return ok == 1
}

// alphanumeric has a bit for each byte. Branches on the letters of random names
// would be mispredicted.
var alphanumeric = [4]uint64{
	(1<<10 - 1) << '0',
	(1<<26-1)<<('A'-64) | (1<<26-1)<<('a'-64),
}

// Check reports what an envelope cannot hold of s.
func Check(s *store.Snapshot) error {
	switch {
	case !ValidWriteID(s.WriteID):
		return fmt.Errorf("invalid write id %q: it must be 1 to 32 ASCII letters and digits", s.WriteID)
	case len(s.Codec) > maxCodec || !validText(s.Codec):
		return fmt.Errorf("invalid codec %q: it must be at most %d bytes of text", s.Codec, maxCodec)
	case s.Schema < 0 || s.Schema > math.MaxInt32:
		return fmt.Errorf("invalid schema %d: it must be 0 to %d", s.Schema, math.MaxInt32)
	}
	return nil
}
