package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// packages are the programs without which many tests are skipped, and how to get
// them.
var packages = map[string]string{
	"redis-server": "install the package redis-server (Debian: apt-get install redis-server)",
}

// finish prints why tests were skipped, what failed, and the summary: the suites,
// what to install and the count. It reports whether all is well.
func (r *report) finish(requireReal bool) bool {
	var summary []string
	for _, s := range suites {
		state, complete := r.state(s)
		summary = append(summary, fmt.Sprintf("suite %-13s %s", s.name, state))
		if requireReal && s.real && !complete {
			r.broken = append(r.broken, "suite "+s.name+" must run where DURABLE_REQUIRE_REAL is set")
		}
	}
	for _, program := range r.missing {
		summary = append(summary, program+" is missing: "+packages[program])
	}
	if r.passed+r.failed+r.skipped == 0 {
		r.broken = append(r.broken, "no test ran")
	}
	r.printSkips()
	for _, text := range r.failures {
		fmt.Fprint(r.w, text)
	}
	for _, text := range r.broken {
		r.failed++
		fmt.Fprintln(r.w, "FAIL", text)
	}
	for _, line := range summary {
		fmt.Fprintln(r.w, line)
	}
	fmt.Fprintf(r.w, "%d passed, %d failed, %d skipped\n", r.passed, r.failed, r.skipped)
	return r.failed == 0
}

// printSkips prints every reason once, the most frequent first.
func (r *report) printSkips() {
	reasons := slices.SortedFunc(maps.Keys(r.skips), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(r.skips[b]), len(r.skips[a])), cmp.Compare(a, b))
	})
	for _, reason := range reasons {
		switch tests := r.skips[reason]; len(tests) {
		case 1:
			fmt.Fprintf(r.w, "SKIP %s %s: %s\n", short(tests[0].pkg), tests[0].name, reason)
		default:
			fmt.Fprintf(r.w, "SKIP %d tests: %s\n", len(tests), reason)
		}
	}
}
