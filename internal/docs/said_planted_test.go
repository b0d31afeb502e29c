package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// planted is code that says something in each of the ways that are found.
const planted = `package planted

var ErrGone = errors.New("durable: state gone")

var errInner = mark(errors.New("nobody is here; call somebody"))

const advice = "mend it, or buy a new one"

type broken string

func (b broken) Error() string { return "it is broken: " + string(b) }

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrGone}, args...)...)
}

func wrong(why string) error { return refusal{why: "it is so: " + why} }

func run(log *slog.Logger, n int) error {
	log.Warn("durable: the store is slow", "n", n)
	log.Info("durable: all is well", "n", n)
	level, msg := slog.LevelInfo, "durable: nothing to tell"
	if n > 1 {
		level, msg = slog.LevelError, "durable: too many of them"
	}
	log.LogAttrs(context.Background(), level, msg)
	add := func(text string) { list = append(list, errors.New("added: "+text)) }
	add("a thing that nobody wants")
	if n > 2 {
		return corrupt("row %d does not read", n)
	}
	if n > 3 {
		return wrong(advice)
	}
	return fmt.Errorf("run %d of %q: %w", n, "x", errors.New("part of the one before"))
}

func hint() string { return "look at the disk" }
`

func plantedTexts(t *testing.T, code string) map[string]said {
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, "planted.go", code, 0)
	require.NoError(t, err)
	return newSource(set, map[string][]*ast.File{"planted": {f}}).texts()
}

func TestEveryWayToSaySomethingIsFound(t *testing.T) {
	require.Equal(t, []string{
		"added: a thing that nobody wants",
		"added: …", // the closure itself
		"it is broken: …",
		"it is so: mend it, or buy a new one",
		"look at the disk",
		"nobody is here; call somebody",
		"run … of x: part of the one before",
		"state gone",
		"state gone: row … does not read",
		"the store is slow",
		"too many of them",
	}, slices.Sorted(maps.Keys(plantedTexts(t, planted))))
}

func TestATextWithoutARowAndARowWithoutATextAreFound(t *testing.T) {
	rows := tableOf(`
## Every error and log line

### Of one kind

| You read | It means | Do |
|---|---|---|
| ` + "`added: …`<br>`it is broken: …`" + ` | a | ` + "`b`" + ` |
| ` + "`… is so: …`" + ` | a | b |

| You read | It means | Do |
|---|---|---|
| ` + "`look at the disk`<br>`nobody is here; call somebody`<br>`run … of …`<br>`state gone…`<br>`the store is slow`<br>`too many of them`" + ` | a | b |

## Else

| ` + "`another table`" + ` | a | b |
`)
	require.Len(t, rows, 9)
	require.Empty(t, compare(plantedTexts(t, planted), rows))

	more := plantedTexts(t, planted+"\nfunc f(l *slog.Logger) { l.Error(\"durable: new\", \"for\", errors.New(\"and an error of its own\")) }")
	require.Equal(t, []string{"not in the table: `and an error of its own` (planted.go:40:57)", "not in the table: `new` (planted.go:40:26)"},
		compare(more, rows))
	require.Equal(t, []string{"the code does not say: `the store is fast`"}, compare(plantedTexts(t, planted), append(rows, "the store is fast")))
	require.Equal(t, []string{"matches too much: `…the…`"}, compare(plantedTexts(t, planted), append(rows, "…the…")))
}
