package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// text returns what to count, and sets s.input to where it came from.
func (s *settings) text() (string, error) {
	if s.input == "" {
		s.input = opticks()
	}
	if s.input == "" {
		return "", errors.New("found no text to count: this Go installation has no src/testdata/Isaac.Newton-Opticks.txt. Name a text with -input FILE")
	}
	data, err := os.ReadFile(s.input)
	if err != nil {
		return "", fmt.Errorf("cannot read the text: %w. Name another with -input FILE", err)
	}
	if len(data) == 0 {
		return "", fmt.Errorf("there is nothing to count in %s. Name another text with -input FILE", s.input)
	}
	return string(data), nil
}

// opticks returns the book that comes with every Go installation, "" where it
// does not.
func opticks() string {
	roots := []string{os.Getenv("GOROOT")}
	if out, err := exec.Command("go", "env", "GOROOT").Output(); err == nil {
		roots = append(roots, strings.TrimSpace(string(out)))
	}
	for _, root := range roots {
		path := filepath.Join(root, "src", "testdata", "Isaac.Newton-Opticks.txt")
		if _, err := os.Stat(path); root != "" && err == nil {
			return path
		}
	}
	return ""
}
