package envelope

import (
	"bytes"
	"math"
	"time"
)

// How the fields of a header are spelled.

// AppendPadded appends v with leading zeros to width digits, at most 20, which it
// must not exceed.
func AppendPadded(dst []byte, v uint64, width int) []byte {
	dst = append(dst, "00000000000000000000"[:width]...)
	i := len(dst)
	for ; v >= 10; v /= 100 {
		i -= 2
		dst[i], dst[i+1] = byte('0'+v/10%10), byte('0'+v%10)
	}
	if v > 0 {
		dst[i-1] = byte('0' + v)
	}
	return dst
}

func parseUint(s []byte, width int) (v uint64, ok bool) {
	if len(s) != width {
		return 0, false
	}
	for _, c := range s {
		d := uint64(c - '0')
		if d > 9 || v > math.MaxUint64/10 || v*10 > math.MaxUint64-d {
			return 0, false
		}
		v = v*10 + d
	}
	return v, true
}

func parseInt(s []byte) (int, bool) {
	v, ok := parseUint(s, min(len(s), 20))
	return int(v), ok && v <= math.MaxInt && len(s) > 0 && (s[0] != '0' || len(s) == 1)
}

const hexDigits = "0123456789abcdef"

// hexValues has one more than the value of each digit, so that 0 is none.
var hexValues = [256]byte{
	'0': 1, '1': 2, '2': 3, '3': 4, '4': 5, '5': 6, '6': 7, '7': 8,
	'8': 9, '9': 10, 'a': 11, 'b': 12, 'c': 13, 'd': 14, 'e': 15, 'f': 16,
}

func appendHex(dst []byte, v uint32) []byte {
	return append(dst,
		hexDigits[v>>28], hexDigits[v>>24&15], hexDigits[v>>20&15], hexDigits[v>>16&15],
		hexDigits[v>>12&15], hexDigits[v>>8&15], hexDigits[v>>4&15], hexDigits[v&15])
}

func parseHex(s []byte) (v uint32, ok bool) {
	if len(s) != hexLen {
		return 0, false
	}
	for _, c := range s {
		d := hexValues[c]
		if d == 0 {
			return 0, false
		}
		v = v<<4 | uint32(d-1)
	}
	return v, true
}

// appendTime writes t as RFC 3339 in UTC. A year that RFC 3339 cannot hold
// becomes the zero time: SavedAt is informative and must not stop a save.
func appendTime(dst []byte, t time.Time) []byte {
	t = t.UTC()
	y, month, day := t.Date()
	if y < 1 || y > 9999 {
		t = time.Time{}
		y, month, day = t.Date()
	}
	hour, minute, second := t.Clock()
	dst = append(appendTwo(appendTwo(dst, y/100), y%100), '-')
	dst = append(appendTwo(dst, int(month)), '-')
	dst = append(appendTwo(dst, day), 'T')
	dst = append(appendTwo(dst, hour), ':')
	dst = append(appendTwo(dst, minute), ':')
	dst = appendTwo(dst, second)
	if n := t.Nanosecond(); n != 0 {
		dst = bytes.TrimRight(AppendPadded(append(dst, '.'), uint64(n), 9), "0")
	}
	return append(dst, 'Z')
}

func appendTwo(dst []byte, v int) []byte {
	return append(dst, byte('0'+v/10), byte('0'+v%10))
}

// parseTime reads what appendTime writes, and nothing else.
func parseTime(s []byte) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339Nano, string(s))
	var room [len(time.RFC3339Nano)]byte
	return t, err == nil && t.Year() > 0 && bytes.Equal(appendTime(room[:0], t), s)
}

// appendEscaped percent-encodes everything but printable ASCII, and '%' and a
// lone "-", which stands for the empty string.
func appendEscaped(dst []byte, s string) []byte {
	switch s {
	case "":
		return append(dst, '-')
	case "-":
		return append(dst, "%2d"...)
	}
	if plain(s) {
		return append(dst, s...)
	}
	for i := range len(s) {
		if c := s[i]; c > ' ' && c < 0x7f && c != '%' {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return dst
}

// plain reports whether s stands in a header as it is, apart from "" and "-".
func plain[T string | []byte](s T) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '%' {
			return false
		}
	}
	return true
}

func unescape(s []byte) (string, bool) {
	switch {
	case string(s) == "-":
		return "", true
	case plain(s):
		return string(s), len(s) > 0
	}
	var out []byte
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' {
			if i+2 >= len(s) {
				return "", false
			}
			hi, lo := hexValues[s[i+1]], hexValues[s[i+2]]
			if hi == 0 || lo == 0 {
				return "", false
			}
			c = (hi-1)<<4 | (lo - 1)
			i += 2
		}
		out = append(out, c)
	}
	return string(out), bytes.Equal(appendEscaped(nil, string(out)), s) // one spelling only
}
