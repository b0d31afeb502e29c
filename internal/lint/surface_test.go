package lint

import (
	"bytes"
	"go/ast"
	"go/format"
	"go/token"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// surface lists every exported name of the root with its signature, a line each:
// functions, methods, fields, methods of interfaces, constants and variables.
func surface(t *testing.T) []string {
	var lines []string
	for _, f := range sources(t) {
		if f.dir() != "." || !public(f) {
			continue
		}
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && (d.Recv == nil || token.IsExported(typeName(d.Recv.List[0].Type))) {
					lines = append(lines, text(t, &ast.FuncDecl{Recv: d.Recv, Name: d.Name, Type: d.Type}))
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					lines = append(lines, specSurface(t, d.Tok, spec)...)
				}
			}
		}
	}
	slices.Sort(lines)
	return lines
}

func specSurface(t *testing.T, tok token.Token, spec ast.Spec) (lines []string) {
	switch s := spec.(type) {
	case *ast.ValueSpec:
		for i, name := range s.Names {
			if name.IsExported() {
				line := tok.String() + " " + name.Name
				if tok == token.CONST && i < len(s.Values) {
					line += " = " + text(t, s.Values[i])
				}
				lines = append(lines, line)
			}
		}
	case *ast.TypeSpec:
		if !s.Name.IsExported() {
			return nil
		}
		var members *ast.FieldList
		kind := ""
		switch x := s.Type.(type) {
		case *ast.StructType:
			members, kind = x.Fields, "struct"
		case *ast.InterfaceType:
			members, kind = x.Methods, "interface"
		default:
			kind = text(t, x)
		}
		head := "type " + s.Name.Name
		lines = append(lines, head+" "+kind)
		if members == nil {
			return lines
		}
		for _, m := range members.List {
			for _, name := range m.Names {
				if name.IsExported() {
					lines = append(lines, head+": "+name.Name+" "+text(t, m.Type))
				}
			}
			if len(m.Names) == 0 && token.IsExported(typeName(m.Type)) {
				lines = append(lines, head+": embeds "+text(t, m.Type))
			}
		}
	}
	return lines
}

func text(t *testing.T, node any) string {
	var b bytes.Buffer
	require.NoError(t, format.Node(&b, token.NewFileSet(), node))
	return strings.Join(strings.Fields(b.String()), " ")
}

// Programs compile against these names. A change of this file is a change of the
// contract: UPDATE_SURFACE=1 writes it anew, and CHANGELOG.md tells users.
func TestTheSurfaceOfTheRootStaysAsItIs(t *testing.T) {
	const golden = "testdata/surface.golden"
	now := strings.Join(surface(t), "\n") + "\n"
	if os.Getenv("UPDATE_SURFACE") != "" {
		require.NoError(t, os.WriteFile(golden, []byte(now), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), now)
}
