package lint

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// rootFiles are the files of the root beside tests: the seven that the decision
// names, and what users read beside them.
var rootFiles = []string{
	"adapter.go", "memory.go", "file.go", "redis.go", "component.go", "checkpoint.go", "config.go",
	"bridge.go", "errors.go", "options.go", "report.go",
}

// floors are the packages of the engine from the ground up: each may import those of
// lower floors only. What has no floor of its own stands in the wrong place.
var floors = [][]string{
	{"wait", "report"},
	{"backend", "schedule", "flight"},
	{"component", "lease", "spill"},
	{"crashloop", "saver"},
	{"cut"},
	{"recovery"},
	{""},
}

const engine = "internal/engine"

// floor returns the floor of the package dir of the engine, -1 if it has none.
func floor(dir string) int {
	room := strings.TrimPrefix(strings.TrimPrefix(dir, engine), "/")
	return slices.IndexFunc(floors, func(rooms []string) bool { return slices.Contains(rooms, room) })
}

// inEngine returns the package of the engine that path names.
func inEngine(path string) (dir string, ok bool) {
	dir, ok = strings.CutPrefix(path, module+"/")
	return dir, ok && (dir == engine || strings.HasPrefix(dir, engine+"/"))
}

// wrongFloor says why f must not import path of the engine, or nothing.
func wrongFloor(f file, path string) string {
	dir, ok := inEngine(path)
	switch {
	case !ok || f.test() || slices.ContainsFunc(shared, f.under):
		return ""
	case f.dir() == ".":
		return ""
	case f.dir() != engine && !f.under(engine):
		return "the engine is the inside of the root: nobody else knows it"
	case floor(f.dir()) <= floor(dir):
		return "dependencies of the engine point downwards"
	}
	return ""
}

func TestTheEnginePointsDownwards(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range sources(t) {
		if !f.test() && (f.dir() == engine || f.under(engine)) {
			seen[f.dir()] = true
			assert.GreaterOrEqual(t, floor(f.dir()), 0, "%s has no floor", f.name)
		}
		for _, path := range f.imports() {
			assert.Empty(t, wrongFloor(f, path), "%s imports %s", f.name, path)
		}
	}
	require.Len(t, slices.Collect(maps.Keys(seen)), len(slices.Concat(floors...)), "a floor without a package")
}

func TestTheFloorsRefuseWhatTheyShould(t *testing.T) {
	for from, to := range map[string]string{
		"internal/engine/wait/backoff.go":    "saver",
		"internal/engine/saver/save.go":      "cut",
		"internal/engine/flight/crew.go":     "schedule",
		"internal/engine/recovery/load.go":   "",
		"internal/filestore/store.go":        "wait",
		"healthhttp/healthhttp.go":           "report",
		"internal/engine/component/other.go": "saver",
	} {
		path := strings.TrimSuffix(module+"/"+engine+"/"+to, "/")
		assert.NotEmpty(t, wrongFloor(parsedAs(from), path), "%s imports %s", from, path)
	}
	assert.Empty(t, wrongFloor(parsedAs("internal/engine/saver/save.go"), module+"/internal/engine/flight"))
	assert.Empty(t, wrongFloor(parsedAs("checkpoint.go"), module+"/internal/engine"))
}

func TestTheRootHoldsTheBorderAndNothingElse(t *testing.T) {
	var names []string
	for _, f := range sources(t) {
		if f.dir() == "." && !f.test() {
			names = append(names, f.name)
		}
	}
	slices.Sort(names)
	assert.Equal(t, slices.Sorted(slices.Values(rootFiles)), names)
}
