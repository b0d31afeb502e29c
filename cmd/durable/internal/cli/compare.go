package cli

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/cmd/durable/internal/survey"
	"github.com/durablestate/durable/cmd/durable/internal/ui"
)

// compare lists the differences of two states in the order of their paths, or
// the first differing byte of states that are no JSON.
func compare(id string, old, new *durable.Snapshot) []change {
	a, errA := leavesOf(id, old)
	b, errB := leavesOf(id, new)
	if errA != nil || errB != nil {
		return compareBytes(old.Data, new.Data)
	}
	all := maps.Clone(a)
	maps.Copy(all, b)
	var list []change
	for _, l := range slices.SortedFunc(maps.Values(all), func(x, y leaf) int { return slices.CompareFunc(x.keys, y.keys, compareKeys) }) {
		at := address(l.keys)
		x, inA := a[at]
		y, inB := b[at]
		c := change{Path: spell(l.keys), Keys: l.keys, Old: x.shown(), New: y.shown()}
		switch {
		case !inA:
			c.Kind = "added"
		case !inB:
			c.Kind = "removed"
		case x.kind != y.kind || x.text != y.text:
			c.Kind = "changed"
		default:
			continue
		}
		list = append(list, c)
	}
	return list
}

func compareBytes(a, b []byte) []change {
	if bytes.Equal(a, b) {
		return nil
	}
	at := 0
	for at < min(len(a), len(b)) && a[at] == b[at] {
		at++
	}
	size := func(b []byte) json.RawMessage { return fmt.Appendf(nil, `"%d bytes"`, len(b)) }
	return []change{{fmt.Sprintf("byte %d", at), []any{}, size(a), size(b), "changed"}}
}

// A leaf is a value of a state without values in it, and the way to it.
type leaf struct {
	keys []any  // string of a member, int of an element
	kind string // values of different kinds differ, whatever their text
	text string // JSON; of "bytes" their sum
}

func (l leaf) shown() json.RawMessage {
	if l.kind == "" {
		return nil
	}
	return json.RawMessage(l.text)
}

// address is a key for a way: no two ways have the same one.
func address(keys []any) string {
	b, _ := json.Marshal(keys) // strings and numbers
	return string(b)
}

var simple = regexp.MustCompile(`^[\pL\pN_-]+$`)

// spell spells a way as people write it. A name that could be taken for something
// else is quoted; the state itself is a dot.
func spell(keys []any) string {
	var b strings.Builder
	for _, key := range keys {
		switch k := key.(type) {
		case int:
			fmt.Fprintf(&b, "[%d]", k)
		case string:
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			if !simple.MatchString(k) {
				k = strconv.Quote(k)
			}
			b.WriteString(k)
		}
	}
	return cmp.Or(b.String(), ".")
}

// compareKeys orders elements by number and members by name.
func compareKeys(a, b any) int {
	x, element := a.(int)
	y, other := b.(int)
	switch {
	case element && other:
		return cmp.Compare(x, y)
	case element != other:
		return cmp.Compare(fmt.Sprintf("%T", a), fmt.Sprintf("%T", b))
	}
	return cmp.Compare(a.(string), b.(string))
}

var errAmbiguous = errors.New("JSON that does not say one thing only")

// leavesOf returns the leaves of a state by the addresses of their ways. Numbers
// stay as they are written.
func leavesOf(id string, snap *durable.Snapshot) (map[string]leaf, error) {
	leaves := map[string]leaf{}
	if survey.IsSet(id) {
		if members, err := survey.Members(snap.Data); err == nil {
			for i := range members {
				member(&members[i], leaves)
			}
			return leaves, nil
		}
	}
	return leaves, read(snap.Data, nil, leaves)
}

// member adds the leaves of one component of a set. What is no JSON is one leaf.
func member(m *survey.Member, leaves map[string]leaf) {
	keys := []any{m.ID}
	own := map[string]leaf{}
	switch {
	case m.Err != nil:
		put(own, keys, "unreadable", `"(cannot be read)"`)
	case m.Deleted:
		put(own, keys, "removed", `"(removed)"`)
	case read(m.Data, keys, own) != nil:
		own = map[string]leaf{}
		sum := sha256.Sum256(m.Data)
		put(own, keys, "bytes", fmt.Sprintf(`"(%s, sha256 %x)"`, ui.Count(len(m.Data), "byte", "bytes"), sum[:8]))
	}
	maps.Copy(leaves, own)
}

func put(leaves map[string]leaf, keys []any, kind, text string) {
	keys = append([]any{}, keys...)
	leaves[address(keys)] = leaf{keys, kind, text}
}

// read adds the leaves of a JSON text. It refuses what a reader may take for
// something else than it is: names that appear twice and text that is no UTF-8.
func read(data []byte, keys []any, leaves map[string]leaf) error {
	if !json.Valid(data) || !utf8.Valid(data) {
		return errAmbiguous
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	return value(d, keys, leaves)
}

func value(d *json.Decoder, keys []any, leaves map[string]leaf) error {
	t, err := d.Token()
	if err != nil {
		return err
	}
	switch v := t.(type) {
	case json.Delim:
		return inside(d, v, keys, leaves)
	case json.Number:
		put(leaves, keys, "number", v.String())
	case string:
		if strings.ContainsRune(v, utf8.RuneError) { // perhaps half a surrogate pair
			return errAmbiguous
		}
		text, err := json.Marshal(v)
		if err != nil {
			return err
		}
		put(leaves, keys, "string", string(text))
	case bool:
		put(leaves, keys, "bool", strconv.FormatBool(v))
	default:
		put(leaves, keys, "null", "null")
	}
	return nil
}

// inside reads an object or an array to its end. An empty one is a leaf.
func inside(d *json.Decoder, open json.Delim, keys []any, leaves map[string]leaf) error {
	seen := map[string]bool{}
	n := 0
	for ; d.More(); n++ {
		var key any = n
		if open == '{' {
			t, err := d.Token()
			if err != nil {
				return err
			}
			name, _ := t.(string)
			if seen[name] || strings.ContainsRune(name, utf8.RuneError) {
				return errAmbiguous
			}
			seen[name], key = true, name
		}
		if err := value(d, append(keys, key), leaves); err != nil {
			return err
		}
	}
	if n == 0 {
		kind := map[json.Delim]string{'{': "object", '[': "array"}[open]
		put(leaves, keys, kind, map[string]string{"object": "{}", "array": "[]"}[kind])
	}
	_, err := d.Token()
	return err
}
