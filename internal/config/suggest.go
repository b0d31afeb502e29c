package config

import "strings"

// didYouMean returns "; did you mean ...?" when what somebody wrote is close to
// one of the words that are allowed, and nothing otherwise.
func didYouMean(allowed []string, written string) string {
	for _, a := range allowed {
		if similar(fold(written), fold(a)) {
			return "; did you mean " + a + "?"
		}
	}
	return ""
}

var folder = strings.NewReplacer("-", "", "_", "", " ", "", ".", "")

func fold(s string) string { return folder.Replace(strings.ToLower(s)) }

func similar(written, allowed string) bool {
	if len(written) < 3 || len(written) > 40 {
		return false
	}
	return distance(written, allowed) <= 1+len(allowed)/6 ||
		len(allowed) > 3 && strings.Contains(written, allowed) ||
		strings.Contains(allowed, written)
}

// distance is the number of bytes to insert, remove or replace between a and b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
