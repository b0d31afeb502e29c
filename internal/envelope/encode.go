package envelope

import (
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
)

// A payload is copied and summed up in blocks of this length, each of which is
// still in the processor's cache when it is read again.
const blockLen = 16 << 10

// blank stands for the checksums of a payload that is still to be copied.
const blank = "01234567 01234567\n"

// Append appends the envelope of r to dst.
func Append(dst []byte, r *Record) ([]byte, error) {
	dst = slices.Grow(dst, headerRoom+len(r.ID)+len(r.Codec)+len(r.Data))
	dst, total, err := appendFields(dst, r)
	if err != nil {
		return nil, err
	}
	at := len(dst)
	dst = append(dst, blank...)
	for data := r.Data; len(data) > 0; {
		block := data[:min(len(data), blockLen)]
		data = data[len(block):]
		dst = append(dst, block...)
		total.add(block)
	}
	total.append(dst[:at])
	return dst, nil
}

// AppendHeader appends the header of the envelope of r to dst. The payload,
// r.Data, is to follow it.
func AppendHeader(dst []byte, r *Record) ([]byte, error) {
	dst, total, err := appendFields(dst, r)
	if err != nil {
		return nil, err
	}
	total.add(r.Data)
	return total.append(dst), nil
}

// headerRoom is enough for a header without its id and codec, unless they are
// escaped.
const headerRoom = 192

// appendFields appends the header of r up to the checksums of the whole, and
// returns what these are so far.
func appendFields(dst []byte, r *Record) ([]byte, sum, error) {
	switch {
	case !ValidID(r.ID) && r.Kind != Lease: // the lease of a whole prefix has no name
		return nil, sum{}, fmt.Errorf("invalid component id %q", r.ID)
	case !r.Kind.valid():
		return nil, sum{}, fmt.Errorf("invalid envelope kind %q", byte(r.Kind))
	}
	if err := Check(&r.Snapshot); err != nil {
		return nil, sum{}, err
	}
	start := len(dst)
	dst = appendPrefix(dst, r.Epoch, r.Version)
	dst = append(dst, r.WriteID...)
	dst = append(dst, "--------------------------------"[len(r.WriteID):]...)
	dst = appendEscaped(append(dst, ' '), r.ID)
	dst = appendEscaped(append(dst, ' '), r.Codec)
	dst = strconv.AppendInt(append(dst, ' '), int64(r.Schema), 10)
	dst = appendTime(append(dst, ' '), r.SavedAt)
	dst = append(dst, ' ', byte(r.Kind), ' ')
	dst = strconv.AppendInt(dst, int64(len(r.Data)), 10)
	dst = append(dst, ' ')
	head := crc32.Checksum(dst[start:], castagnoli)
	end := len(dst)
	dst = append(appendHex(dst, head), ' ')
	return dst, sum{crc32.Update(head, castagnoli, dst[end:]), crc32.ChecksumIEEE(dst[start:])}, nil
}

// appendPrefix appends the fields before the write id.
func appendPrefix(dst []byte, epoch, version uint64) []byte {
	dst = append(dst, Magic...)
	dst = AppendPadded(dst, Format, 2)
	dst = AppendPadded(append(dst, ' '), epoch, 20)
	dst = AppendPadded(append(dst, ' '), version, 20)
	return append(dst, ' ')
}
