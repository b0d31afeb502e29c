package lint

import (
	"go/ast"
	"go/token"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// mostExported is how many top-level names the root package may export. Growth
// goes into struct fields and optional interfaces.
const mostExported = 90

// obvious are methods whose contract is known by their name.
var obvious = []string{"Error", "Unwrap", "Is", "As", "String", "GoString", "Format", "LogValue", "MarshalJSON"}

// A declaration is one exported name.
type declaration struct {
	name       string
	documented bool
	topLevel   bool
}

// exported lists what f exports: its top-level names, the methods of exported
// types and of exported interfaces.
func exported(f *ast.File) []declaration {
	var list []declaration
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			list = append(list, function(d)...)
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				list = append(list, specification(d, spec)...)
			}
		}
	}
	return list
}

func function(d *ast.FuncDecl) []declaration {
	if !d.Name.IsExported() {
		return nil
	}
	if d.Recv == nil {
		return []declaration{{d.Name.Name, d.Doc != nil, true}}
	}
	receiver := typeName(d.Recv.List[0].Type)
	if !token.IsExported(receiver) {
		return nil
	}
	return []declaration{{receiver + "." + d.Name.Name, d.Doc != nil || slices.Contains(obvious, d.Name.Name), false}}
}

// typeName strips pointer and type parameters off a receiver.
func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return typeName(e.X)
	case *ast.IndexExpr:
		return typeName(e.X)
	case *ast.IndexListExpr:
		return typeName(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

func specification(d *ast.GenDecl, spec ast.Spec) []declaration {
	var list []declaration
	switch s := spec.(type) {
	case *ast.ValueSpec:
		for _, name := range s.Names {
			if name.IsExported() {
				list = append(list, declaration{name.Name, d.Doc != nil || s.Doc != nil || s.Comment != nil, true})
			}
		}
	case *ast.TypeSpec:
		if s.Name.IsExported() {
			list = append(list, declaration{s.Name.Name, d.Doc != nil || s.Doc != nil || s.Comment != nil, true})
			list = append(list, interfaceMethods(s)...)
		}
	}
	return list
}

func interfaceMethods(s *ast.TypeSpec) []declaration {
	i, ok := s.Type.(*ast.InterfaceType)
	if !ok {
		return nil
	}
	var list []declaration
	for _, m := range i.Methods.List {
		for _, name := range m.Names {
			list = append(list, declaration{s.Name.Name + "." + name.Name, m.Doc != nil || m.Comment != nil, false})
		}
	}
	return list
}

// public reports whether others may import the package of f.
func public(f file) bool { return !f.test() && !f.under("internal") && f.Name.Name != "main" }

func TestExported_every_exported_name_has_a_doc_comment(t *testing.T) {
	var bare []string
	for _, f := range sources(t) {
		if !public(f) {
			continue
		}
		for _, d := range exported(f.File) {
			if !d.documented {
				bare = append(bare, f.name+": "+d.name)
			}
		}
	}
	assert.Empty(t, bare)
}

func TestExported_every_package_has_a_comment(t *testing.T) {
	commented := map[string]bool{}
	for _, f := range sources(t) {
		if !f.test() {
			commented[f.dir()] = commented[f.dir()] || f.Doc != nil
		}
	}
	for dir, ok := range commented {
		assert.True(t, ok, dir)
	}
}

func TestExported_the_root_package_stays_small(t *testing.T) {
	var names []string
	for _, f := range sources(t) {
		if f.dir() != "." || !public(f) {
			continue
		}
		for _, d := range exported(f.File) {
			if d.topLevel {
				names = append(names, d.name)
			}
		}
	}
	require.NotEmpty(t, names)
	slices.Sort(names)
	assert.LessOrEqual(t, len(names), mostExported, names)
	t.Logf("%d exported names", len(names))
}
