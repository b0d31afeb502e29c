package lint

import (
	"go/parser"
	"go/token"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestExported_the_rules_find_what_is_not_documented(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "x.go", `package x
func A() {}
// B is documented.
func B() {}
type hidden struct{}
func (hidden) Method() {}
type C[T any] struct{}
func (c *C[T]) Method() {}
func (c *C[T]) String() string { return "" }
// D is an interface.
type D interface {
	Bare()
	// Said is documented.
	Said()
}
// Errors.
var (
	E, F = 1, 2
	g = 3
)
const H = 1
`, parser.ParseComments)
	require.NoError(t, err)
	require.Equal(t, []declaration{
		{"A", false, true}, {"B", true, true},
		{"C", false, true}, {"C.Method", false, false}, {"C.String", true, false},
		{"D", true, true}, {"D.Bare", false, false}, {"D.Said", true, false},
		{"E", true, true}, {"F", true, true}, {"H", false, true},
	}, exported(f))
}
