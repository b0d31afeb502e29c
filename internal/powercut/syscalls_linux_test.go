package powercut_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The order of the system calls of a save, seen from outside the process: the
// acknowledgement is written only after the sync of the directory has returned.
func TestOrder_of_system_calls_of_a_save(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	calls := traced(t, dir)
	acks := acknowledgements(calls)
	require.Len(t, acks, 2)

	save := calls[acks[0]+1 : acks[1]+1]
	next := inOrder(t, save, []step{
		{"openat", `"\.t-\w+", .*O_WRONLY.*O_CREAT.*O_EXCL`},
		{"write", `/\.t-\w+>`},
		{"fsync", `/\.t-\w+>`},
		{"close", `/\.t-\w+>`},
		{"renameat2", `"\.t-\w+", .*"c-[0-9a-f]{16}", RENAME_NOREPLACE`},
		{"fsync", regexp.QuoteMeta("<" + dir + ">")},
		{"write", `acknowledged 2`},
	})
	require.Equal(t, len(save), next, "the acknowledgement comes last")

	first := calls[:acks[0]+1]
	inOrder(t, first, []step{ // what the directory is must be durable before its first commit is there
		{"fsync", regexp.QuoteMeta("<" + filepath.Dir(dir) + ">")},
		{"fsync", `/\.t-\w+>`},
		{"renameat2", `"\.t-\w+", .*"FORMAT", RENAME_NOREPLACE`},
		{"fsync", regexp.QuoteMeta("<" + dir + ">")},
		{"fsync", `/\.t-\w+>`},
		{"renameat2", `"c-[0-9a-f]{16}", RENAME_NOREPLACE`},
		{"fsync", regexp.QuoteMeta("<" + dir + ">")},
		{"write", `acknowledged 1`},
	})
	for _, c := range calls {
		if c.name == "fsync" || c.name == "write" || strings.HasPrefix(c.name, "rename") {
			t.Log(strings.ReplaceAll(c.text, filepath.Dir(dir), ""))
		}
	}
}

// The check must be able to fail.
func TestOrder_of_system_calls_is_found_out_when_wrong(t *testing.T) {
	trace := `1 fsync(3</s/.t-A>) = 0
1 renameat2(4</s>, ".t-A", 4</s>, "c-1", RENAME_NOREPLACE) = 0
1 fsync(4</s> <unfinished ...>
2 write(1<pipe:[1]>, "acknowledged 1\n", 15) = 15
1 <... fsync resumed>) = 0
`
	calls := parseTrace(trace)
	steps := []step{{"fsync", "A"}, {"renameat2", "c-1"}, {"fsync", "/s>"}}
	_, missing := match(calls, steps)
	require.Empty(t, missing)
	_, missing = match(calls, append(steps, step{"write", "acknowledged"}))
	require.Equal(t, "write", missing.name, "it began before the sync had returned")
	_, missing = match(parseTrace(strings.Replace(trace, ") = 0", ") = -1 EIO", 1)), steps)
	require.Equal(t, "fsync", missing.name, "it failed")
}

// traced runs the program that saves into dir under strace.
func traced(t *testing.T, dir string) []call {
	strace := needTool(t, "strace", "strace")
	program := filepath.Join(t.TempDir(), "saveonce")
	out, err := exec.Command("go", "build", "-o", program, "./testdata/saveonce").CombinedOutput()
	require.NoError(t, err, "%s", out)
	file := filepath.Join(t.TempDir(), "trace")
	cmd := exec.Command(strace, "-f", "-y", "-s", "64", "-o", file,
		"-e", "trace=open,openat,openat2,creat,write,pwrite64,writev,fsync,fdatasync,sync_file_range,close,rename,renameat,renameat2,link,linkat,unlink,unlinkat",
		program, dir)
	if out, err = cmd.CombinedOutput(); err != nil && strings.Contains(string(out), "ptrace") {
		lacks(t, "the right to trace: %s", strings.TrimSpace(string(out)))
	}
	require.NoError(t, err, "%s", out)
	trace, err := os.ReadFile(file)
	require.NoError(t, err)
	return parseTrace(string(trace))
}

// A call is one system call. Its line in the trace counts from where it ended.
type call struct {
	name       string
	text       string // the whole of it, with its result
	begin, end int    // lines of the trace
}

var callName = regexp.MustCompile(`^(\d+) +(?:<\.\.\. )?(\w+)`)

// parseTrace returns the calls in the order in which they began. strace tells of
// one that took its time in two lines.
func parseTrace(trace string) (calls []call) {
	open := map[string]int{} // by process and name
	for n, line := range strings.Split(trace, "\n") {
		m := callName.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		before, unfinished := strings.CutSuffix(line, " <unfinished ...>")
		if i, ok := open[m[1]+m[2]]; ok && strings.Contains(line, " resumed>") {
			_, rest, _ := strings.Cut(line, " resumed>")
			calls[i].text += rest
			calls[i].end = n
			delete(open, m[1]+m[2])
			continue
		}
		if unfinished {
			open[m[1]+m[2]] = len(calls)
		}
		calls = append(calls, call{m[2], before, n, n})
	}
	return calls
}

func acknowledgements(calls []call) (at []int) {
	for i, c := range calls {
		if c.name == "write" && strings.Contains(c.text, "acknowledged") {
			at = append(at, i)
		}
	}
	return at
}

// A step is a call that must be made, with a pattern of its arguments.
type step struct{ name, args string }

func inOrder(t *testing.T, calls []call, steps []step) (next int) {
	t.Helper()
	next, missing := match(calls, steps)
	if missing != (step{}) {
		var text []string
		for _, c := range calls {
			text = append(text, c.text)
		}
		require.Fail(t, "a step is missing or out of order", "%s %s in\n%s", missing.name, missing.args, strings.Join(text, "\n"))
	}
	return next
}

// match looks for steps, each of which must have succeeded before the next one
// begins. It returns the index after the last one, or the first that is missing.
func match(calls []call, steps []step) (next int, missing step) {
	end := -1
	for _, s := range steps {
		args := regexp.MustCompile(s.args)
		i := slices.IndexFunc(calls[next:], func(c call) bool {
			return c.name == s.name && c.begin > end && args.MatchString(c.text) && !strings.Contains(c.text, "= -1 ")
		})
		if i < 0 {
			return next, s
		}
		next += i + 1
		end = calls[next-1].end
	}
	return next, step{}
}
