package docs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const root = "../.."

// skips are all reasons for which a block may go without being executed.
var skips = map[string]string{
	"needs-a-cluster":      "it needs Kubernetes and a registry for images",
	"runs-these-tests":     "it is how these tests are run: they would start themselves",
	"takes-minutes":        "it runs for minutes, and make crash, faults and handover run it",
	"needs-prometheus":     "it needs promtool, which a test of the module otel uses where it is there",
	"changes-the-machine":  "it acts on servers, disks or services that are not the test's",
	"example-of-a-mistake": "it shows what not to write",
	"needs-another-tool":   "it needs a program that is not part of this repository",
}

// A block is one fenced block of a page.
type block struct {
	page       string // from the root
	line       int
	kind, text string
	attrs      map[string]string
}

func (b block) where() string { return fmt.Sprintf("%s:%d", b.page, b.line) }

func pages(t *testing.T) []string {
	found, err := filepath.Glob(root + "/docs/*.md")
	require.NoError(t, err)
	return append([]string{root + "/README.md", root + "/CONTRIBUTING.md", root + "/CHANGELOG.md"}, found...)
}

func read(t *testing.T, path string) string {
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(b)
}

// hidden are comments with declarations for the Go blocks of a page.
var hidden = regexp.MustCompile(`(?s)<!-- go\n(.*?)-->`)

// blocks returns the fenced blocks of a page in their order.
func blocks(t *testing.T, path string) (all []block) {
	var current *block
	name, _ := filepath.Rel(root, path)
	text := read(t, path)
	for _, m := range hidden.FindAllStringSubmatchIndex(text, -1) {
		all = append(all, block{page: name, line: 1 + strings.Count(text[:m[0]], "\n"), kind: "go", text: text[m[2]:m[3]]})
	}
	for i, line := range strings.Split(text, "\n") {
		info, fence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case fence && current == nil:
			current = newBlock(name, i+1, info)
		case fence:
			all = append(all, *current)
			current = nil
		case current != nil:
			current.text += line + "\n"
		}
	}
	require.Nil(t, current, "%s: a fence is not closed", name)
	slices.SortStableFunc(all, func(a, b block) int { return a.line - b.line })
	return all
}

func newBlock(page string, line int, info string) *block {
	f := strings.Fields(info)
	b := &block{page: page, line: line, attrs: map[string]string{}}
	if len(f) > 0 {
		b.kind = f[0]
		for _, attr := range f[1:] {
			key, value, _ := strings.Cut(attr, "=")
			b.attrs[key] = value
		}
	}
	return b
}

// each runs fn for all blocks of a kind, except those that say why not.
func each(t *testing.T, kind string, fn func(t *testing.T, b block)) {
	for _, page := range pages(t) {
		for _, b := range blocks(t, page) {
			if b.kind == kind && b.attrs["skip"] == "" {
				t.Run(b.where(), func(t *testing.T) { fn(t, b) })
			}
		}
	}
}

func TestEveryBlockSaysWhatItIs(t *testing.T) {
	kinds := []string{"go", "sh", "yaml", "python", "json", "text", "console"}
	for _, page := range pages(t) {
		for _, b := range blocks(t, page) {
			require.Contains(t, kinds, b.kind, "%s: the word behind the fence must be one of these; go doc ./internal/docs says what they mean", b.where())
			if reason, ok := b.attrs["skip"]; ok {
				require.Contains(t, skips, reason, "%s: skip=%s is no known reason; add it to skips with a sentence", b.where(), reason)
			}
			if b.kind == "console" && b.attrs["skip"] == "" {
				require.FileExists(t, filepath.Join(root, b.attrs["from"]), "%s: console from=<the script that records it>", b.where())
			}
		}
	}
}
