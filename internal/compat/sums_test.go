package compat_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The list of checksums only grows: no golden store may be written anew.
func TestNoGoldenStoreIsEverChangedOrForgotten(t *testing.T) {
	list := filepath.Join(storesDir, "SHA256SUMS")
	b, err := os.ReadFile(list)
	require.NoError(t, err)
	known := strings.SplitAfter(string(b), "\n")
	found := checksums(t)
	for _, line := range known {
		require.True(t, line == "" || slices.Contains(found, line), "a golden store was changed or removed: %s", line)
	}
	if writing() {
		require.NoError(t, os.WriteFile(list, []byte(strings.Join(found, "")), 0o644))
		return
	}
	for _, line := range found {
		require.True(t, slices.Contains(known, line), "not listed, run the tests once with WRITE_MISSING_GOLDEN=1: %s", line)
	}
}

// checksums returns a line for every file, as sha256sum writes it.
func checksums(t *testing.T) (lines []string) {
	err := filepath.WalkDir(storesDir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "SHA256SUMS" {
			return err
		}
		b, err := os.ReadFile(path)
		name, _ := filepath.Rel(storesDir, path)
		lines = append(lines, fmt.Sprintf("%x  %s\n", sha256.Sum256(b), filepath.ToSlash(name)))
		return err
	})
	require.NoError(t, err)
	return lines
}
