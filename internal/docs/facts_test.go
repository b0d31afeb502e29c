package docs_test

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	link   = regexp.MustCompile(`\]\(([^)#\s]*)(#[^)\s]*)?\)`)
	target = regexp.MustCompile("`make ([a-z]+)")
	fenced = regexp.MustCompile("(?s)```.*?```")
)

func TestEveryLinkLeadsSomewhere(t *testing.T) {
	for _, page := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(fenced.ReplaceAllString(read(t, page), ""), -1) {
			file, anchor := m[1], strings.TrimPrefix(m[2], "#")
			if strings.Contains(file, "://") {
				continue
			}
			path := page
			if file != "" {
				path = filepath.Join(filepath.Dir(page), file)
			}
			_, err := os.Stat(path)
			require.NoError(t, err, "%s: %s", page, m[0])
			if anchor != "" {
				require.Contains(t, anchors(read(t, path)), anchor, "%s: %s", page, m[0])
			}
		}
	}
}

var heading = regexp.MustCompile(`(?m)^#+ (.*)$`)

// anchors returns what the headings of a page are linked by.
func anchors(text string) (found []string) {
	for _, h := range heading.FindAllStringSubmatch(text, -1) {
		a := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case strings.ContainsRune("`,.:;?!()'\"*/", r):
				return -1
			}
			return r
		}, strings.ToLower(h[1]))
		found = append(found, a)
	}
	return found
}

func TestEveryTargetOfMakeThatIsNamedExists(t *testing.T) {
	makefile := read(t, root+"/Makefile")
	for _, page := range pages(t) {
		for _, m := range target.FindAllStringSubmatch(read(t, page), -1) {
			require.Contains(t, makefile, "\n"+m[1]+":", "%s: make %s", page, m[1])
		}
	}
}

func TestTheReadmeCanBeReadInOneSitting(t *testing.T) {
	text := read(t, root+"/README.md")
	words := len(strings.Fields(fenced.ReplaceAllString(text, "")))
	require.GreaterOrEqual(t, words, 600)
	require.LessOrEqual(t, len(strings.Fields(text)), 900, "code included, as wc -w counts")
	before, _, found := strings.Cut(text, "```go")
	require.True(t, found)
	require.Less(t, strings.Count(before, "\n"), 25, "code comes before line 25")
	t.Logf("%d words beside the code", words)
}

func TestEveryPageIsLinkedFromTheReadme(t *testing.T) {
	text := read(t, root+"/README.md")
	for _, page := range pages(t)[1:] {
		name, err := filepath.Rel(root, page)
		require.NoError(t, err)
		require.Contains(t, text, "]("+filepath.ToSlash(name)+")")
	}
}

func TestThePicturesAreWellFormed(t *testing.T) {
	var found []string
	for _, in := range []string{"/docs/*.svg", "/docs/*/*.svg"} {
		paths, err := filepath.Glob(root + in)
		require.NoError(t, err)
		require.NotEmpty(t, paths, in)
		found = append(found, paths...)
	}
	for _, path := range found {
		d := xml.NewDecoder(strings.NewReader(read(t, path)))
		var err error
		for err == nil {
			_, err = d.Token()
		}
		require.True(t, errors.Is(err, io.EOF), "%s: %v", path, err)
	}
}

var quoted = regexp.MustCompile("`([^`]+)`")

func TestEveryPromiseNamesTestsThatExist(t *testing.T) {
	text := read(t, root+"/docs/guarantees.md")
	tests := testSources(t)
	for i := range 15 {
		_, section, found := strings.Cut(text, fmt.Sprintf("\n## P%d ", i+1))
		require.True(t, found, "P%d", i+1)
		section, _, _ = strings.Cut(section, "\n## ")
		_, list, found := strings.Cut(section, "Tests:")
		require.True(t, found, "P%d names no tests", i+1)
		names := quoted.FindAllStringSubmatch(list, -1)
		require.NotEmpty(t, names)
		for _, n := range names {
			isThere := strings.Contains(tests, "\nfunc "+n[1]+"(") || strings.Contains(tests, "{\""+n[1]+"\"")
			require.True(t, isThere, "P%d: there is no test %q", i+1, n[1])
		}
	}
}

// testSources returns the text of all tests and of the conformance suite.
func testSources(t *testing.T) string {
	var all strings.Builder
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		suite := strings.Contains(filepath.ToSlash(path), "/adaptertest/") && strings.HasSuffix(path, ".go")
		if err != nil || d.IsDir() || !suite && !strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := os.ReadFile(path)
		all.Write(append(b, '\n'))
		return err
	})
	require.NoError(t, err)
	return all.String()
}
