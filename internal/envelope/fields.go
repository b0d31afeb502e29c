package envelope

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"time"
)

// How the fields of a header are spelled.

func appendPadded(dst []byte, v uint64, width int) []byte {
	dst = append(dst, "00000000000000000000"[:width]...)
	for i := len(dst) - 1; v > 0; i-- {
		dst[i] = byte('0' + v%10)
		v /= 10
	}
	return dst
}

// split appends the fields of a header line.
func split(dst []string, line string) []string {
	for field := range strings.SplitSeq(line, " ") {
		dst = append(dst, field)
	}
	return dst
}

func parseUint(s string, width int) (uint64, bool) {
	if len(s) != width {
		return 0, false
	}
	v, err := strconv.ParseUint(s, 10, 64)
	return v, err == nil && s[0] != '+'
}

func parseInt(s string) (int, bool) {
	v, err := strconv.ParseInt(s, 10, 64)
	var room [20]byte
	return int(v), err == nil && v >= 0 && v <= math.MaxInt && string(strconv.AppendInt(room[:0], v, 10)) == s
}

const hexDigits = "0123456789abcdef"

func appendHex(dst []byte, v uint32) []byte {
	for shift := 28; shift >= 0; shift -= 4 {
		dst = append(dst, hexDigits[v>>shift&15])
	}
	return dst
}

func parseHex(s string) (v uint32, ok bool) {
	if len(s) != 8 {
		return 0, false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case '0' <= c && c <= '9':
			v = v<<4 | uint32(c-'0')
		case 'a' <= c && c <= 'f':
			v = v<<4 | uint32(c-'a'+10)
		default:
			return 0, false
		}
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
	dst = appendDigits(dst, y, 4)
	dst = appendDigits(append(dst, '-'), int(month), 2)
	dst = appendDigits(append(dst, '-'), day, 2)
	dst = appendDigits(append(dst, 'T'), hour, 2)
	dst = appendDigits(append(dst, ':'), minute, 2)
	dst = appendDigits(append(dst, ':'), second, 2)
	if n := t.Nanosecond(); n != 0 {
		dst = bytes.TrimRight(appendDigits(append(dst, '.'), n, 9), "0")
	}
	return append(dst, 'Z')
}

func appendDigits(dst []byte, v, width int) []byte {
	dst = append(dst, "000000000"[:width]...)
	for i := len(dst) - 1; v > 0; i-- {
		dst[i] = byte('0' + v%10)
		v /= 10
	}
	return dst
}

func parseTime(s string) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339Nano, s)
	var room [len(time.RFC3339Nano)]byte
	return t, err == nil && t.Year() > 0 && string(appendTime(room[:0], t)) == s
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
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '%' {
			return false
		}
	}
	return true
}

func unescape(s string) (string, bool) {
	if s == "-" {
		return "", true
	}
	if s != "" && plain(s) {
		return s, true
	}
	var out []byte
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' {
			if i+2 >= len(s) {
				return "", false
			}
			hi, lo := strings.IndexByte(hexDigits, s[i+1]), strings.IndexByte(hexDigits, s[i+2])
			if hi < 0 || lo < 0 {
				return "", false
			}
			c = byte(hi<<4 | lo)
			i += 2
		}
		out = append(out, c)
	}
	return string(out), string(appendEscaped(nil, string(out))) == s // one spelling only
}
