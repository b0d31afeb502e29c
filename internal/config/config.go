// Package config reads one block of a YAML file strictly: keys nobody asked for
// and values of the wrong kind are errors, all problems are reported together
// with their lines, and text from the environment never becomes YAML or part of
// an error. [ReadBlock] reads the keys of package durable; what they do is decided
// there.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// A Lookup returns the value of an environment variable, and whether it is set.
type Lookup func(name string) (string, bool)

// Error lists everything that is wrong with a file, in the order of its lines.
// It holds no value that came from the environment or belongs to a secret key.
type Error struct{ Problems []Problem }

// A Problem is one thing to correct. Line is 0 when there is no line to name.
type Problem struct {
	Line int
	Key  string // path from the top of the file, may be empty
	Text string
}

func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

func (p Problem) String() string {
	s := p.Text
	if p.Key != "" {
		s = p.Key + ": " + s
	}
	if p.Line > 0 {
		s = "line " + strconv.Itoa(p.Line) + ": " + s
	}
	return s
}

// problems collects what is wrong while reading goes on.
type problems struct{ list []Problem }

func (p *problems) add(line int, key, format string, args ...any) {
	p.list = append(p.list, Problem{line, key, fmt.Sprintf(format, args...)})
}

func (p *problems) err() error {
	if len(p.list) == 0 {
		return nil
	}
	slices.SortStableFunc(p.list, func(a, b Problem) int { return a.Line - b.Line })
	return &Error{p.list}
}

// Decode finds the mapping under the top-level key block in data and calls read
// with it. Other top-level keys belong to others and are ignored. The error is
// an *Error: what stands in the way of finding the block, or everything that
// read refused together with the keys it did not ask for.
func Decode(data []byte, block string, lookup Lookup, read func(*Section)) error {
	p := &problems{}
	line, node := findBlock(p, data, block)
	if node == nil {
		return p.err()
	}
	s := newSection(p, lookup, block, line, node)
	read(s)
	s.finish()
	return p.err()
}

// findBlock returns the only block in data and its line, or nil after reporting
// why there is none. A file may hold several YAML documents.
func findBlock(p *problems, data []byte, block string) (line int, found *yaml.Node) {
	likely := 0 // line of a key that may be meant
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var doc yaml.Node
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			p.add(syntaxError(err))
			return 0, nil
		}
		root := resolve(doc.Content[0])
		if root.Kind != yaml.MappingNode {
			if !isNull(root) {
				p.add(root.Line, "", "the file must be a mapping with the key %s, not %s", block, kindOf(root))
				return 0, nil
			}
			continue
		}
		for i := 0; i+1 < len(root.Content); i += 2 {
			key, value := root.Content[i], resolve(root.Content[i+1])
			switch {
			case key.Value != block:
				if didYouMean([]string{block}, key.Value) != "" {
					likely = key.Line
				}
			case found != nil:
				p.add(key.Line, block, "appears a second time; keep one")
				return 0, nil
			default:
				line, found = key.Line, value
			}
		}
	}
	return line, checkBlock(p, line, found, block, likely)
}

func checkBlock(p *problems, line int, node *yaml.Node, block string, likely int) *yaml.Node {
	switch {
	case node == nil && likely > 0:
		p.add(likely, "", "unknown key; did you mean %s?", block)
	case node == nil:
		p.add(0, "", "there is no %s block; begin a line with %s: and indent its keys below it", block, block)
	case isNull(node):
		p.add(line, block, "is empty; indent its keys below it")
	case node.Kind != yaml.MappingNode:
		p.add(line, block, "must be a mapping of keys to values, not %s", kindOf(node))
	default:
		return node
	}
	return nil
}

var (
	lineOfError = regexp.MustCompile(`line (\d+): `)
	plainReason = regexp.MustCompile(`^[a-z][a-z ,-]*$`)
)

// syntaxError keeps of the parser's message what cannot quote the file.
func syntaxError(err error) (line int, key, format string, reason any) {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if m := lineOfError.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		text = strings.TrimPrefix(text, m[0])
	}
	if !plainReason.MatchString(text) {
		text = "check quotes, indentation and anchors"
	}
	return line, "", "not valid YAML: %s", text
}

// resolve follows an alias. The parser lets no alias point to another one.
func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	default:
		return "a single value"
	}
}
