package compat_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/envelope"
)

const storesDir = "../../testdata/stores"

// fileStores are all file stores ever written, by format. To add one for a new
// format, add its name and run the test with WRITE_MISSING_GOLDEN=1. The old
// ones stay.
var fileStores = []string{"file-1"}

func openFiles(t *testing.T, dir string) adapter {
	a, err := durable.NewFileAdapter(dir, &durable.FileOptions{Keep: keep})
	require.NoError(t, err)
	t.Cleanup(func() { _ = a.Close() })
	return a
}

func TestFileStoresOfEveryFormatStayReadableAndWritable(t *testing.T) {
	for _, name := range fileStores {
		t.Run(name, func(t *testing.T) {
			golden := filepath.Join(storesDir, name)
			if _, err := os.Stat(golden); err != nil && writing() {
				writeFileStore(t, golden)
			}
			dir := t.TempDir()
			copyStore(t, golden, dir)
			readExpectation(t, golden+".json").check(t, func(t *testing.T) adapter { return openFiles(t, dir) })
		})
	}
}

// copyStore copies the files as a restored backup would: private, flat.
func copyStore(t *testing.T, from, to string) {
	files, err := os.ReadDir(from)
	require.NoError(t, err)
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(from, f.Name()))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(to, f.Name()), b, 0o600))
	}
}

func writeFileStore(t *testing.T, golden string) {
	dir := t.TempDir()
	a, err := durable.NewFileAdapter(dir, &durable.FileOptions{Keep: keep})
	require.NoError(t, err)
	s := tell(t, a)
	require.NoError(t, a.Close())
	s.damage("fell-back", func() { flipLastByte(t, dir, "fell-back") })
	s.damage("corrupt", func() { flipLastByte(t, dir, "corrupt") })
	s.want.Components["corrupt"] = component{
		Answer: "corrupt", FenceEpoch: firstEpoch, FenceVersion: 1, Generations: s.want.Components["corrupt"].Generations,
	}
	require.NoError(t, os.MkdirAll(golden, 0o755))
	copyStore(t, dir, golden)
	s.want.write(t, golden+".json")
}

// damage notes that the newest generation does not verify any more.
func (s *story) damage(id string, do func()) {
	do()
	s.change(id, func(c *component) { c.Generations[0].Damaged = true })
}

// flipLastByte damages the newest file that holds id and nothing else.
func flipLastByte(t *testing.T, dir, id string) {
	files, err := filepath.Glob(filepath.Join(dir, "c-*"))
	require.NoError(t, err)
	slices.Sort(files)
	for _, f := range slices.Backward(files) {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		if h, err := envelope.ParseHeader(b); err == nil && h.ID == id && h.Len() == len(b) {
			b[len(b)-1] ^= 1
			require.NoError(t, os.WriteFile(f, b, 0o600))
			return
		}
	}
	t.Fatalf("no file holds only %q", id)
}

// shape is what a program that reads the directory must know: the kinds of files
// and how each begins.
func shape(t *testing.T, dir string) []string {
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	kinds := map[string]bool{}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		require.NoError(t, err)
		prefix, _, _ := strings.Cut(f.Name(), "-")
		begin := string(b[:min(len(b), len("DURABLE-FILES 01"))])
		if envelope.HasMagic(b) {
			begin = fmt.Sprintf("%s, bundle %t", b[:len("DURABLE 01")], kindOf(t, b) == envelope.Index)
		}
		kinds[prefix+": "+begin] = true
	}
	list := make([]string, 0, len(kinds))
	for k := range kinds {
		list = append(list, k)
	}
	slices.Sort(list)
	return list
}

func kindOf(t *testing.T, b []byte) envelope.Kind {
	h, err := envelope.ParseHeader(b)
	require.NoError(t, err)
	return h.Kind
}

func TestTheNewestFileStoreIsWhatTodaysProgramWrites(t *testing.T) {
	dir := t.TempDir()
	a := openFiles(t, dir)
	tell(t, a)
	require.NoError(t, a.Close())
	require.Subset(t, shape(t, filepath.Join(storesDir, fileStores[len(fileStores)-1])), shape(t, dir),
		"the format of the directory has changed: add a store of the new format to fileStores, and keep the old ones")
}
