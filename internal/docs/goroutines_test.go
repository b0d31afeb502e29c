package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// starters are the calls that start a goroutine, beside the go statement.
var starters = map[string]bool{"Go": true, "spawn": true, "AfterFunc": true}

// library are the packages that are part of a program that uses durable.
var library = []string{".", "healthhttp", "internal/filestore", "internal/memstore", "internal/redisstore", "internal/store", "internal/vfs", "internal/envelope", "internal/config", "internal/jsonstate", "internal/redact"}

// startsGoroutines returns the functions of a package that start goroutines.
func startsGoroutines(t *testing.T, dir string) (functions []string) {
	paths, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
	require.NoError(t, err)
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		require.NoError(t, err)
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && starts(f) {
				functions = append(functions, f.Name.Name)
			}
		}
	}
	return functions
}

func starts(f *ast.FuncDecl) (yes bool) {
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			yes = true
		case *ast.CallExpr:
			if s, ok := n.Fun.(*ast.SelectorExpr); ok && starters[s.Sel.Name] {
				yes = true
			}
		}
		return true
	})
	return yes
}

func TestEveryGoroutineIsInTheDocumentation(t *testing.T) {
	text := read(t, root+"/docs/lifecycle.md")
	var all []string
	for _, dir := range library {
		for _, f := range startsGoroutines(t, dir) {
			all = append(all, f)
			if f != "spawn" { // is how the others do it
				require.Contains(t, text, "`"+f+"`", "docs/lifecycle.md does not say what ends the goroutine that %s of %s starts", f, dir)
			}
		}
	}
	require.Greater(t, len(all), 8)
	_, table, _ := strings.Cut(text, "\n## Goroutines")
	table, _, _ = strings.Cut(table, "\n## ")
	for _, row := range strings.Split(table, "\n| `")[1:] {
		name, _, _ := strings.Cut(row, "`")
		require.Contains(t, all, name, "it starts no goroutine (any more)")
	}
}
