package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/durablestate/durable"

// apart are folders whose packages a program that uses durable does not have.
var apart = []string{"bench", "examples", "internal/cmd", "internal/e2e", "testdata"}

// parsed returns the files of a package, without tests.
func parsed(t *testing.T, dir string) (files []*ast.File) {
	paths, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
	require.NoError(t, err)
	for _, path := range paths {
		if !strings.HasSuffix(path, "_test.go") {
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			require.NoError(t, err)
			files = append(files, file)
		}
	}
	return files
}

// packages returns the folders that hold code, by their path from the root.
func packages(t *testing.T) (dirs []string) {
	err := filepath.WalkDir(root, func(dir string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(root, dir)
		if rel = filepath.ToSlash(rel); slices.Contains(apart, rel) || d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && rel != "." {
			return fs.SkipDir
		}
		if len(parsed(t, rel)) > 0 {
			dirs = append(dirs, rel)
		}
		return err
	})
	require.NoError(t, err)
	return dirs
}

// declared returns what the packages declare: each as itself, after its package,
// and a method and a field after its type as well.
func declared(t *testing.T) map[string]bool {
	names := map[string]bool{}
	for _, dir := range packages(t) {
		for _, f := range parsed(t, dir) {
			add := func(name, of string) {
				for _, n := range []string{name, of + "." + name} {
					names[n], names[f.Name.Name+"."+n] = true, true
				}
			}
			for _, d := range f.Decls {
				switch d := d.(type) {
				case *ast.FuncDecl:
					add(d.Name.Name, receiver(d))
				case *ast.GenDecl:
					for _, s := range d.Specs {
						addSpec(s, add)
					}
				}
			}
		}
	}
	return names
}

func receiver(f *ast.FuncDecl) (name string) {
	if f.Recv != nil {
		ast.Inspect(f.Recv.List[0].Type, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok && name == "" {
				name = id.Name
			}
			return name == ""
		})
	}
	return name
}

func addSpec(s ast.Spec, add func(name, of string)) {
	switch s := s.(type) {
	case *ast.ValueSpec:
		for _, n := range s.Names {
			add(n.Name, "")
		}
	case *ast.TypeSpec:
		add(s.Name.Name, "")
		var fields *ast.FieldList
		switch t := s.Type.(type) {
		case *ast.StructType:
			fields = t.Fields
		case *ast.InterfaceType:
			fields = t.Methods
		default:
			return
		}
		for _, f := range fields.List {
			for _, n := range f.Names {
				add(n.Name, s.Name.Name)
			}
		}
	}
}

// exists reports that name is declared, or is the path of a file, a folder or a
// package of the repository.
func exists(names map[string]bool, name string) bool {
	for _, in := range []string{"", "internal", "internal/engine"} {
		if _, err := os.Stat(filepath.Join(root, in, name)); err == nil {
			return true
		}
	}
	return names[name] || strings.HasPrefix(name, "make ")
}

// inPicture are the names of code in a picture, and those of rooms.
var (
	inPicture = regexp.MustCompile(`<text class="k [^>]*>([^<]+)<`)
	aRoom     = regexp.MustCompile(`<text class="room"[^>]*>([^<]+)<`)
)

func TestTheMapNamesWhatExists(t *testing.T) {
	names := declared(t)
	require.Greater(t, len(names), 2000)
	page := read(t, root+"/docs/architecture.md")
	for _, m := range quoted.FindAllStringSubmatch(page, -1) {
		require.True(t, exists(names, m[1]), "docs/architecture.md: there is no %q", m[1])
	}
	pictures, err := filepath.Glob(root + "/docs/architecture/*.svg")
	require.NoError(t, err)
	require.Len(t, pictures, 5)
	for _, p := range pictures {
		text, name := read(t, p), filepath.Base(p)
		require.Contains(t, page, "](architecture/"+name+")")
		found := inPicture.FindAllStringSubmatch(text, -1)
		require.NotEmpty(t, found, name)
		for _, m := range found {
			for n := range strings.SplitSeq(m[1], ", ") {
				require.True(t, names[n], "%s: there is no %q", name, n)
			}
		}
		for _, m := range aRoom.FindAllStringSubmatch(text, -1) {
			for word := range strings.FieldsFuncSeq(m[1], func(r rune) bool { return strings.ContainsRune(" ,:", r) }) {
				if strings.ContainsAny(word, "/.") {
					require.True(t, exists(names, word), "%s: there is no room %q", name, word)
				}
			}
		}
	}
}

// ofPackage are names of code that begin with their package.
var ofPackage = regexp.MustCompile("`([a-z]+\\.[A-Za-z]+)`")

func TestTheLocksAreThoseOfTheSource(t *testing.T) {
	names := declared(t)
	_, locks, found := strings.Cut(read(t, root+"/docs/lifecycle.md"), "\n## Locks")
	require.True(t, found)
	all := ofPackage.FindAllStringSubmatch(locks, -1)
	require.Greater(t, len(all), 5)
	for _, m := range all {
		require.True(t, names[m[1]], "docs/lifecycle.md: there is no %q", m[1])
	}
}

// rooms returns the rows of the map: what each package may import, by its path.
func rooms(t *testing.T) map[string][]string {
	_, table, found := strings.Cut(read(t, root+"/docs/architecture.md"), "\n## The map")
	require.True(t, found)
	table, _, _ = strings.Cut(table, "\n## ")
	rows := map[string][]string{}
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) != 5 {
			continue
		}
		var may []string
		for _, m := range quoted.FindAllStringSubmatch(cells[3], -1) {
			may = append(may, m[1])
		}
		for _, m := range quoted.FindAllStringSubmatch(cells[1], -1) {
			rows[m[1]] = may
		}
	}
	return rows
}

func TestTheMapHasEveryRoomAndWhatItImports(t *testing.T) {
	rows := rooms(t)
	for _, dir := range packages(t) {
		files := parsed(t, dir)
		if !strings.HasPrefix(dir, "internal/") || files[0].Name.Name == "main" || testsOnly(dir) {
			continue
		}
		may, found := rows[strings.TrimPrefix(dir, "internal/")]
		require.True(t, found, "docs/architecture.md has no row for %s", dir)
		for _, f := range files {
			for _, i := range f.Imports {
				p, err := strconv.Unquote(i.Path.Value)
				require.NoError(t, err)
				if of, ours := strings.CutPrefix(p, module+"/internal/"); ours {
					require.True(t, slices.Contains(may, of) || slices.Contains(may, path.Base(of)),
						"docs/architecture.md does not say that %s may import %s", dir, of)
				}
			}
		}
	}
}

// testsOnly reports that the package dir is there for tests.
func testsOnly(dir string) bool {
	of := []string{"compat", "docs", "faultproxy", "historycheck", "lint", "powercut", "redistest", "testkit", "trial", "vfs/crashfs"}
	return slices.Contains(of, strings.TrimPrefix(dir, "internal/"))
}
