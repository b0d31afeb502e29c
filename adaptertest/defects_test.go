package adaptertest_test

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/adaptertest"
)

// planted names the environment variable that tells the process started by
// TestEveryPlantedDefectIsFound which defect it is to check.
const planted = "ADAPTERTEST_PLANTED_DEFECT"

// A defect is an adapter with one fault and the rule that finds it.
type defect struct {
	name  string
	rule  string // "group/rule"
	store adaptertest.Store
}

func TestEveryPlantedDefectIsFound(t *testing.T) {
	defects := slices.Concat(shelfDefects, memoryDefects, raceDefects)
	require.Greater(t, len(defects), 16)
	for _, d := range defects {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			out, err := runPlanted(d)
			_, sentence, _ := strings.Cut(d.rule, "/")
			require.Error(t, err, "the suite passed an adapter that %s:\n%s", d.name, out)
			require.Contains(t, out, "broken rule: "+sentence+"\n", "found by something else than the rule")
			require.Contains(t, out, "--- FAIL: TestPlantedDefect/"+strings.ReplaceAll(d.rule, " ", "_"))
		})
	}
}

// runPlanted runs the rule that is to find d in a process of its own, because a
// failed subtest cannot be taken back.
func runPlanted(d defect) (string, error) {
	group, sentence, _ := strings.Cut(d.rule, "/")
	path := "^TestPlantedDefect$/^" + group + "$/^" + regexp.QuoteMeta(strings.ReplaceAll(sentence, " ", "_")) + "$"
	cmd := exec.Command(os.Args[0], "-test.run="+path, "-test.v")
	cmd.Env = append(os.Environ(), planted+"="+d.name)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestPlantedDefect(t *testing.T) {
	name := os.Getenv(planted)
	if name == "" {
		t.Skip("run by TestEveryPlantedDefectIsFound")
	}
	for _, d := range slices.Concat(shelfDefects, memoryDefects, raceDefects) {
		if d.name == name {
			adaptertest.Run(t, d.store)
			return
		}
	}
	t.Fatalf("no planted defect %q", name)
}

// shelf and memory make the store of a defect from the type that has it.
func shelf[A durable.StateAdapter](plant func(*Shelf) A) adaptertest.Store {
	return onShelf(func(sh *Shelf) durable.StateAdapter { return plant(sh) })
}

func memory[A durable.StateAdapter](plant func(*durable.MemoryAdapter) A) adaptertest.Store {
	return inMemory(func(a *durable.MemoryAdapter) durable.StateAdapter { return plant(a) })
}
