package docs_test

import (
	"go/ast"
	"go/token"
	"regexp"
	"slices"
	"strings"
)

// What the code says to people: the messages of its log at WARN and ERROR, and the texts
// of its errors. They are read from the source as patterns, in which "…" stands for
// what is known only when it runs. A text is
//
//   - the message of a call of Warn, Error, Log or LogAttrs,
//   - what errors.New, fmt.Errorf and conversions to a type of errors are given,
//   - what a helper is given that passes it on into one of these, in the words of the helper,
//   - what a method Error makes, and what a function returns as a string of three words or
//     more: such strings are put into errors,
//   - a field that is one of textFields, and what is added to a list named wrong.
//
// Sentinels and constants stand with their own text. What is made only to be put into
// another text is part of that one.
type source struct {
	set     *token.FileSet
	files   map[string][]*ast.File // by folder
	named   map[string]ast.Expr    // constants and variables of packages by name: "folder.name"
	types   map[string]bool        // those with a method Error: "folder.name"
	helpers map[string][]*helper   // by name
	inner   map[ast.Node]bool      // calls that are part of another text
	found   map[string]said        // texts
}

// said is where a text is, and whether it must have a row of its own: one of fewer than
// three words only names a place, or joins others, unless it goes to the log or is a
// sentinel of the library.
type said struct {
	at   string
	must bool
}

// A helper makes a text of its parameters.
type helper struct {
	scope
	method bool
	text   string // with "\x00n\x00" for the n-th parameter
	called bool
}

const varies = "…"

// deepest is how many helpers a text may pass through.
const deepest = 3

// textFields are the fields that hold texts.
var textFields = []string{"Problem.Text", "refusal.why", "Outage.down", ".advice"}

// scope is where an expression stands.
type scope struct {
	dir      string
	params   []string              // of the function around it
	locals   map[string][]ast.Expr // what its variables are given; nil: not of interest
	from, to token.Pos             // where a closure is known; 0: everywhere
}

func newSource(set *token.FileSet, files map[string][]*ast.File) *source {
	s := &source{set, files, map[string]ast.Expr{}, map[string]bool{}, map[string][]*helper{}, map[ast.Node]bool{}, map[string]said{}}
	for dir, list := range files {
		for _, f := range list {
			for _, d := range f.Decls {
				switch d := d.(type) {
				case *ast.GenDecl:
					s.name(dir, d)
				case *ast.FuncDecl:
					if d.Name.Name == "Error" {
						s.types[dir+"."+receiver(d)] = true
					}
				}
			}
		}
	}
	return s
}

func (s *source) name(dir string, d *ast.GenDecl) {
	for _, spec := range d.Specs {
		if v, ok := spec.(*ast.ValueSpec); ok && len(v.Values) == len(v.Names) {
			for i, n := range v.Names {
				s.named[dir+"."+n.Name] = v.Values[i]
			}
		}
	}
}

// texts returns all texts, each with a place where it is.
func (s *source) texts() map[string]said {
	for range deepest {
		s.eachDecl(func(in scope, d ast.Decl) {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
				s.learn(in, fn.Name.Name, fn.Recv != nil, fn.Body)
				s.closures(in, fn)
			}
		})
	}
	s.eachDecl(func(in scope, d ast.Decl) {
		if fn, ok := d.(*ast.FuncDecl); ok {
			in.locals = localsOf(fn)
			s.returned(fn, in)
		}
		s.collect(d, in)
	})
	return s.found
}

func (s *source) eachDecl(do func(in scope, d ast.Decl)) {
	for dir, list := range s.files {
		for _, f := range list {
			for _, d := range f.Decls {
				in := scope{dir: dir}
				if fn, ok := d.(*ast.FuncDecl); ok {
					in.params = paramsOf(fn.Type)
				}
				do(in, d)
			}
		}
	}
}

// closures learns those of fn that have a name.
func (s *source) closures(in scope, fn *ast.FuncDecl) {
	ast.Inspect(fn, func(n ast.Node) bool {
		if a, ok := n.(*ast.AssignStmt); ok {
			id, named := a.Lhs[0].(*ast.Ident)
			if lit, ok := a.Rhs[0].(*ast.FuncLit); ok && named {
				s.learn(scope{in.dir, paramsOf(lit.Type), nil, fn.Pos(), fn.End()}, id.Name, false, lit.Body)
			}
		}
		return true
	})
}

func paramsOf(t *ast.FuncType) (names []string) {
	for _, f := range t.Params.List {
		for _, n := range f.Names {
			names = append(names, n.Name)
		}
	}
	return names
}

