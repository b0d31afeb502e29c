package report

import (
	"math"
	"strconv"
)

// Nanoseconds formats a duration with three digits or so.
func Nanoseconds(ns float64) string {
	switch {
	case ns >= 1e9:
		return number(ns/1e9) + " s"
	case ns >= 1e6:
		return number(ns/1e6) + " ms"
	case ns >= 1e3:
		return number(ns/1e3) + " µs"
	}
	return number(ns) + " ns"
}

// quantity formats v with its unit.
func quantity(v float64, unit string) string {
	switch unit {
	case "":
		return number(v)
	case "×", "%":
		return number(v) + unit
	}
	return number(v) + " " + unit
}

// number formats v with three significant digits, and all before the point.
func number(v float64) string {
	digits := 2
	for a := math.Abs(v); a >= 10 && digits > 0; a /= 10 {
		digits--
	}
	return grouped(strconv.FormatFloat(v, 'f', digits, 64))
}

// grouped puts commas between groups of three digits before the point.
func grouped(s string) string {
	end := len(s)
	for i := range s {
		if s[i] == '.' {
			end = i
			break
		}
	}
	first := 0
	if s[0] == '-' {
		first = 1
	}
	for i := end - 3; i > first; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
