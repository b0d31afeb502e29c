package envelope

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/durablestate/durable/internal/store"
)

// A Header is what the header line says, without the payload.
type Header struct {
	Record         // Data is nil
	HeaderLen  int // length of the line, newline included
	PayloadLen int

	want sums
}

// Len returns the length of the whole envelope.
func (h *Header) Len() int { return h.HeaderLen + h.PayloadLen }

// ParseHeader reads the header line at the start of b, which may end anywhere
// behind it. The header's own checksum is verified, the payload is not looked
// at. Errors are store.ErrCorrupt and store.ErrTooNew.
func ParseHeader(b []byte) (*Header, error) {
	h := new(Header)
	if err := h.parse(b); err != nil {
		return nil, err
	}
	return h, nil
}

func (h *Header) parse(b []byte) error {
	if !HasMagic(b) {
		return corrupt("no magic")
	}
	end := bytes.IndexByte(b[:min(len(b), MaxHeaderLen)], '\n')
	if end < 0 {
		return corrupt("no end of header")
	}
	line := b[:end]
	f, n := split(line)
	if n < 2+fixedTail {
		return corrupt("header too short")
	}
	var ok bool
	if h.want, ok = parseSums(line); !ok || !h.want.seals(line) {
		return corrupt("header checksum differs")
	}
	h.HeaderLen = end + 1
	if format, ok := parseUint(f[1], 2); !ok || format == 0 {
		return corrupt("no format")
	} else if format > Format {
		return fmt.Errorf("%w: envelope format %d, this program reads up to %d", store.ErrTooNew, format, Format)
	}
	if n != fields || len(f[4]) != writeIDLen {
		return corrupt("wrong number of fields")
	}
	return h.parseFields(&f)
}

// split returns the fields of a header line and how many there are.
func split(line []byte) (f [fields][]byte, n int) {
	for more := true; more; n++ {
		var field []byte
		field, line, more = bytes.Cut(line, []byte{' '})
		if n < fields {
			f[n] = field
		}
	}
	return f, n
}

func (h *Header) parseFields(f *[fields][]byte) error {
	var ok [8]bool
	h.Epoch, ok[0] = parseUint(f[2], 20)
	h.Version, ok[1] = parseUint(f[3], 20)
	h.WriteID = string(bytes.TrimRight(f[4], "-"))
	ok[2] = ValidWriteID(h.WriteID)
	h.ID, ok[3] = unescape(f[5])
	h.Codec, ok[4] = unescape(f[6])
	h.Schema, ok[5] = parseInt(f[7])
	h.SavedAt, ok[6] = parseTime(f[8])
	h.PayloadLen, ok[7] = parseInt(f[10])
	ok[7] = ok[7] && h.PayloadLen <= maxPayload
	if ok != [8]bool{true, true, true, true, true, true, true, true} {
		return corrupt("malformed field")
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
	if len(b) != h.Len() {
		return nil, corrupt("%d bytes instead of %d", len(b), h.Len())
	}
	payload := b[h.HeaderLen:]
	if h.want.whole != sumOf(b[:h.HeaderLen-1], payload) {
		return nil, corrupt("checksum differs")
	}
	r := h.Record
	r.Data = payload[:len(payload):len(payload)]
	return &r, nil
}

// Parse reads and verifies the envelope at the start of b and returns its
// length. Data aliases b.
func Parse(b []byte) (*Record, int, error) {
	var h Header
	if err := h.parse(b); err != nil {
		return nil, 0, err
	}
	if h.PayloadLen > len(b)-h.HeaderLen {
		return nil, 0, corrupt("%d bytes of payload instead of %d", len(b)-h.HeaderLen, h.PayloadLen)
	}
	r, err := h.Verify(b[:h.Len()])
	return r, h.Len(), err
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
	if end < PrefixLen+sumsLen {
		return false
	}
	var room [3 * maxIDLen]byte
	if !bytes.HasPrefix(b, appendPrefix(room[:0], epoch, version)) {
		return false
	}
	name := appendEscaped(room[:0], id)
	if !bytes.HasPrefix(b[PrefixLen:], name) || b[PrefixLen+len(name)] != ' ' {
		return false
	}
	line, payload := b[:end], b[end+1:]
	fields := line[:end-sumsLen] // all but the checksums
	length := bytes.LastIndexByte(fields, ' ')
	if length < 3 || fields[length-1] != byte(Snapshot) || fields[length-2] != ' ' {
		return false
	}
	if !bytes.Equal(fields[length+1:], strconv.AppendInt(room[:0], int64(len(payload)), 10)) {
		return false
	}
	want, ok := parseSums(line)
	return ok && want.seals(line) && want.whole == sumOf(line, payload)
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
