package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// goTest runs the report on a module of its own with the given test files, on a
// machine that lacks some programs.
func goTest(t *testing.T, requireReal bool, files map[string]string, missing ...string) (out string, ok bool) {
	t.Helper()
	dir := t.TempDir()
	files["go.mod"] = "module example.test/m\n\ngo 1.26\n"
	for name, text := range files {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	var b bytes.Buffer
	r := newReport(&b)
	r.missing = missing
	cmd := exec.Command("go", "test", "-json", "-vet=off", "./...")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off")
	if err := run(r, cmd); err != nil {
		r.broken = append(r.broken, err.Error())
	}
	ok = r.finish(requireReal)
	return b.String(), ok
}

func lastLine(out string) string {
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	return lines[len(lines)-1]
}

func TestReport_counts_leaves_and_parents_that_fail_alone(t *testing.T) {
	out, ok := goTest(t, false, map[string]string{"a_test.go": `package a
import "testing"
func TestParent(t *testing.T) {
	t.Run("good", func(t *testing.T) {})
	t.Run("a/b", func(t *testing.T) { t.Error("the reason") })
	t.Run("skipped", func(t *testing.T) { t.Skip("needs a moon") })
}
func TestAlone(t *testing.T) {
	t.Run("good", func(t *testing.T) {})
	t.Error("after the subtests")
}
func ExampleX() {
	// Output:
}
`})
	require.False(t, ok)
	require.Equal(t, "3 passed, 2 failed, 1 skipped", lastLine(out))
	require.Contains(t, out, "FAIL example.test/m TestParent/a/b\n")
	require.Contains(t, out, "the reason")
	require.Contains(t, out, "after the subtests")
	require.Contains(t, out, "SKIP example.test/m TestParent/skipped: needs a moon\n")
}

func TestReport_a_package_that_does_not_build_panics_or_ends_early_is_a_failure(t *testing.T) {
	for name, text := range map[string]string{
		"undefined: nothing": "package a\nimport \"testing\"\nfunc TestA(t *testing.T) { nothing() }\n",
		"oh dear":            "package a\nimport \"testing\"\nfunc TestA(t *testing.T) { panic(\"oh dear\") }\n",
		"os.Exit(0)":         "package a\nimport (\"os\"; \"testing\")\nfunc TestA(t *testing.T) { os.Exit(0) }\n",
		"exit status 3":      "package a\nimport (\"os\"; \"testing\")\nfunc TestMain(m *testing.M) { os.Exit(3) }\n",
	} {
		out, ok := goTest(t, false, map[string]string{"a/a_test.go": text, "b/b_test.go": "package b\nimport \"testing\"\nfunc TestB(t *testing.T) {}\n"})
		require.False(t, ok, out)
		require.Equal(t, "1 passed, 1 failed, 0 skipped", lastLine(out), out)
		require.Contains(t, out, name)
	}
}

func TestReport_running_nothing_is_a_failure(t *testing.T) {
	out, ok := goTest(t, false, map[string]string{"a.go": "package a\n"})
	require.False(t, ok)
	require.Contains(t, out, "no test ran")
	require.Equal(t, "0 passed, 1 failed, 0 skipped", lastLine(out))
}

func TestReport_gives_each_reason_for_skipping_once_with_a_count(t *testing.T) {
	out, ok := goTest(t, false, map[string]string{"a/a_test.go": `package a
import "testing"
func TestOne(t *testing.T) { t.Skip("SKIPPED: needs a moon") }
func TestTwo(t *testing.T) {
	t.Run("sub", func(t *testing.T) { t.Skip("needs a moon") })
	t.Run("passes", func(t *testing.T) {})
}
func TestThree(t *testing.T) { t.Skip("needs a second sun") }
`, "b/b_test.go": `package b
import "testing"
func TestFour(t *testing.T) { t.Skip("needs a moon") }
`})
	require.True(t, ok, out)
	require.Contains(t, out, "SKIP 3 tests: needs a moon\nSKIP example.test/m/a TestThree: needs a second sun\nsuite ")
	require.Equal(t, 1, strings.Count(out, "needs a moon"), out)
	require.Equal(t, "1 passed, 0 failed, 4 skipped", lastLine(out))
}

func TestReport_what_failed_stands_last_before_the_summary(t *testing.T) {
	out, ok := goTest(t, false, map[string]string{"a/a_test.go": `package a
import "testing"
func TestBad(t *testing.T) { t.Error("the reason") }
func TestSkipped(t *testing.T) { t.Skip("needs a moon") }
`, "b/b_test.go": "package b\nimport \"testing\"\nfunc TestB(t *testing.T) { nothing() }\n",
		"c/c_test.go": "package c\nimport \"testing\"\nfunc TestC(t *testing.T) {}\n"})
	require.False(t, ok)
	before, _, found := strings.Cut(out, "\nsuite ")
	require.True(t, found, out)
	_, last, found := strings.Cut(before, "needs a moon\n")
	require.True(t, found, out)
	for _, text := range []string{"FAIL example.test/m/a TestBad\n", "the reason", "FAIL example.test/m/b\n", "undefined: nothing"} {
		require.Contains(t, last, text)
	}
	require.NotContains(t, last, "ok   ")
	require.Equal(t, 1, strings.Count(out, "the reason"), out)
	require.Equal(t, "1 passed, 2 failed, 1 skipped", lastLine(out))
}

func TestReport_names_a_failure_when_it_happens(t *testing.T) {
	var b bytes.Buffer
	r := newReport(&b)
	require.NoError(t, read(r, strings.NewReader(`{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"fail","Package":"p","Test":"TestA"}
`)))
	require.Equal(t, "FAIL p TestA\n", b.String())
}

func TestReport_says_in_one_line_what_to_install(t *testing.T) {
	nowhere := func(string) (string, error) { return "", exec.ErrNotFound }
	require.Equal(t, []string{"redis-server"}, lacking(nowhere))
	require.Empty(t, lacking(func(program string) (string, error) { return "/bin/" + program, nil }))

	test := map[string]string{"a_test.go": "package a\nimport \"testing\"\nfunc TestA(t *testing.T) {}\n"}
	out, ok := goTest(t, false, test, lacking(nowhere)...)
	require.True(t, ok, out)
	require.True(t, strings.HasSuffix(out, "\nredis-server is missing: install the package redis-server (Debian: apt-get install redis-server)\n1 passed, 0 failed, 0 skipped\n"), out)

	out, _ = goTest(t, false, test)
	require.NotContains(t, out, "apt-get")
}

const suiteTests = `package a
import "testing"
func TestConformance_memory(t *testing.T) { t.Run("a", func(t *testing.T) {}) }
func TestConformance_file(t *testing.T) {
	t.Run("a", func(t *testing.T) {})
	t.Run("b", func(t *testing.T) { t.Skip("no hook") })
}
func TestConformance_redis_server(t *testing.T) { t.Skip("redis-server is not installed") }
func TestCrash_one(t *testing.T) {}
func TestPowerCut_one(t *testing.T) {}
func TestPromtool_one(t *testing.T) {}
func TestHandover_one(t *testing.T) {}
`

func TestReport_says_which_suites_ran(t *testing.T) {
	out, ok := goTest(t, false, map[string]string{"a_test.go": suiteTests})
	require.True(t, ok, out)
	require.Contains(t, out, `suite memory        ran: 1 passed, 0 failed, 0 skipped
suite file          ran: 1 passed, 0 failed, 1 skipped
suite miniredis     absent
suite redis-server  SKIPPED: redis-server is not installed
suite crash         ran: 1 passed, 0 failed, 0 skipped
suite power-cut     ran: 1 passed, 0 failed, 0 skipped
suite promtool      ran: 1 passed, 0 failed, 0 skipped
suite handover      ran: 1 passed, 0 failed, 0 skipped
6 passed, 0 failed, 2 skipped
`)
}

func TestReport_a_real_suite_that_did_not_run_is_a_failure_when_required(t *testing.T) {
	out, ok := goTest(t, true, map[string]string{"a_test.go": suiteTests})
	require.False(t, ok)
	require.Contains(t, out, "FAIL suite redis-server must run")
	require.Equal(t, "6 passed, 1 failed, 2 skipped", lastLine(out))

	all := strings.ReplaceAll(suiteTests, `t.Skip("redis-server is not installed")`, "")
	out, ok = goTest(t, true, map[string]string{"a_test.go": all})
	require.True(t, ok, out)

	one := suiteTests + "func TestCrash_two(t *testing.T) { t.Skip(\"no disk\") }\n"
	out, _ = goTest(t, true, map[string]string{"a_test.go": one})
	require.Contains(t, out, "FAIL suite crash must run")
}

func TestReport_prints_what_is_no_event(t *testing.T) {
	var b bytes.Buffer
	r := newReport(&b)
	require.NoError(t, read(r, strings.NewReader("go: downloading x\n[1]\n")))
	require.Equal(t, "go: downloading x\n[1]\n", b.String())
	require.False(t, json.Valid(b.Bytes()))
}
