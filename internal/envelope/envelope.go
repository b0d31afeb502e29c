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
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"math"
	"strconv"
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

	writeIDLen = 32
	maxIDLen   = 255
	maxCodec   = 64
	fieldCount = 14
	fixedTail  = 4 // length and the three checksums
)

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

// A Header is what the header line says, without the payload.
type Header struct {
	Record         // Data is nil
	HeaderLen  int // length of the line, newline included
	PayloadLen int

	crc32c, crc32 uint32
	crcEnd        int // the checksums cover the line up to here
}

// Len returns the length of the whole envelope.
func (h *Header) Len() int { return h.HeaderLen + h.PayloadLen }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ValidID reports whether id may name a component: 1 to 255 bytes of UTF-8
// without control characters.
func ValidID(id string) bool {
	return id != "" && len(id) <= maxIDLen && validText(id)
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
	for i := range len(w) {
		c := w[i]
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
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

// Append appends the envelope of r to dst.
func Append(dst []byte, r *Record) ([]byte, error) {
	dst, err := AppendHeader(dst, r)
	if err != nil {
		return nil, err
	}
	return append(dst, r.Data...), nil
}

// AppendHeader appends the header of the envelope of r to dst. The payload,
// r.Data, is to follow it.
func AppendHeader(dst []byte, r *Record) ([]byte, error) {
	switch {
	case !ValidID(r.ID) && r.Kind != Lease: // the lease of a whole prefix has no name
		return nil, fmt.Errorf("invalid component id %q", r.ID)
	case !r.Kind.valid():
		return nil, fmt.Errorf("invalid envelope kind %q", byte(r.Kind))
	}
	if err := Check(&r.Snapshot); err != nil {
		return nil, err
	}
	start := len(dst)
	dst = appendPrefix(dst, r.Epoch, r.Version)
	dst = append(dst, r.WriteID...)
	dst = append(dst, "--------------------------------"[len(r.WriteID):]...)
	dst = appendEscaped(append(dst, ' '), r.ID)
	dst = appendEscaped(append(dst, ' '), r.Codec)
	dst = strconv.AppendInt(append(dst, ' '), int64(r.Schema), 10)
	dst = appendTime(append(dst, ' '), r.SavedAt)
	dst = append(append(dst, ' '), byte(r.Kind))
	dst = strconv.AppendInt(append(dst, ' '), int64(len(r.Data)), 10)
	dst = append(dst, ' ')
	dst = appendHex(dst, crc32.Checksum(dst[start:], castagnoli))
	dst = append(dst, ' ')
	c, i := sums(dst[start:], r.Data)
	dst = appendHex(dst, c)
	dst = appendHex(append(dst, ' '), i)
	dst = append(dst, '\n')
	return dst, nil
}

// appendPrefix appends the fields before the write id.
func appendPrefix(dst []byte, epoch, version uint64) []byte {
	dst = append(dst, Magic...)
	dst = appendPadded(dst, Format, 2)
	dst = appendPadded(append(dst, ' '), epoch, 20)
	dst = appendPadded(append(dst, ' '), version, 20)
	return append(dst, ' ')
}

func sums(head, payload []byte) (c, i uint32) {
	c = crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, payload)
	i = crc32.Update(crc32.ChecksumIEEE(head), crc32.IEEETable, payload)
	return c, i
}

// ParseHeader reads the header line at the start of b, which may end anywhere
// behind it. The header's own checksum is verified, the payload is not looked
// at. Errors are store.ErrCorrupt and store.ErrTooNew.
func ParseHeader(b []byte) (*Header, error) {
	if !bytes.HasPrefix(b, []byte(Magic)) {
		return nil, corrupt("no magic")
	}
	end := bytes.IndexByte(b[:min(len(b), MaxHeaderLen)], '\n')
	if end < 0 {
		return nil, corrupt("no end of header")
	}
	var room [fieldCount]string
	f := split(room[:0], string(b[:end]))
	if len(f) < 2+fixedTail {
		return nil, corrupt("header too short")
	}
	tail := f[len(f)-fixedTail:]
	h := &Header{HeaderLen: end + 1, crcEnd: end - len("01234567 01234567")}
	headEnd := h.crcEnd - len("01234567 ")
	headCRC, ok1 := parseHex(tail[1])
	var ok2, ok3 bool
	h.crc32c, ok2 = parseHex(tail[2])
	h.crc32, ok3 = parseHex(tail[3])
	if !ok1 || !ok2 || !ok3 || headEnd < 0 || headCRC != crc32.Checksum(b[:headEnd], castagnoli) {
		return nil, corrupt("header checksum differs")
	}
	if format, ok := parseUint(f[1], 2); !ok || format == 0 {
		return nil, corrupt("no format")
	} else if format > Format {
		return nil, fmt.Errorf("%w: envelope format %d, this program reads up to %d", store.ErrTooNew, format, Format)
	}
	if err := h.parseFields(f); err != nil {
		return nil, err
	}
	return h, nil
}

func (h *Header) parseFields(f []string) error {
	if len(f) != fieldCount || len(f[4]) != writeIDLen {
		return corrupt("wrong number of fields")
	}
	var ok [8]bool
	h.Epoch, ok[0] = parseUint(f[2], 20)
	h.Version, ok[1] = parseUint(f[3], 20)
	h.WriteID = strings.TrimRight(f[4], "-")
	ok[2] = ValidWriteID(h.WriteID)
	h.ID, ok[3] = unescape(f[5])
	h.Codec, ok[4] = unescape(f[6])
	h.Schema, ok[5] = parseInt(f[7])
	h.SavedAt, ok[6] = parseTime(f[8])
	h.PayloadLen, ok[7] = parseInt(f[10])
	for _, o := range ok {
		if !o {
			return corrupt("malformed field")
		}
	}
	if len(f[9]) != 1 || !Kind(f[9][0]).valid() {
		// The header's checksum holds, so a program that knows more wrote this.
		return fmt.Errorf("%w: unknown flags %q", store.ErrTooNew, f[9])
	}
	h.Kind = Kind(f[9][0])
	if !ValidID(h.ID) && h.Kind != Lease {
		return corrupt("invalid id")
	}
	return nil
}

// Verify checks that b is exactly the envelope of which h is the header, and
// returns its record. Data aliases b.
func (h *Header) Verify(b []byte) (*Record, error) {
	data, err := h.payload(b)
	if err != nil {
		return nil, err
	}
	r := h.Record
	r.Data = data
	return &r, nil
}

// payload checks that b is exactly the envelope of which h is the header.
func (h *Header) payload(b []byte) ([]byte, error) {
	if len(b) != h.Len() {
		return nil, corrupt("%d bytes instead of %d", len(b), h.Len())
	}
	data := b[h.HeaderLen:]
	if c, i := sums(b[:h.crcEnd], data); c != h.crc32c || i != h.crc32 {
		return nil, corrupt("checksum differs")
	}
	return data[:len(data):len(data)], nil
}

// Parse reads and verifies the envelope at the start of b and returns its
// length. Data aliases b.
func Parse(b []byte) (*Record, int, error) {
	h, err := ParseHeader(b)
	if err != nil {
		return nil, 0, err
	}
	if h.PayloadLen > len(b)-h.HeaderLen {
		return nil, 0, corrupt("%d bytes of payload instead of %d", len(b)-h.HeaderLen, h.PayloadLen)
	}
	if h.Data, err = h.payload(b[:h.Len()]); err != nil {
		return nil, h.Len(), err
	}
	return &h.Record, h.Len(), nil
}

// Decode reads b, which must be exactly one envelope that holds state of the
// component id. Data aliases b.
func Decode(id string, b []byte) (*store.Snapshot, error) {
	r, n, err := Parse(b)
	switch {
	case err != nil:
		return nil, err
	case n != len(b):
		return nil, corrupt("%d bytes follow the payload", len(b)-n)
	case r.Kind != Snapshot:
		return nil, corrupt("it holds no state")
	case r.ID != id:
		return nil, corrupt("it belongs to component %q", r.ID)
	}
	return &r.Snapshot, nil
}

// Intact reports whether b is exactly one envelope with the state of the
// component id that has epoch and version. False says nothing yet: Decode tells
// what is wrong, if anything is. It allocates nothing.
func Intact(id string, epoch, version uint64, b []byte) bool {
	end := bytes.IndexByte(b[:min(len(b), MaxHeaderLen)], '\n')
	if end < PrefixLen+len("01234567 01234567 01234567") {
		return false
	}
	var room [MaxHeaderLen]byte
	want := appendPrefix(room[:0], epoch, version)
	if !bytes.HasPrefix(b, want) {
		return false
	}
	want = append(appendEscaped(room[:0], id), ' ')
	if !bytes.HasPrefix(b[PrefixLen:], want) {
		return false
	}
	line := b[:end]
	headCRC, ok1 := parseHex(string(line[end-26 : end-18]))
	crcC, ok2 := parseHex(string(line[end-17 : end-9]))
	crcI, ok3 := parseHex(string(line[end-8:]))
	fields := line[:end-27] // all but the checksums
	length := bytes.LastIndexByte(fields, ' ')
	if !ok1 || !ok2 || !ok3 || length < 3 || line[end-27] != ' ' || line[end-18] != ' ' || line[end-9] != ' ' ||
		fields[length-1] != byte(Snapshot) || fields[length-2] != ' ' {
		return false
	}
	var digits [20]byte
	if payload := len(b) - end - 1; !bytes.Equal(fields[length+1:], strconv.AppendInt(digits[:0], int64(payload), 10)) {
		return false
	}
	c, i := sums(b[:end-17], b[end+1:])
	return headCRC == crc32.Checksum(b[:end-26], castagnoli) && c == crcC && i == crcI
}

// HasMagic reports whether b begins like an envelope.
func HasMagic(b []byte) bool { return bytes.HasPrefix(b, []byte(Magic)) }

// Plain reads b as state written by a plain writer: a JSON object without an
// envelope. It has Version 0 and cannot be verified. Data aliases b.
func Plain(b []byte) (*store.Snapshot, bool) {
	if t := bytes.TrimLeft(b, " \t\r\n"); len(t) == 0 || t[0] != '{' || !json.Valid(b) {
		return nil, false
	}
	return &store.Snapshot{Codec: "json", Data: b}, true
}

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{store.ErrCorrupt}, args...)...)
}
