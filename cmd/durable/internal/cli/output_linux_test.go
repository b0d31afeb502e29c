package cli_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/cmd/durable/internal/cli"
)

// commands are those that say something, for a store with the component app/c in
// two versions.
func commands(t *testing.T, p *place) [][]string {
	file := filepath.Join(t.TempDir(), "archive")
	ok(t, "export", file, "-c", p.config)
	other := filePlace(t)
	var list [][]string
	for _, args := range [][]string{{"ls"}, {"show", "app/c"}, {"show", "app/c", "--raw"}, {"history", "app/c"}, {"diff", "app/c", "1", "2"}, {"verify"}, {"drill"},
		{"doctor"}, {"watch", "-n", "1"}, {"lease", "show"}, {"export", file, "--force"}, {"export", "-"}} {
		list = append(list, append(args, "-c", p.config))
	}
	return append(list, []string{"version"}, []string{"--help"}, []string{"ls", "--help"}, []string{"completion", "bash"},
		[]string{"import", file, "-c", other.config}, []string{"copy", "--from", p.config, "--to", other.config})
}

func TestOutputThatIsLostIsNoSuccess(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("needs /dev/full")
	}
	defer full.Close()
	p := filePlace(t)
	fill(t, p.open(t), 1, 2, "app/c")
	for _, args := range commands(t, p) {
		for _, form := range [][]string{nil, {"--json"}} {
			if len(form) > 0 && strings.Contains(strings.Join(args, " "), "--raw") {
				continue
			}
			args := append(args, form...)
			var errOut bytes.Buffer
			code := cli.Main(ctx, args, strings.NewReader(""), full, &errOut)
			require.Equal(t, 1, code, "%v: %s", args, &errOut)
			require.Contains(t, errOut.String(), "no space left", "%v", args)
		}
	}
	var out bytes.Buffer
	require.Equal(t, 1, cli.Main(ctx, []string{"ls", "-c", p.config}, strings.NewReader(""), &out, full), "what stands beside the results is lost as well")
	require.Contains(t, out.String(), "app/c")
}

func TestAReaderThatHasGoneIsNoNews(t *testing.T) {
	p := filePlace(t)
	fill(t, p.open(t), 1, 2, "app/c")
	for _, args := range commands(t, p) {
		r, w, err := os.Pipe()
		require.NoError(t, err)
		require.NoError(t, r.Close())
		cmd := process(args...)
		var errOut bytes.Buffer
		cmd.Stdout, cmd.Stderr = w, &errOut
		_ = cmd.Run()
		_ = w.Close()
		require.Equal(t, 141, cmd.ProcessState.ExitCode(), "%v: %s", args, &errOut)
		require.NotContains(t, errOut.String(), "pipe", "%v", args)
	}
	cmd := process("watch", "-c", p.config, "--interval", "1ms")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	_, err = out.Read(make([]byte, 10))
	require.NoError(t, err)
	require.NoError(t, out.Close())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		_ = cmd.Process.Kill()
		t.Fatal("watch goes on for nobody")
	}
}

