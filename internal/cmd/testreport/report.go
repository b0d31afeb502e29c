package main

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// An event is one line of go test -json; see go doc test2json.
type event struct {
	Action      string
	Package     string
	ImportPath  string // of build output
	Test        string
	Output      string
	Elapsed     float64
	FailedBuild string
}

// A test is one test or subtest, or with an empty name the package itself.
type test struct {
	pkg, name string
	result    string // "pass", "fail", "skip", "" while it runs
	output    strings.Builder
	children  int
	failed    int // children that failed
}

// top returns the name of the top-level test.
func (t *test) top() string {
	name, _, _ := strings.Cut(t.name, "/")
	return name
}

type key struct{ pkg, name string }

// report collects the events of one run.
type report struct {
	w      io.Writer
	tests  map[key]*test
	order  []*test // tests, in the order in which they began
	builds map[string]*strings.Builder

	failures []string           // what failed, with what it printed
	broken   []string           // what went wrong outside of tests
	skips    map[string][]*test // by reason
	missing  []string           // programs that tests need

	passed, failed, skipped int
}

func newReport(w io.Writer) *report {
	return &report{w: w, tests: map[key]*test{}, builds: map[string]*strings.Builder{}, skips: map[string][]*test{}}
}

// line takes one line of output. What is no event is printed as it is.
func (r *report) line(line []byte) {
	var e event
	if json.Unmarshal(line, &e) != nil || e.Action == "" {
		fmt.Fprintf(r.w, "%s", line)
		return
	}
	switch e.Action {
	case "build-output":
		if r.builds[e.ImportPath] == nil {
			r.builds[e.ImportPath] = &strings.Builder{}
		}
		r.builds[e.ImportPath].WriteString(e.Output)
	case "output":
		r.test(e.Package, e.Test).output.WriteString(e.Output)
	case "run":
		r.test(e.Package, e.Test)
	case "pass", "fail", "skip":
		r.ended(r.test(e.Package, e.Test), e)
	}
}

// test returns the test of that name, which it begins when it is new.
func (r *report) test(pkg, name string) *test {
	k := key{pkg, name}
	if t := r.tests[k]; t != nil {
		return t
	}
	t := &test{pkg: pkg, name: name}
	r.tests[k] = t
	if name != "" {
		r.order = append(r.order, t)
		if p := r.parent(t); p != nil {
			p.children++
		}
	}
	return t
}

// parent returns the test of which t is a direct subtest. A slash may also be
// part of a name, so it looks for the longest name that was begun.
func (r *report) parent(t *test) *test {
	for name := t.name; ; {
		i := strings.LastIndexByte(name, '/')
		if i < 0 {
			return nil
		}
		name = name[:i]
		if p := r.tests[key{t.pkg, name}]; p != nil {
			return p
		}
	}
}

func (r *report) ended(t *test, e event) {
	t.result = e.Action
	if t.name == "" {
		r.packageEnded(t, e)
		return
	}
	if p := r.parent(t); p != nil && e.Action == "fail" {
		p.failed++
	}
	r.count(t)
}

// count counts t unless its subtests say it all.
func (r *report) count(t *test) {
	switch {
	case t.result == "fail" && t.failed == 0:
		r.fail(short(t.pkg)+" "+t.name, t.text())
	case t.children > 0:
	case t.result == "pass":
		r.passed++
	case t.result == "skip":
		r.skipped++
		r.skips[t.reason()] = append(r.skips[t.reason()], t)
	}
}

// fail counts a failure and names it at once. What it printed stands at the end.
func (r *report) fail(name, text string) {
	r.failed++
	fmt.Fprintf(r.w, "FAIL %s\n", name)
	r.failures = append(r.failures, fmt.Sprintf("FAIL %s\n%s", name, indent(text)))
}

// packageEnded says how a package ended. One that failed without a failing test
// did not build, panicked or ran out of time: what still ran failed.
func (r *report) packageEnded(p *test, e event) {
	failures := 0
	for _, t := range r.order {
		if t.pkg != p.pkg {
			continue
		}
		if t.result == "" {
			t.result = "fail"
			r.count(t)
		}
		if t.result == "fail" {
			failures++
		}
	}
	if p.result != "fail" {
		if p.result == "pass" {
			fmt.Fprintf(r.w, "ok   %s %.1fs\n", short(p.pkg), e.Elapsed)
		}
		return
	}
	if failures == 0 {
		text := p.text()
		if b := r.builds[e.FailedBuild]; b != nil {
			text = b.String() + text
		}
		r.fail(short(p.pkg), text)
	}
}

// sawFailure reports whether a failure was counted.
func (r *report) sawFailure() bool { return r.failed > 0 }

var (
	frame    = regexp.MustCompile(`(?m)^\s*(=== (RUN|PAUSE|CONT|NAME)|--- (PASS|FAIL|SKIP)).*\n`)
	location = regexp.MustCompile(`^\s*\S+\.go:\d+: `)
)

// text returns what t printed, without the framing of go test.
func (t *test) text() string { return frame.ReplaceAllString(t.output.String(), "") }

// reason returns the last line that t printed, which says why it was skipped.
func (t *test) reason() string {
	lines := strings.Split(strings.TrimSpace(t.text()), "\n")
	text := location.ReplaceAllString(lines[len(lines)-1], "")
	if text = strings.TrimPrefix(strings.TrimSpace(text), "SKIPPED: "); text == "" {
		return "no reason given"
	}
	return text
}

func short(pkg string) string {
	return strings.TrimPrefix(strings.TrimPrefix(pkg, "github.com/durablestate/"), "durable/")
}

func indent(text string) string {
	text = strings.TrimRight(text, "\n")
	if text == "" {
		return ""
	}
	return "     " + strings.ReplaceAll(text, "\n", "\n     ") + "\n"
}
