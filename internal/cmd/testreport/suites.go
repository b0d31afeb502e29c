package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
)

// A suite is a set of top-level tests that a reader wants to know to have run.
type suite struct {
	name  string
	tests *regexp.Regexp // names of its top-level tests
	real  bool           // needs a real server, file system or process
}

var suites = []suite{
	{"memory", regexp.MustCompile(`^TestConformance_memory$`), false},
	{"file", regexp.MustCompile(`^TestConformance_file$`), true},
	{"miniredis", regexp.MustCompile(`^TestConformance_miniredis$`), false},
	{"redis-server", regexp.MustCompile(`^TestConformance_redis_server$`), true},
	{"crash", regexp.MustCompile(`^TestCrash_`), true},
	{"power-cut", regexp.MustCompile(`^TestPowerCut_`), os.Getenv("DURABLE_NO_MOUNTS") == ""},
	{"promtool", regexp.MustCompile(`^TestPromtool`), true},
	{"handover", regexp.MustCompile(`^TestHandover_`), true},
}

// state says what became of s, and whether none of its top-level tests was
// skipped or missing.
func (r *report) state(s suite) (text string, complete bool) {
	var passed, failed, skipped int
	var reasons []string
	for _, t := range r.order {
		if !s.tests.MatchString(t.top()) {
			continue
		}
		if t.result == "skip" && t.name == t.top() {
			reasons = append(reasons, t.reason())
		}
		switch {
		case t.result == "fail" && t.failed == 0:
			failed++
		case t.children > 0:
		case t.result == "pass":
			passed++
		case t.result == "skip":
			skipped++
		}
	}
	switch {
	case passed+failed+skipped == 0:
		return "absent", false
	case passed+failed == 0:
		if len(reasons) == 0 {
			reasons = []string{"every subtest was skipped"}
		}
		return "SKIPPED: " + strings.Join(reasons, "; "), false
	}
	text = fmt.Sprintf("ran: %d passed, %d failed, %d skipped", passed, failed, skipped)
	return text, len(reasons) == 0
}
