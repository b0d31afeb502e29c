package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func output(text string) event { return event{Action: "output", Package: "p", Test: "T", Output: text} }

func TestTable_shows_each_line_of_the_form_and_is_good(t *testing.T) {
	tab := newTable("power cuts, ext4")
	tab.take(output("    x_test.go:3: crash: power cuts, ext4: cuts=1000 acknowledged=7 lost=0 torn=0 mixed=0 kept_more=3 seed=42\n"))
	tab.take(output("    x_test.go:3: crash: must lose: cuts=10 expected_losses=9\n"))
	tab.take(output("a crash: of another kind\n"))
	require.Equal(t, "ok   T 0.0s", tab.take(event{Action: "pass", Test: "T"}))
	var b strings.Builder
	require.True(t, tab.print(&b))
	require.Equal(t, `| what             | done      | acknowledged | lost | torn | mixed | more |
|------------------|-----------|--------------|------|------|-------|--|
| power cuts, ext4 | 1000 cuts | 7            | 0    | 0    | 0     | 3 kept more, seed 42 |
| must lose        | 10 cuts   |              |      |      |       | 9 expected losses |
`, b.String())
}

func TestTable_is_not_good_when_anything_is_lost_failed_skipped_or_missing(t *testing.T) {
	for want, events := range map[string][]event{
		"PROBLEM: a: 1 lost":                  {output("crash: a: cuts=1 lost=1 torn=0")},
		"PROBLEM: a: 2 torn":                  {output("crash: a: cuts=1 lost=0 torn=2")},
		"PROBLEM: a: 3 mixed":                 {output("crash: a: cuts=1 mixed=3")},
		"PROBLEM: p T failed":                 {{Action: "fail", Package: "p", Test: "T"}},
		"PROBLEM: p failed":                   {{Action: "fail", Package: "p"}},
		"PROBLEM: p T was skipped":            {{Action: "skip", Package: "p", Test: "T"}},
		`PROBLEM: there is no row "required"`: {},
	} {
		tab := newTable("required")
		if len(events) > 0 {
			tab.take(output("crash: required: cuts=1"))
		}
		for _, e := range events {
			tab.take(e)
		}
		var b strings.Builder
		require.False(t, tab.print(&b), want)
		require.Contains(t, b.String(), want)
		require.Equal(t, 1, strings.Count(b.String(), "PROBLEM"))
	}
}

func TestTable_a_package_without_such_tests_is_no_problem(t *testing.T) {
	tab := newTable()
	tab.take(event{Action: "skip", Package: "p"})
	require.True(t, tab.print(&strings.Builder{}))
}

func TestTable_shows_what_a_test_printed_that_died_with_its_process(t *testing.T) {
	tab := newTable()
	tab.take(output("seed 42\n"))
	tab.take(event{Action: "output", Package: "p", Output: "signal: killed\n"})
	tab.take(event{Action: "output", Package: "another", Test: "T", Output: "not this\n"})

	require.Equal(t, "signal: killed\nseed 42\n", tab.take(event{Action: "fail", Package: "p"}))
}

func TestTable_ends_with_the_verdicts_of_trials_and_those_that_failed_last(t *testing.T) {
	tab := newTable()
	for _, text := range []string{"trial: TestB: FAILED, seed 2\n", "trial: TestB: 3 changes are gone\n", "trial: TestB: again: DURABLE_SEED=2 go test\n", "trial: TestA: passed, seed 1\n"} {
		tab.take(event{Action: "output", Package: "p", Output: text})
	}
	var b strings.Builder
	tab.print(&b)
	require.True(t, strings.HasSuffix(b.String(), "trial: TestA: passed, seed 1\ntrial: TestB: FAILED, seed 2\ntrial: TestB: 3 changes are gone\ntrial: TestB: again: DURABLE_SEED=2 go test\n"), b.String())
}
