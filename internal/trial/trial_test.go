package trial_test

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/trial"
)

// inside tells the process started by a test what its trials are to do.
const inside = "DURABLE_TRIAL_INSIDE"

func TestMain(m *testing.M) { os.Exit(trial.Main(m)) }

func TestInside(t *testing.T) {
	if os.Getenv(inside) == "" {
		t.Skip("run by the tests below")
	}
	t.Run("bad", func(t *testing.T) {
		tr := trial.Begin(t)
		require.Equal(tr, 200, 201, "draws %d", tr.Random.IntN(1000))
	})
	t.Run("good", func(t *testing.T) { trial.Begin(t) })
	t.Run("skipped", func(t *testing.T) { trial.Begin(t).Skip() })
}

func run(t *testing.T, seed string) (string, []string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestInside$", "-test.v")
	cmd.Env = append(os.Environ(), inside+"=1", trial.SeedEnv+"="+seed)
	out, err := cmd.CombinedOutput()
	require.Error(t, err)
	var drawn string
	for line := range strings.Lines(string(out)) {
		if _, number, found := strings.Cut(line, "draws "); found {
			drawn = number
		}
	}
	require.NotEmpty(t, drawn, "%s", out)
	return drawn, strings.Split(strings.TrimSpace(string(out)), "\n")
}

func TestTheLastLinesSayWhatWentWrongAndHowToRepeatIt(t *testing.T) {
	_, lines := run(t, "7")
	last := lines[len(lines)-1]
	require.True(t, strings.HasPrefix(last, "trial: TestInside/bad: again: "), last)
	require.Contains(t, last, "DURABLE_SEED=7 go test -count=1 -run '^TestInside$' ./internal/trial")
	text := strings.Join(lines, "\n")
	require.Contains(t, text, "\ntrial: TestInside/good: passed, seed 7\ntrial: TestInside/skipped: skipped, seed 7\ntrial: TestInside/bad: FAILED, seed 7\n")
	require.Regexp(t, `trial: TestInside/bad: expected: 200`, text)
	require.Contains(t, text, "DURABLE_SEED=7\n", "at the beginning, too")
}

func TestASeedRepeatsATrial(t *testing.T) {
	a, _ := run(t, "7")
	b, _ := run(t, "7")
	c, _ := run(t, "8")
	require.Equal(t, a, b)
	require.NotEqual(t, a, c)
}

func TestATrialThatRunsHasNoVerdictToHideBehind(t *testing.T) {
	tr := trial.Begin(t)
	var b bytes.Buffer
	trial.Print(&b)
	require.Contains(t, b.String(), tr.Name()+": FAILED, did not end")
}