func TestDiffKeepsPathsAndTypesApart(t *testing.T) {
	for _, c := range []struct{ old, new, text string }{
		{`{"a.b":1}`, `{"a":{"b":1}}`, "+ a.b: 1\n- \"a.b\": 1\n"},
		{`{}`, `"{}"`, "~ .: {} -> \"{}\"\n"},
		{`{"x":{}}`, `{"x":"{}"}`, "~ x: {} -> \"{}\"\n"},
		{`{"x":[]}`, `{"x":"[]"}`, "~ x: [] -> \"[]\"\n"},
		{`{"x":[]}`, `{"x":{}}`, "~ x: [] -> {}\n"},
		{`{"x":[1]}`, `{"x":{"0":1}}`, "- x[0]: 1\n+ x.0: 1\n"},
		{`{"x[0]":1}`, `{"x":[1]}`, "+ x[0]: 1\n- \"x[0]\": 1\n"},
		{`{"x":1}`, `{"x":"1"}`, "~ x: 1 -> \"1\"\n"},
		{`{"x":null}`, `{"x":"null"}`, "~ x: null -> \"null\"\n"},
		{`{"x":null}`, `{}`, "+ .: {}\n- x: null\n"},
		{`{"x":true}`, `{"x":"true"}`, "~ x: true -> \"true\"\n"},
		{`{"":1}`, `1`, "~ .: 1 -> 1\n"},
		{`{"x":9007199254740993}`, `{"x":9007199254740992}`, "~ x: 9007199254740993 -> 9007199254740992\n"},
		{`{"x":1,"x":2}`, `{"x":2}`, "~ byte 5: \"13 bytes\" -> \"7 bytes\"\n"},
		{`"\ud800"`, `"\ud801"`, "~ byte 6: \"8 bytes\" -> \"8 bytes\"\n"},
		{"\"\xff\"", "\"\xfe\"", "~ byte 1: \"3 bytes\" -> \"3 bytes\"\n"},
		{`{"a":[9,10,11,12,13,14,15,16,17,18,1]}`, `{"a":[9,10,0,12,13,14,15,16,17,18,2]}`, "~ a[2]: 11 -> 0\n~ a[10]: 1 -> 2\n"},
		{`{"x":"\u202e"}`, `{"x":"\u001b[2J"}`, "~ x: \"\\u202e\" -> \"\\u001b[2J\"\n"},
		{`{"x":1, "y":2}`, `{"y":2,"x":1}`, ""},
	} {
		if c.old == `{"":1}` {
			c.text = "+ .: 1\n- \"\": 1\n"
		}
		p := filePlace(t)
		a := p.open(t)
		save(t, a, "c", 1, 1, c.old)
		save(t, a, "c", 1, 2, c.new)
		require.Equal(t, c.text, ok(t, "diff", "c", "1", "2", "-c", p.config), "%s %s", c.old, c.new)
		want := 0
		if c.text != "" {
			want = 3
		}
		require.Equal(t, want, run(t, "diff", "c", "1", "2", "-c", p.config, "--exit-code").code)
		for line := range strings.Lines(ok(t, "diff", "c", "1", "2", "-c", p.config, "--json")) {
			m := object(t, line)
			require.Contains(t, m, "keys")
			if strings.Contains(c.old, "null") {
				require.Contains(t, m, map[string]string{"added": "new", "removed": "old", "changed": "old"}[m["kind"].(string)])
			}
		}
	}
}

func TestDiffOfSetsTellsBytesFromText(t *testing.T) {
	p := filePlace(t)
	a := p.open(t)
	saveSet(t, a, "app/~set", 1, 1, "x")
	saveSet(t, a, "app/~set", 1, 2, "x", "y")
	require.Equal(t, "+ y.is: \"y\"\n", ok(t, "diff", "app/~set", "1", "2", "-c", p.config))
}

func TestExportWritesIntoAPipeAndNeverReplacesOne(t *testing.T) {
	p := filePlace(t)
	fill(t, p.open(t), 1, 2, "app/c")
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	link := filepath.Join(dir, "link")
	require.NoError(t, os.Symlink(pipe, link))
	for _, name := range []string{pipe, link} {
		read := make(chan []byte, 1)
		go func() {
			b, _ := os.ReadFile(pipe)
			read <- b
		}()
		ok(t, "export", name, "-c", p.config, "--force")
		require.Contains(t, string(<-read), "\nEND {")
		info, err := os.Lstat(pipe)
		require.NoError(t, err)
		require.NotZero(t, info.Mode()&os.ModeNamedPipe)
	}
	ok(t, "export", "/dev/null", "-c", p.config, "--force")
	info, err := os.Lstat("/dev/null")
	require.NoError(t, err)
	require.NotZero(t, info.Mode()&os.ModeCharDevice)

	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, []byte("old"), 0o600))
	toFile := filepath.Join(dir, "to-file")
	require.NoError(t, os.Symlink(file, toFile))
	fails(t, 5, "--force", "export", toFile, "-c", p.config)
	ok(t, "export", toFile, "-c", p.config, "--force")
	target, err := os.Readlink(toFile)
	require.NoError(t, err, "it is still a link")
	require.Equal(t, file, target)
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Contains(t, string(b), "\nEND {")

	nowhere := filepath.Join(dir, "nowhere")
	require.NoError(t, os.Symlink(filepath.Join(dir, "absent"), nowhere))
	fails(t, 1, "link to nothing", "export", nowhere, "-c", p.config, "--force")
	fails(t, 1, "is a directory", "export", dir, "-c", p.config, "--force")
	entries, err := filepath.Glob(filepath.Join(dir, "*partial*"))
	require.NoError(t, err)
	require.Empty(t, entries)
}

