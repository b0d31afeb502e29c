package redisstore

import (
	"strings"
)

// DefaultPrefix is the key prefix of the decision record this library implements.
const DefaultPrefix = "autocoder:state:"

// keys are the keys of one component. The side keys carry the whole state key as
// their hash tag, so that all of them live in the state key's cluster slot.
type keys struct{ state, side, fence string }

func (k keys) stage(name string) string       { return k.side + "t:" + name }
func (k keys) generation(g generation) string { return k.side + "g:" + trimZeros(g.version) }

func (s *Store) keys(id string) keys {
	if !plainText(id) {
		id = escape(id)
	}
	fence := "{" + s.prefix + id + "}:f"
	return keys{fence[1 : len(fence)-len("}:f")], fence[:len(fence)-1], fence}
}

func (s *Store) leaseKey(name string) string { return s.keys(name).side + "lease" }

// idOf returns the component to which a key of the store belongs, given its
// state key or its fence.
func (s *Store) idOf(key string) (string, bool) {
	if inner, ok := strings.CutPrefix(key, "{"); ok {
		if key, ok = strings.CutSuffix(inner, "}:f"); !ok {
			return "", false
		}
	}
	rest, ok := strings.CutPrefix(key, s.prefix)
	if !ok || rest == "" {
		return "", false
	}
	return unescape(rest)
}

const hexDigits = "0123456789abcdef"

// escape spells id so that it can stand inside a hash tag and in a glob pattern.
// It is injective: '%' is escaped too.
func escape(id string) string {
	var b strings.Builder
	for i := range len(id) {
		if c := id[i]; plain(c) {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', hexDigits[c>>4], hexDigits[c&15]})
		}
	}
	return b.String()
}

func plainText(s string) bool {
	for i := range len(s) {
		if !plain(s[i]) {
			return false
		}
	}
	return true
}

func plain(c byte) bool {
	return c > ' ' && c < 0x7f && strings.IndexByte("{}%*?[]\\", c) < 0
}

// unescape is the inverse of escape and refuses every other spelling.
func unescape(s string) (string, bool) {
	var b strings.Builder
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
			c, i = byte(hi<<4|lo), i+2
		}
		b.WriteByte(c)
	}
	return b.String(), escape(b.String()) == s
}

func trimZeros(digits string) string {
	if t := strings.TrimLeft(digits, "0"); t != "" {
		return t
	}
	return "0"
}
