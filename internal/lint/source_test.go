package lint

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	module = "github.com/durablestate/durable"
	root   = "../.." // of the module, from this package
)

// A file is one parsed Go file of the module. Nested modules and testdata are
// not part of it.
type file struct {
	name string // from the root, with slashes
	*ast.File
}

func (f file) dir() string {
	if i := strings.LastIndexByte(f.name, '/'); i >= 0 {
		return f.name[:i]
	}
	return "."
}

func (f file) test() bool { return strings.HasSuffix(f.name, "_test.go") }

// under reports whether f is in dir or below it.
func (f file) under(dir string) bool { return strings.HasPrefix(f.name, dir+"/") }

func (f file) imports() []string {
	var paths []string
	for _, spec := range f.Imports {
		path, _ := strconv.Unquote(spec.Path.Value)
		paths = append(paths, path)
	}
	return paths
}

func sources(t *testing.T) []file {
	t.Helper()
	var files []file
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return skipDir(path, d.Name())
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		name, _ := filepath.Rel(root, path)
		files = append(files, file{filepath.ToSlash(name), parsed})
		return err
	})
	require.NoError(t, err)
	require.NotEmpty(t, files)
	return files
}

func skipDir(path, name string) error {
	if path == root {
		return nil
	}
	_, err := os.Stat(filepath.Join(path, "go.mod"))
	if err == nil || name == "testdata" || strings.HasPrefix(name, ".") {
		return filepath.SkipDir
	}
	return nil
}
