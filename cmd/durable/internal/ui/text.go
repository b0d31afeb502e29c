package ui

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// Plain makes text from a store harmless on a terminal: what is not printable,
// such as control characters and marks that turn the direction of writing, is
// written as an escape. Only line breaks stay.
func Plain(s string) string { return escaped(s, "\n") }

// Line is Plain for text that must stay on one line.
func Line(s string) string { return escaped(s, "") }

// Name spells an id or a holder so that two that differ never look the same: as it
// is, or quoted as Go does when that would not be seen on a terminal.
func Name(s string) string {
	first, _ := utf8.DecodeRuneInString(s)
	switch {
	case s == "":
		return s
	case Line(s) != s, first == '"', unicode.Is(unicode.M, first), strings.TrimSpace(s) != s:
		return strconv.Quote(s)
	}
	return s
}

func escaped(s, but string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return !shown(r) }) && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1, !shown(r) && !strings.ContainsRune(but, r):
			quoted := strconv.Quote(s[:n])
			b.WriteString(quoted[1 : len(quoted)-1])
		default:
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}

// shown reports that a terminal shows r and does nothing else. Marks that
// combine belong to the letter before.
func shown(r rune) bool { return unicode.IsPrint(r) }

// Width returns how many columns a terminal gives to s.
func Width(s string) (columns int) {
	for _, r := range s {
		switch {
		case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf), r >= 0x1160 && r <= 0x11ff: // Hangul vowels and finals
		case width.LookupRune(r).Kind() == width.EastAsianWide, width.LookupRune(r).Kind() == width.EastAsianFullwidth:
			columns += 2
		default:
			columns++
		}
	}
	return columns
}
