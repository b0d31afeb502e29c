package docs_test

import (
	"go/ast"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// starters are the calls that start a goroutine, beside the go statement.
var starters = map[string]bool{"Go": true, "AfterFunc": true, "beside": true}

// helpers are how the functions in the documentation do it.
var helpers = map[string]bool{"wait.Go": true, "wait.Each": true, "engine.beside": true}

// library are the packages that are part of a program that uses durable; of the
// engine all.
var library = []string{
	".", "healthhttp", "internal/adapter", "internal/barrier", "internal/config", "internal/envelope", "internal/filestore", "internal/foreign",
	"internal/jsonstate", "internal/memstore", "internal/redact", "internal/redisstore", "internal/store", "internal/vfs",
}

// libraryDirs returns the folders of library, and those of the engine.
func libraryDirs(t *testing.T) []string {
	dirs := append([]string{}, library...)
	err := filepath.WalkDir(filepath.Join(root, "internal/engine"), func(dir string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dir, err = filepath.Rel(root, dir)
			dirs = append(dirs, filepath.ToSlash(dir))
		}
		return err
	})
	require.NoError(t, err)
	return dirs
}

// startsGoroutines returns the functions of a package that start goroutines, as
// package.function.
func startsGoroutines(t *testing.T, dir string) (functions []string) {
	for _, file := range parsed(t, dir) {
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && starts(f) {
				functions = append(functions, file.Name.Name+"."+f.Name.Name)
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
			if s, ok := n.Fun.(*ast.SelectorExpr); ok {
				in, _ := s.X.(*ast.Ident)
				yes = yes || starters[s.Sel.Name] || in != nil && in.Name+"."+s.Sel.Name == "wait.Each"
			}
		}
		return true
	})
	return yes
}

func TestEveryGoroutineIsInTheDocumentation(t *testing.T) {
	_, table, _ := strings.Cut(read(t, root+"/docs/lifecycle.md"), "\n## Goroutines")
	table, _, _ = strings.Cut(table, "\n## ")
	told := map[string]bool{}
	for line := range strings.Lines(table) {
		if cells := strings.Split(line, "|"); len(cells) > 2 {
			for _, name := range quoted.FindAllStringSubmatch(cells[1], -1) {
				told[name[1]] = true
			}
		}
	}
	found := map[string]bool{}
	for _, dir := range libraryDirs(t) {
		for _, f := range startsGoroutines(t, dir) {
			found[f] = true
			require.True(t, told[f] || helpers[f], "docs/lifecycle.md does not say what ends the goroutine that %s of %s starts", f, path.Clean(dir))
		}
	}
	require.Greater(t, len(found), 15)
	for name := range told {
		require.True(t, found[name], "docs/lifecycle.md: %s starts no goroutine (any more)", name)
	}
	for name := range helpers {
		require.True(t, found[name], "%s starts no goroutine (any more)", name)
	}
}
