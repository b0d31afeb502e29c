package lint

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// foreignMethods are what the library calls of code that is not ours.
var foreignMethods = []string{
	"SnapshotState", "RestoreState", "InitState", "MarshalState", "UnmarshalState", "StateSchema", "MigrateState",
	"SaveState", "LoadState", "DeleteState", "AcquireLease", "RenewLease", "ReleaseLease", "LoadLease", "ClaimState",
	"ListSnapshots", "LoadSnapshot", "Unwrap", "OnEvent", "On",
}

// helpers are what foreign code is called through: a function that is given to one of
// them may call it.
var helpers = []string{"Call", "call", "Tell", "lease", "Replace"}

// within are functions that run inside of such a call, or in a goroutine of the program.
var within = map[string]string{
	"component.go":                           "SnapshotState freeze encode decode restore initOuter init Schema",
	"internal/engine/component/component.go": "apply",
	"internal/engine/component/schema.go":    "schema checkSchema migrateTo",
	"bridge.go":                              "AcquireLease RenewLease ReleaseLease LoadLease Save", // ours call ours
	"options.go":                             "engine",
}

// callsForeign returns the functions of f that call foreign code directly.
func callsForeign(f file) (functions []string) {
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		ast.Inspect(fn, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			switch {
			case !ok:
			case slices.Contains(helpers, sel.Sel.Name):
				return false
			case slices.Contains(foreignMethods, sel.Sel.Name):
				functions = append(functions, fn.Name.Name)
			}
			return true
		})
	}
	return functions
}

func TestForeignCodeIsCalledThroughOneHelper(t *testing.T) {
	seen := 0
	for _, f := range sources(t) {
		if f.test() || f.dir() != "." && f.dir() != engine+"/component" && f.dir() != engine+"/report" {
			continue // below them all of the engine works with what these make of it
		}
		for _, fn := range callsForeign(f) {
			seen++
			assert.Contains(t, " "+within[f.name]+" ", " "+fn+" ", "%s: %s calls code that is not ours: use foreign.Call", f.name, fn)
		}
	}
	require.Greater(t, seen, 10)
}

func TestACallOfForeignCodeOutsideTheHelperIsSeen(t *testing.T) {
	src := `package x
func inside() { foreign.Call("x", func() error { return a.SaveState() }) }
func outside() { a.SaveState() }`
	parsed, err := parser.ParseFile(token.NewFileSet(), "x.go", src, 0)
	require.NoError(t, err)
	require.Equal(t, []string{"outside"}, callsForeign(file{"x.go", parsed}))
}