// localsOf returns what the variables of fn are given, at any level but INFO.
func localsOf(fn *ast.FuncDecl) map[string][]ast.Expr {
	given := map[string][]ast.Expr{}
	ast.Inspect(fn, func(n ast.Node) bool {
		a, ok := n.(*ast.AssignStmt)
		if !ok || len(a.Lhs) != len(a.Rhs) {
			return true
		}
		quiet := slices.ContainsFunc(a.Rhs, func(e ast.Expr) bool {
			sel, ok := e.(*ast.SelectorExpr)
			return ok && (sel.Sel.Name == "LevelInfo" || sel.Sel.Name == "LevelDebug")
		})
		for i, l := range a.Lhs {
			if id, ok := l.(*ast.Ident); ok && !quiet {
				given[id.Name] = append(given[id.Name], a.Rhs[i])
			}
		}
		return true
	})
	return given
}

// learn notes the function as a helper if it passes a parameter on into a text.
func (s *source) learn(in scope, name string, method bool, body ast.Node) {
	ast.Inspect(body, func(n ast.Node) bool {
		for _, text := range s.made(n, in) {
			isNew := !slices.ContainsFunc(s.helpers[name], func(h *helper) bool { return h.dir == in.dir && h.text == text })
			if isNew && parameter.MatchString(text) {
				s.helpers[name] = append(s.helpers[name], &helper{scope: in, method: method, text: text})
			}
		}
		return true
	})
}

// collect notes every text below n that is not part of another one.
func (s *source) collect(n ast.Node, in scope) {
	ast.Inspect(n, func(n ast.Node) bool {
		if !s.inner[n] {
			for _, text := range s.made(n, in) {
				if !s.isOfCalls(text, in) {
					s.note(n, text)
				}
			}
		}
		return true
	})
}

// isOfCalls reports that text is that of a helper of which the calls say more.
func (s *source) isOfCalls(text string, in scope) bool {
	for _, list := range s.helpers {
		for _, h := range list {
			if h.text == text && h.dir == in.dir && h.called {
				return true
			}
		}
	}
	return false
}

// returned notes the strings that fn returns, or a method Error makes.
func (s *source) returned(fn *ast.FuncDecl, in scope) {
	if fn.Body == nil || fn.Type.Results == nil {
		return
	}
	least := 3
	if fn.Name.Name == "Error" {
		least = 1
	}
	add := func(e ast.Expr) {
		if text := s.eval(e, in); len(word.FindAllString(text, -1)) >= least {
			s.note(e, text)
		}
	}
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ReturnStmt:
			for i, e := range n.Results {
				if lit, ok := e.(*ast.CompositeLit); ok && isStrings(lit.Type) {
					for _, e := range lit.Elts {
						add(e)
					}
				} else if isString(fn.Type.Results, i) {
					add(e)
				}
			}
		case *ast.AssignStmt:
			if id, ok := n.Lhs[0].(*ast.Ident); ok && len(n.Lhs) == len(n.Rhs) && isResult(fn.Type.Results, id.Name) {
				add(n.Rhs[len(n.Rhs)-1])
			}
		case *ast.CallExpr:
			if least == 1 && isCall(n, "fmt", "Fprintf") {
				add(n.Args[1])
			}
		}
		return true
	})
}

// isResult reports that a result of type string has that name.
func isResult(results *ast.FieldList, name string) bool {
	return slices.ContainsFunc(results.List, func(f *ast.Field) bool {
		return isNamed(f.Type, "string") && slices.ContainsFunc(f.Names, func(n *ast.Ident) bool { return n.Name == name })
	})
}

func isStrings(t ast.Expr) bool {
	a, ok := t.(*ast.ArrayType)
	return ok && isNamed(a.Elt, "string")
}

func isNamed(t ast.Expr, name string) bool {
	id, ok := t.(*ast.Ident)
	return ok && id.Name == name
}

// isString reports that the i-th result is a string.
func isString(results *ast.FieldList, i int) bool {
	for _, f := range results.List {
		n := max(1, len(f.Names))
		if i < n {
			return isNamed(f.Type, "string")
		}
		i -= n
	}
	return false
}

// note takes a text in, as one sees it: an Error begins with "durable: ", once.
func (s *source) note(at ast.Node, text string) {
	call, _ := at.(*ast.CallExpr)
	must := strings.HasPrefix(text, "durable: ") || call != nil && message(call) >= 0
	text = parameter.ReplaceAllString(verb.ReplaceAllString(text, varies), varies)
	text = strings.Join(strings.Fields(strings.ReplaceAll(text, "durable: ", "")), " ")
	text = bare(several.ReplaceAllString(text, varies))
	if words := len(word.FindAllString(text, -1)); words > 0 {
		s.found[text] = said{s.set.Position(at.Pos()).String(), must || words > 2 || s.found[text].must}
	}
}

// bare returns a text without what stands before it, which is the name of a thing.
func bare(text string) string { return strings.TrimLeft(text, varies+": ") }

var (
	parameter = regexp.MustCompile(`\x00\d+\x00`)
	verb      = regexp.MustCompile(`%[-+# 0-9.*]*[a-zA-Z]`)
	several   = regexp.MustCompile(`…(…)+`)
	word      = regexp.MustCompile(`[\pL]{2,}`)
)