func TestADashIsStandardOutputAndInput(t *testing.T) {
	p, to := filePlace(t), filePlace(t)
	a := p.open(t)
	fill(t, a, 1, 3, "app/c", "app/d")
	t.Chdir(t.TempDir())
	var out, errOut bytes.Buffer
	require.Zero(t, cli.Main(ctx, []string{"export", "-", "-c", p.config}, strings.NewReader(""), &out, &errOut))
	require.NoFileExists(t, "-")
	require.True(t, strings.HasPrefix(out.String(), "DURABLE-ARCHIVE 1 "))
	require.Contains(t, errOut.String(), "2 components")
	for name, broken := range map[string]string{
		"truncated": out.String()[:out.Len()/2], "no end": out.String()[:strings.LastIndex(out.String(), "END ")], "nothing": "", "something else": "hello\n",
	} {
		var said bytes.Buffer
		require.NotZero(t, cli.Main(ctx, []string{"import", "-", "-c", to.config}, strings.NewReader(broken), &bytes.Buffer{}, &said), name)
		require.Contains(t, said.String(), "nothing was changed", name)
		require.NoDirExists(t, to.dir, name)
	}
	require.Zero(t, cli.Main(ctx, []string{"import", "-", "-c", to.config}, bytes.NewReader(out.Bytes()), &bytes.Buffer{}, &errOut), "%s", &errOut)
	requireSame(t, a, to.open(t))
	require.NoFileExists(t, "-")

	var report bytes.Buffer
	out.Reset()
	require.Zero(t, cli.Main(ctx, []string{"export", "-", "--json", "-c", p.config}, strings.NewReader(""), &out, &report))
	require.True(t, json.Valid(report.Bytes()), report.String())
	require.True(t, strings.HasPrefix(out.String(), "DURABLE-ARCHIVE 1 "))
}

func TestIdsCannotShiftColumnsOrTurnTheLine(t *testing.T) {
	p := filePlace(t)
	a := p.open(t)
	ids := []string{"app/日本語", "app/👍", "app/e\u0301", "app/\u202etxt.exe", "app/plain"}
	fill(t, a, 1, 1, ids...)
	_, err := a.AcquireLease(ctx, "app", "pod\u202e", time.Hour)
	require.NoError(t, err)
	for _, args := range [][]string{{"ls"}, {"lease", "show"}, {"watch", "-n", "1"}, {"show", ids[3]}, {"doctor"}, {"ls", "--json"}, {"verify", "--json"}, {"show", ids[3], "--json"}} {
		r := run(t, append(args, "-c", p.config)...)
		for _, bad := range []string{"\x1b", "\u202e"} {
			require.NotContains(t, r.out+r.err, bad, "%v", args)
		}
	}
	var seen []string
	for line := range strings.Lines(ok(t, "ls", "--json", "-c", p.config)) {
		seen = append(seen, object(t, line)["id"].(string))
	}
	require.ElementsMatch(t, ids, seen)
}

func TestFlagsThatWouldBeIgnoredAreRefused(t *testing.T) {
	p, to := filePlace(t), filePlace(t)
	fill(t, p.open(t), 1, 1, "app/c")
	file := filepath.Join(t.TempDir(), "archive")
	ok(t, "export", file, "-c", p.config)
	for _, args := range [][]string{
		{"ls", "--directory", p.dir, "--key-prefix", "x:"},
		{"ls", "--adapter", "redis", "--redis-url", "redis://127.0.0.1:1", "--directory", p.dir},
		{"ls", "--adapter", "redis", "--directory", p.dir},
		{"copy", "--from", p.config, "--to", to.config, "--directory", p.dir},
		{"import", file, "-c", to.config, "--system", "other"},
		{"show", "app/c", "-c", p.config, "--raw", "--json"},
	} {
		require.Equal(t, 2, run(t, args...).code, "%v", args)
	}
	require.NoDirExists(t, to.dir)
}

func TestReadingCommandsMakeNoDirectory(t *testing.T) {
	typo := filepath.Join(t.TempDir(), "typo")
	for _, args := range [][]string{{"ls"}, {"show", "x"}, {"history", "x"}, {"diff", "x", "1", "2"}, {"verify"}, {"doctor"}, {"drill"}, {"watch", "-n", "1"}, {"lease", "show"},
		{"export", "-"}, {"rollback", "x", "1", "--yes"}, {"delete", "x", "--yes"}, {"lease", "release", "x", "--yes"}} {
		require.Equal(t, 4, run(t, append(args, "--directory", typo)...).code, "%v", args)
		require.NoDirExists(t, typo, "%v", args)
	}
}
