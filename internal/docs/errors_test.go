package docs_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// noRow are texts that no error and no log at WARN or ERROR shows, and why.
var noRow = map[string]string{
	"filestore: what was moved was deleted meanwhile":         "the move is given up",
	"filestore: the caller has left":                          "the caller has its own error",
	"filestore: look again":                                   "the store looks again",
	"filestore: the lock file or the FORMAT file was removed": "the store takes the lock anew",
	"changed meanwhile":                                       "the store reads again, until it says so in other words",
	"an earlier call has not returned":                        "it was told when that call began to hang",
	"; `off`, in code negative: …":                            "a row of docs/configuration.md",
	"; did you mean …?":                                       "the end of a text about a setting",
	"the value from ${…}":                                     "how a text about a setting names its value",
	"nothing stored, starting fresh":                          "at INFO",
	"restored from a plain value, which cannot be verified":   "at INFO",
}

const (
	tablePage  = "docs/recovery.md"
	tableTitle = "## Every error and log line"
)

func TestEveryErrorAndLogLineIsInTheTable(t *testing.T) {
	found := speaking(t).texts()
	require.Greater(t, len(found), 300)
	for text := range noRow {
		_, isThere := found[text]
		require.True(t, isThere, "noRow: the code does not say any more: %s", text)
		delete(found, text)
	}
	rows := tableOf(read(t, root+"/"+tablePage))
	require.Greater(t, len(rows), 60)
	wrong := compare(found, rows)
	require.Empty(t, wrong, "%s, %q, maps what people see to its meaning and remedy.\n"+
		"A text without a row: add it in backticks to the row that says what it means and what to do, with … for what varies, or write a new row\n"+
		"below what one sees first (a log line, Restore, a save, ...). A row without a text: the code does not say it any more; mend or remove it.\n%s",
		tablePage, tableTitle, strings.Join(wrong, "\n"))
}

// speaking returns the packages whose texts people see when the library is used.
func speaking(t *testing.T) *source {
	set, files := token.NewFileSet(), map[string][]*ast.File{}
	for _, dir := range packages(t) {
		public := slices.Contains([]string{".", "healthhttp", "otel"}, dir)
		if !public && (!strings.HasPrefix(dir, "internal/") || testsOnly(dir)) {
			continue
		}
		paths, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
		require.NoError(t, err)
		for _, p := range paths {
			if !strings.HasSuffix(p, "_test.go") {
				f, err := parser.ParseFile(set, p, nil, 0)
				require.NoError(t, err)
				files[dir] = append(files[dir], f)
			}
		}
	}
	return newSource(set, files)
}

// tableOf returns the texts in the first cells of the tables below the title.
func tableOf(page string) (rows []string) {
	_, table, _ := strings.Cut(page, "\n"+tableTitle+"\n")
	table, _, _ = strings.Cut(table, "\n## ")
	for line := range strings.Lines(table) {
		if first, rest, ok := strings.Cut(strings.TrimPrefix(line, "|"), "|"); ok && strings.Count(rest, "|") == 2 {
			for _, m := range quoted.FindAllStringSubmatch(first, -1) {
				rows = append(rows, m[1])
			}
		}
	}
	return rows
}

// compare says which texts have no row, which rows no text, and which rows are so wide
// that they would hide what is new.
func compare(found map[string]said, rows []string) (wrong []string) {
	covered := map[string]bool{}
	for _, row := range rows {
		matches := pattern(row)
		used, exact := false, false
		for text := range found {
			if matches.MatchString(text) {
				used, covered[text] = true, true
				exact = exact || strings.Trim(text, "… :") == strings.Trim(row, "… :")
			}
		}
		switch words := len(word.FindAllString(row, -1)); {
		case !used:
			wrong = append(wrong, fmt.Sprintf("the code does not say: `%s`", row))
		case words < 2 && !exact:
			wrong = append(wrong, fmt.Sprintf("matches too much: `%s`", row))
		}
	}
	for _, text := range slices.Sorted(maps.Keys(found)) {
		if s := found[text]; s.must && !covered[text] {
			wrong = append(wrong, fmt.Sprintf("not in the table: `%s` (%s)", text, strings.TrimPrefix(s.at, root+"/")))
		}
	}
	return wrong
}

// pattern returns what matches the texts that a row means. What stands first in a row
// for a name need not be there.
func pattern(row string) *regexp.Regexp {
	text := bare(row)
	parts := strings.Split(text, varies)
	for i, p := range parts {
		parts[i] = regexp.QuoteMeta(p)
	}
	if text != row {
		parts = append([]string{""}, parts...)
	}
	return regexp.MustCompile("^(?s)" + strings.Join(parts, ".*") + "$")
}
