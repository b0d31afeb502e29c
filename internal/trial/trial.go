// Package trial is what tests with chance in them share: a seed that repeats one,
// and a verdict at the end of the output, where it is found.
package trial

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// SeedEnv names the environment variable that chooses the seed of all trials of a
// run. It repeats what a trial plans; how fast the machine is remains chance.
const SeedEnv = "DURABLE_SEED"

// A Trial is a test that draws lots. Pass it to package require in the place of
// the test: it remembers what went wrong for its verdict.
type Trial struct {
	*testing.T
	Seed   uint64
	Random *rand.Rand // must not be used concurrently

	parent *Trial // of a part

	mu    sync.Mutex
	wrong []string
	state string // "": it runs
}

// all are the trials of this process, in the order in which they began.
var all struct {
	sync.Mutex
	trials []*Trial
}

// Begin begins a trial, with a seed of its own unless SeedEnv names one, and
// prints the seed: whatever ends the process, it is known.
func Begin(t *testing.T) *Trial {
	t.Helper()
	tr := &Trial{T: t, Seed: rand.Uint64()}
	if text := os.Getenv(SeedEnv); text != "" {
		var err error
		if tr.Seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s must be a number: %v", SeedEnv, err)
		}
	}
	tr.Random = rand.New(rand.NewPCG(tr.Seed, 0))
	t.Logf("%s=%d", SeedEnv, tr.Seed)
	all.Lock()
	all.trials = append(all.trials, tr)
	all.Unlock()
	t.Cleanup(tr.end)
	return tr
}

// Part returns what a subtest t of the trial passes to package require. It has no
// verdict of its own and no random numbers.
func (tr *Trial) Part(t *testing.T) *Trial { return &Trial{T: t, Seed: tr.Seed, parent: tr} }

// Errorf is that of the test, remembered.
func (tr *Trial) Errorf(format string, args ...any) {
	tr.Helper()
	tr.note(fmt.Sprintf(format, args...))
	tr.T.Errorf(format, args...)
}

// Fatalf is that of the test, remembered.
func (tr *Trial) Fatalf(format string, args ...any) {
	tr.Helper()
	tr.note(fmt.Sprintf(format, args...))
	tr.T.Fatalf(format, args...)
}

func (tr *Trial) note(text string) {
	if tr.parent != nil {
		tr.parent.note(text)
		return
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.wrong = append(tr.wrong, text)
}

func (tr *Trial) end() {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	switch {
	case tr.Failed():
		tr.state = "FAILED"
	case tr.Skipped():
		tr.state = "skipped"
	default:
		tr.state = "passed"
	}
}

// Main runs the tests of m and then prints the verdict of every trial. It returns
// the exit code of the process.
func Main(m *testing.M) int {
	code := m.Run()
	Print(os.Stdout)
	return code
}

// Print writes a verdict for each trial, those that failed last. Each line begins
// with "trial: " and the name of the test.
func Print(w io.Writer) {
	all.Lock()
	defer all.Unlock()
	var good, bad []string
	for _, tr := range all.trials {
		if lines := tr.verdict(); len(lines) == 1 {
			good = append(good, lines...)
		} else {
			bad = append(bad, lines...)
		}
	}
	for _, line := range append(good, bad...) {
		fmt.Fprintln(w, line)
	}
}

// told is how many lines of what went wrong a verdict has at most.
const told = 30

// verdict is one line, or when the trial failed what went wrong and how to repeat it.
func (tr *Trial) verdict() []string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	name := "trial: " + tr.Name() + ": "
	switch tr.state {
	case "passed", "skipped":
		return []string{fmt.Sprintf("%s%s, seed %d", name, tr.state, tr.Seed)}
	case "":
		tr.state = "FAILED, did not end"
	}
	lines := []string{fmt.Sprintf("%s%s, seed %d", name, tr.state, tr.Seed)}
	wrong := strings.FieldsFunc(strings.Join(tr.wrong, "\n"), func(r rune) bool { return r == '\n' })
	if len(wrong) == 0 {
		wrong = []string{"what went wrong stands above"}
	}
	for _, line := range wrong[:min(len(wrong), told)] {
		lines = append(lines, name+strings.TrimSpace(line))
	}
	return append(lines, name+"again: "+tr.again())
}

// again is the command that repeats the trial from the root of the repository.
func (tr *Trial) again() string {
	var words []string
	for _, setting := range os.Environ() {
		if strings.HasPrefix(setting, "DURABLE_") && !strings.HasPrefix(setting, SeedEnv+"=") && !strings.ContainsAny(setting, " {'") {
			words = append(words, setting)
		}
	}
	slices.Sort(words)
	name, _, _ := strings.Cut(tr.Name(), "/")
	words = append(words, fmt.Sprintf("%s=%d", SeedEnv, tr.Seed), "go test -count=1 -run '^"+name+"$'", directory())
	return strings.Join(words, " ")
}

// directory is the package that is tested, as seen from the root of the repository.
func directory() string {
	here, err := os.Getwd()
	if err != nil {
		return "."
	}
	for root := here; ; root = filepath.Dir(root) {
		if _, err := os.Stat(filepath.Join(root, "go.work")); err == nil {
			if path, err := filepath.Rel(root, here); err == nil {
				return "./" + filepath.ToSlash(path)
			}
		}
		if root == filepath.Dir(root) {
			return here
		}
	}
}
