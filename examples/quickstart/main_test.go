package main_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/redistest"
)

// program is the compiled program: what counts is the process from outside.
var program string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "quickstart-test-")
	if err != nil {
		panic(err)
	}
	program = filepath.Join(dir, "quickstart.exe")
	out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput()
	code := 1
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s%v\n", out, err)
	} else {
		code = m.Run()
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// run starts the program with a TMPDIR of its own, which is returned.
func run(t *testing.T, env []string, args ...string) (out string, tmp string, err error) {
	t.Helper()
	tmp = t.TempDir()
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), append([]string{"REDIS_URL=", "TMPDIR=" + tmp, "TMP=" + tmp}, env...)...)
	b, err := cmd.CombinedOutput()
	t.Logf("%s", b)
	return string(b), tmp, err
}

// text writes a small text of many lines, and says how many words it has.
func text(t *testing.T) (path string, words int) {
	t.Helper()
	var b bytes.Buffer
	for i := range 500 {
		fmt.Fprintf(&b, "line %s says Hello, World\n", strings.Repeat("x", i%7+1))
	}
	path = filepath.Join(t.TempDir(), "small.txt")
	require.NoError(t, os.WriteFile(path, b.Bytes(), 0o600))
	return path, 500 * 5
}

func requireExact(t *testing.T, out string, kills, words int) {
	t.Helper()
	require.Equal(t, kills, strings.Count(out, "killed (SIGKILL)"))
	require.Regexp(t, regexp.MustCompile(`process \d+  restored: version \d+, .+ old, goes on at offset \d+`), out)
	result := regexp.MustCompile(fmt.Sprintf(`(?m)^killed %d times: +(%d words, .*)\nuninterrupted: +(.*)$`, kills, words)).FindStringSubmatch(out)
	require.NotNil(t, result, "no result in the output")
	require.Equal(t, result[1], result[2])
	require.Contains(t, out, "The same: nothing lost, nothing counted twice.")
	require.NotContains(t, out, "\x1b", "no moving bar where there is no terminal")
}

func TestQuickstart_loses_nothing_on_files_and_leaves_none_behind(t *testing.T) {
	t.Parallel()
	path, words := text(t)
	out, tmp, err := run(t, nil, "-input", path, "-kills", "2", "-pace", "1500ms")
	require.NoError(t, err)
	requireExact(t, out, 2, words)
	left, err := os.ReadDir(tmp)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestQuickstart_keeps_the_state_in_a_directory_that_was_named(t *testing.T) {
	t.Parallel()
	path, words := text(t)
	dir := filepath.Join(t.TempDir(), "state")
	for range 2 { // the second run begins anew
		out, _, err := run(t, nil, "-input", path, "-kills", "1", "-pace", "800ms", "-dir", dir)
		require.NoError(t, err)
		requireExact(t, out, 1, words)
		require.Contains(t, out, "first-boot")
		require.Contains(t, out, "The state stays in "+dir)
	}
	require.DirExists(t, dir)
}

func TestQuickstart_says_what_to_do_when_there_is_no_text(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "empty")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	for _, args := range [][]string{{"-input", empty}, {"-input", empty + "-missing"}} {
		out, _, err := run(t, nil, args...)
		require.Error(t, err)
		require.Contains(t, out, "-input FILE")
	}
	out, _, err := run(t, []string{"GOROOT=" + t.TempDir(), "PATH="})
	require.Error(t, err)
	require.Contains(t, out, "-input FILE")
}

func TestQuickstart_says_what_to_do_when_Redis_does_not_answer(t *testing.T) {
	t.Parallel()
	path, _ := text(t)
	out, _, err := run(t, []string{"REDIS_URL=redis://:hunter2@127.0.0.1:1"}, "-input", path)
	require.Error(t, err)
	require.Contains(t, out, "Without REDIS_URL the state goes to files")
	require.NotContains(t, out, "hunter2")
}

func TestQuickstart_says_what_is_wrong_with_a_directory(t *testing.T) {
	t.Parallel()
	path, _ := text(t)
	out, _, err := run(t, nil, "-input", path, "-dir", filepath.Join(path, "below a file"))
	require.Error(t, err)
	require.Contains(t, out, "below a file")
}

func TestQuickstart_refuses_wrong_flags(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-kills", "-1"}, {"-pace", "1ms"}, {"surplus"}} {
		out, _, err := run(t, nil, args...)
		require.Error(t, err)
		require.Contains(t, out, "-help")
	}
}

func TestQuickstart_loses_nothing_on_Redis_and_removes_its_state(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	path, words := text(t)
	out, _, err := run(t, []string{"REDIS_URL=" + server.URL()}, "-input", path, "-kills", "2", "-pace", "1500ms")
	require.NoError(t, err)
	requireExact(t, out, 2, words)
	require.Contains(t, out, "kept in Redis")
	keys, err := server.Client(t).Keys(t.Context(), "autocoder:state:*").Result() // side keys begin with "{"
	require.NoError(t, err)
	require.Empty(t, keys)
}
