package docs_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// imports are the packages that blocks without imports may use.
var imports = []string{
	"context", "errors", "fmt", "log", "log/slog", "net/http", "os", "os/signal", "syscall", "testing", "testing/synctest", "time",
	"github.com/redis/go-redis/v9",
	"github.com/durablestate/durable", "github.com/durablestate/durable/adaptertest", "github.com/durablestate/durable/healthhttp",
}

// A fragment is a block as a Go file. Names that no block declares stand for
// what a reader takes them for.
const (
	declarations = "package page\n%s\n%s"
	statements   = "package page\n%s\nfunc _(ctx context.Context, t *testing.T, cp *durable.Checkpointer, a durable.StateAdapter, cfg *durable.Config) error {\n%s\nreturn nil }\n"
)

func header() string {
	var b strings.Builder
	for _, p := range imports {
		name := path.Base(p)
		if strings.HasPrefix(name, "v9") {
			name = "redis"
		}
		fmt.Fprintf(&b, "import %s %q; ", name, p)
	}
	return b.String()
}

// parse makes a file of a block: as it is, of declarations, or of statements.
func parse(fset *token.FileSet, b block) (*ast.File, error) {
	if strings.HasPrefix(strings.TrimSpace(b.text), "package ") {
		return parser.ParseFile(fset, b.where(), b.text, 0)
	}
	if f, err := parser.ParseFile(fset, b.where(), fmt.Sprintf(declarations, header(), b.text), 0); err == nil {
		return f, nil
	}
	return parser.ParseFile(fset, b.where(), fmt.Sprintf(statements, header(), b.text), 0)
}

func TestGoBlocksCompile(t *testing.T) {
	packages := exports(t)
	for _, page := range pages(t) {
		t.Run(path.Base(page), func(t *testing.T) {
			fset := token.NewFileSet()
			var files []*ast.File
			for _, b := range blocks(t, page) {
				if b.kind != "go" || b.attrs["skip"] != "" {
					continue
				}
				f, err := parse(fset, b)
				require.NoError(t, err)
				f.Name.Name = "page"
				files = append(files, f)
			}
			for _, err := range compile(fset, packages, files) {
				t.Errorf("%v\n(names that readers need not see declared go into a comment: <!-- go ... -->)", err)
			}
		})
	}
}

// compile returns the errors in files. What only a whole program must not have,
// such as a variable that nobody uses, is none.
func compile(fset *token.FileSet, packages map[string]string, files []*ast.File) (errs []error) {
	open := func(path string) (io.ReadCloser, error) {
		if packages[path] == "" {
			return nil, fmt.Errorf("package %s is not among those that blocks may use", path)
		}
		return os.Open(packages[path])
	}
	c := types.Config{Importer: importer.ForCompiler(fset, "gc", open), Error: func(err error) {
		if e, ok := err.(types.Error); !ok || !e.Soft {
			errs = append(errs, err)
		}
	}}
	_, _ = c.Check("page", fset, files, nil)
	return errs
}

// exports returns where the compiler keeps what it knows of each package.
func exports(t *testing.T) map[string]string {
	args := []string{"list", "-deps", "-export", "-f", "{{.ImportPath}}\t{{.Export}}"}
	cmd := exec.Command("go", append(args, imports...)...)
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	found := map[string]string{}
	for line := range strings.Lines(string(out)) {
		p, file, _ := strings.Cut(strings.TrimSpace(line), "\t")
		found[p] = file
	}
	return found
}

func TestTheCompilerFindsWhatIsWrong(t *testing.T) {
	packages := exports(t)
	for text, wrong := range map[string]bool{
		"x := 1":                                 false,
		"err := cp.Close()\nerr := cp.Close()":   false,
		"cp.Closed()":                            true,
		"return durable.New(nil)":                true,
		"type T struct{ durable.Checkpoint }":    true,
		"type T struct{ *durable.Checkpointer }": false,
	} {
		fset := token.NewFileSet()
		f, err := parse(fset, block{page: "page", text: text})
		require.NoError(t, err)
		require.Equal(t, wrong, len(compile(fset, packages, []*ast.File{f})) > 0, text)
	}
	require.True(t, slices.Contains(imports, "context"))
}
