package config

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// Lenient is for a reader that does not need all of the block: a tool on another
// machine, where variables are not set that the program has. It returns data
// without the keys of the block that something is wrong with, and their names, if
// spare agrees to each. Otherwise, and when nothing is wrong, it returns data as it
// is and no names.
func Lenient(data []byte, interval time.Duration, spare func(key string) bool) ([]byte, []string) {
	text, all := data, []string(nil)
	for { // without one key another may be wrong, which needs it
		_, err := ReadBlock(text, interval)
		if err == nil {
			return text, all
		}
		keys := faulty(err)
		if len(keys) == 0 || !slices.ContainsFunc(keys, func(k string) bool { return !slices.Contains(all, k) }) {
			return data, nil
		}
		for _, key := range keys {
			if !spare(key) {
				return data, nil
			}
		}
		if text = without(text, keys); text == nil {
			return data, nil
		}
		all = append(all, keys...)
	}
}

// faulty returns the keys of the block that err, of ReadBlock, is about; none if it
// is about anything else.
func faulty(err error) (keys []string) {
	var e *Error
	if !errors.As(err, &e) {
		return nil
	}
	for _, p := range e.Problems {
		of, key, _ := strings.Cut(p.Key, ".")
		key, _, _ = strings.Cut(key, ".")
		if of != blockName || key == "" {
			return nil
		}
		if !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	return keys
}

// without returns the document with the block, less some of its keys; nil if there
// is none.
func without(data []byte, keys []string) []byte {
	for dec := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var doc yaml.Node
		if dec.Decode(&doc) != nil {
			return nil
		}
		root := resolve(doc.Content[0])
		for i := 0; root.Kind == yaml.MappingNode && i+1 < len(root.Content); i += 2 {
			block := resolve(root.Content[i+1])
			if root.Content[i].Value != blockName || block.Kind != yaml.MappingNode {
				continue
			}
			var rest []*yaml.Node
			for j := 0; j+1 < len(block.Content); j += 2 {
				if !slices.Contains(keys, block.Content[j].Value) {
					rest = append(rest, block.Content[j], block.Content[j+1])
				}
			}
			block.Content = rest
			text, err := yaml.Marshal(&doc)
			if err != nil {
				return nil
			}
			return text
		}
	}
}
