package envelope

import "hash/crc32"

// sums are the checksums at the end of a header line: that of the line up to it,
// and that of the line up to it and the payload.
type sums struct {
	head  uint32
	whole sum
}

// A sum is both checksums of what has been added so far.
type sum struct{ c, ieee uint32 }

const (
	hexLen  = len("01234567")
	tailLen = len("01234567 01234567")               // which the last two do not cover
	sumsLen = len(" ") + hexLen + len(" ") + tailLen // all three, and the space before them
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (s *sum) add(b []byte) {
	s.c = crc32.Update(s.c, castagnoli, b)
	s.ieee = crc32.Update(s.ieee, crc32.IEEETable, b)
}

// append appends s and the end of the header.
func (s sum) append(dst []byte) []byte {
	dst = append(appendHex(dst, s.c), ' ')
	return append(appendHex(dst, s.ieee), '\n')
}

// sumOf returns what the envelope of a header line and a payload should have at
// the end of the line.
func sumOf(line, payload []byte) (s sum) {
	s.add(line[:len(line)-tailLen])
	s.add(payload)
	return s
}

// parseSums reads what ends a header line.
func parseSums(line []byte) (s sums, ok bool) {
	if len(line) < sumsLen {
		return s, false
	}
	var oks [3]bool
	t := line[len(line)-sumsLen:]
	s.head, oks[0] = parseHex(t[1:9])
	s.whole.c, oks[1] = parseHex(t[10:18])
	s.whole.ieee, oks[2] = parseHex(t[19:])
	return s, oks == [3]bool{true, true, true} && t[0] == ' ' && t[9] == ' ' && t[18] == ' '
}

// seals reports whether line is the header line with s at its end.
func (s sums) seals(line []byte) bool {
	return s.head == crc32.Checksum(line[:len(line)-sumsLen+1], castagnoli)
}
