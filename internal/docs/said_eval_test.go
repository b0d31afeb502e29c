package docs_test

import (
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strconv"
	"strings"
)

// How the texts of a source are told from the rest of it.

// made returns the texts that n itself makes.
func (s *source) made(n ast.Node, in scope) []string {
	switch n := n.(type) {
	case *ast.CallExpr:
		if at := message(n); at >= 0 {
			return s.messages(n.Args[at], in)
		}
		switch id, _ := n.Fun.(*ast.Ident); {
		case isCall(n, "errors", "New"), isCall(n, "fmt", "Errorf"):
			return []string{s.eval(n, in)}
		case id != nil && s.types[in.dir+"."+id.Name] && len(n.Args) == 1:
			return []string{s.eval(n.Args[0], in)}
		case id != nil && id.Name == "append" && calledName(n.Args[0]) == "wrong":
			return []string{s.eval(n.Args[1], in)}
		}
		return s.helped(n, in)
	case *ast.CompositeLit:
		return s.fields(n, in)
	case *ast.AssignStmt:
		if to, ok := n.Lhs[0].(*ast.SelectorExpr); ok && slices.ContainsFunc(textFields, func(f string) bool { return strings.HasSuffix(f, "."+to.Sel.Name) }) {
			return []string{s.eval(n.Rhs[0], in)}
		}
	}
	return nil
}

// message returns which argument of a call is a message of the log at WARN or ERROR, or
// at a level that is not known; -1: none.
func message(call *ast.CallExpr) int {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return -1
	}
	at, known := map[string]int{"Warn": 0, "Error": 0, "WarnContext": 1, "ErrorContext": 1, "Log": 2, "LogAttrs": 2}[sel.Sel.Name]
	if !known || len(call.Args) <= at {
		return -1
	}
	return at
}

func (s *source) messages(e ast.Expr, in scope) (texts []string) {
	if id, ok := e.(*ast.Ident); ok {
		for _, given := range in.locals[id.Name] {
			texts = append(texts, s.eval(given, in))
		}
	}
	return append(texts, s.eval(e, in))
}

// helped returns the texts of a call of a helper.
func (s *source) helped(call *ast.CallExpr, in scope) (texts []string) {
	for _, h := range s.helpers[calledName(call.Fun)] {
		if !h.isMeant(call, in) {
			continue
		}
		h.called = true
		texts = append(texts, parameter.ReplaceAllStringFunc(h.text, func(p string) string {
			i, _ := strconv.Atoi(strings.Trim(p, "\x00"))
			if i >= len(call.Args) {
				return varies
			}
			if text := s.part(call.Args[i], in); strings.ContainsAny(text, " \x00") {
				return text
			}
			return varies // a name, which is one of many
		}))
	}
	return texts
}

// isMeant reports that call, in the folder of in, may be one of h.
func (h *helper) isMeant(call *ast.CallExpr, in scope) bool {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return !h.method && h.dir == in.dir && (h.to == 0 || h.from <= call.Pos() && call.Pos() < h.to)
	case *ast.SelectorExpr:
		if id, ok := f.X.(*ast.Ident); ok && !h.method {
			return path.Base(h.dir) == id.Name && h.to == 0
		}
		return h.method && (h.dir == in.dir || f.Sel.IsExported())
	}
	return false
}

func calledName(fun ast.Expr) string {
	switch f := fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

func isCall(call *ast.CallExpr, pkg, name string) bool {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	return ok && sel.Sel.Name == name && isNamed(sel.X, pkg)
}

// fields returns the texts in a literal that has some.
func (s *source) fields(lit *ast.CompositeLit, in scope) (texts []string) {
	of := ""
	if id, ok := lit.Type.(*ast.Ident); ok {
		of = id.Name
	}
	for i, e := range lit.Elts {
		switch e := e.(type) {
		case *ast.KeyValueExpr:
			if key, ok := e.Key.(*ast.Ident); ok && slices.Contains(textFields, of+"."+key.Name) {
				texts = append(texts, s.eval(e.Value, in))
			}
		default:
			if of == "Problem" && i == len(lit.Elts)-1 {
				texts = append(texts, s.eval(e, in))
			}
		}
	}
	return texts
}

// part returns what e says, which is part of another text from now on.
func (s *source) part(e ast.Expr, in scope) string {
	text := s.eval(e, in)
	if text != varies {
		s.inner[e] = true
	}
	return text
}

// eval returns what e says, as far as the source tells.
func (s *source) eval(e ast.Expr, in scope) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if text, err := strconv.Unquote(e.Value); err == nil && e.Kind == token.STRING {
			return text
		}
	case *ast.ParenExpr:
		return s.eval(e.X, in)
	case *ast.BinaryExpr:
		return s.eval(e.X, in) + s.eval(e.Y, in)
	case *ast.Ident:
		if i := slices.Index(in.params, e.Name); i >= 0 {
			return "\x00" + strconv.Itoa(i) + "\x00"
		}
		if _, local := in.locals[e.Name]; !local {
			return s.valueOf(in.dir, e.Name)
		}
	case *ast.SelectorExpr:
		if id, ok := e.X.(*ast.Ident); ok {
			for dir := range s.files {
				if path.Base(dir) == id.Name {
					return s.valueOf(dir, e.Sel.Name)
				}
			}
		}
	case *ast.CallExpr:
		switch {
		case isCall(e, "errors", "New"):
			return s.part(e.Args[0], in)
		case isCall(e, "fmt", "Errorf"), isCall(e, "fmt", "Sprintf"):
			return s.format(e, in)
		}
		if texts := s.helped(e, in); len(texts) == 1 {
			return texts[0]
		}
	}
	return varies
}

// valueOf returns the text of a constant or a variable of a package.
func (s *source) valueOf(dir, name string) string {
	if value, ok := s.named[dir+"."+name]; ok {
		return s.eval(value, scope{dir: dir})
	}
	return varies
}

// format puts the arguments of a call into its format.
func (s *source) format(call *ast.CallExpr, in scope) string {
	args := call.Args[1:]
	if call.Ellipsis.IsValid() && len(args) == 1 {
		if app, ok := args[0].(*ast.CallExpr); ok && calledName(app.Fun) == "append" {
			if lit, ok := app.Args[0].(*ast.CompositeLit); ok {
				args = lit.Elts
			}
		}
	}
	return verb.ReplaceAllStringFunc(s.eval(call.Args[0], in), func(string) string {
		if len(args) == 0 {
			return varies
		}
		first := args[0]
		args = args[1:]
		return s.part(first, in)
	})
}
