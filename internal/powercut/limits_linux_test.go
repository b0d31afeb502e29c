package powercut_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
)

// What a process runs out of must leave the newest generation, and say what it
// was: an exhausted resource is neither damage nor absence.

func saveText(a *durable.FileAdapter, component, text string) error {
	return a.SaveState(ctx, component, &durable.Snapshot{Codec: "binary", Data: []byte(text)})
}

// holds reports with an error what is there in place of text.
func holds(a *durable.FileAdapter, component, text string) error {
	s, err := a.LoadState(ctx, component)
	if err != nil {
		return err
	}
	if string(s.Data) != text {
		return fmt.Errorf("%s holds %.20q (%d bytes) instead of %.20q", component, s.Data, len(s.Data), text)
	}
	return nil
}

func requireHolds(t *testing.T, dir, component, text string) {
	t.Helper()
	a, err := durable.NewFileAdapter(dir, nil)
	require.NoError(t, err)
	defer a.Close()
	require.NoError(t, holds(a, component, text))
	require.NoError(t, saveText(a, component, "writable"))
}

// succeeds runs the child j, which checks by itself.
func succeeds(t *testing.T, j job) {
	t.Helper()
	p := start(t, j)
	for _, line := range p.lines() {
		t.Log(line)
	}
	require.NoError(t, p.cmd.Wait(), "%s", &p.stderr)
}

func TestCrash_no_file_descriptors_left_is_neither_absence_nor_damage(t *testing.T) {
	dir := t.TempDir()
	succeeds(t, job{Do: "starve files", Dir: dir})
	requireHolds(t, dir, "c", "third")
}

// starveFiles uses up all file descriptors (RLIMIT_NOFILE).
func (j job) starveFiles() error {
	a, err := durable.NewFileAdapter(j.Dir, nil)
	if err != nil {
		return err
	}
	if err := errors.Join(saveText(a, "c", "first"), saveText(a, "c", "second")); err != nil {
		return err
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 64, Max: 64}); err != nil {
		return err
	}
	var open []*os.File
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			break
		}
		open = append(open, f)
	}
	_, openErr := durable.NewFileAdapter(j.Dir, nil)
	for what, err := range map[string]error{
		"save": saveText(a, "c", "not this one"), "load": holds(a, "c", "second"), "open": openErr,
	} {
		if !errors.Is(err, syscall.EMFILE) {
			return fmt.Errorf("%s: %v instead of EMFILE", what, err)
		}
	}
	for _, f := range open {
		f.Close()
	}
	return errors.Join(holds(a, "c", "second"), saveText(a, "c", "third"), holds(a, "c", "third"), a.Close())
}

func TestCrash_limit_of_file_size_leaves_the_old_generation(t *testing.T) {
	dir := t.TempDir()
	succeeds(t, job{Do: "limit file size", Dir: dir})
	requireHolds(t, dir, "c", "third")
}

// limitFileSize saves more than a file may hold (RLIMIT_FSIZE).
func (j job) limitFileSize() error {
	a, err := durable.NewFileAdapter(j.Dir, nil)
	if err != nil {
		return err
	}
	if err := errors.Join(saveText(a, "c", "first"), saveText(a, "c", "second")); err != nil {
		return err
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 4096, Max: 4096}); err != nil {
		return err
	}
	if err := saveText(a, "c", string(make([]byte, 1<<16))); !errors.Is(err, syscall.EFBIG) {
		return fmt.Errorf("save: %v instead of EFBIG", err)
	}
	return errors.Join(holds(a, "c", "second"), saveText(a, "c", "third"), holds(a, "c", "third"), a.Close())
}

// A small full disk: what was saved stays, and saving goes on once there is
// room.
func TestPowerCut_full_tmpfs_leaves_the_newest_generation(t *testing.T) {
	needMounts(t)
	dir := t.TempDir()
	require.NoError(t, syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"))
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, 0)) })
	fill(t, dir, func() {})
}

// What is superseded must not fill a disk for ever.
func TestPowerCut_small_disk_is_cleaned_when_it_is_full(t *testing.T) {
	needMounts(t)
	dir := t.TempDir()
	require.NoError(t, syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"))
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, 0)) })
	a, err := durable.NewFileAdapter(filepath.Join(dir, "store"), &durable.FileOptions{Keep: 1})
	require.NoError(t, err)
	for n := range 200 {
		require.NoError(t, saveText(a, "c", string(make([]byte, 20<<10))), "save %d: there is room for 12, and 1 is kept", n)
	}
	require.NoError(t, a.Close())
}

// On a real disk the power is cut while it is full.
func TestPowerCut_while_the_disk_is_full_loses_nothing(t *testing.T) {
	for _, fs := range []fileSystem{ext4, xfs} {
		t.Run(fs.String(), func(t *testing.T) {
			d := newDisk(t, fs)
			fill(t, d.dir, func() {
				d.cut()
				d.reboot()
			})
		})
	}
}

// fill fills the disk of dir while components are saved, then calls cut.
func fill(t *testing.T, dir string, cut func()) {
	store, filler := filepath.Join(dir, "store"), filepath.Join(dir, "filler")
	a, err := durable.NewFileAdapter(store, nil)
	require.NoError(t, err)
	texts := map[string]string{}
	for n := range 8 {
		c := fmt.Sprintf("c%d", n%4)
		texts[c] = fmt.Sprintf("%s number %d", c, n)
		require.NoError(t, saveText(a, c, texts[c]))
	}
	occupy(t, filler)
	large := string(make([]byte, 100<<10))
	for c, text := range texts {
		require.ErrorIs(t, saveText(a, c, large), syscall.ENOSPC)
		require.NoError(t, holds(a, c, text))
	}
	require.NoError(t, a.Close())
	left, err := filepath.Glob(filepath.Join(store, ".t-*"))
	require.NoError(t, err)
	require.Empty(t, left, "what could not be written")

	cut()
	require.NoError(t, os.Remove(filler))
	for c, text := range texts {
		requireHolds(t, store, c, text)
	}
}

// occupy writes path until the disk is full.
func occupy(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	require.NoError(t, err)
	defer f.Close()
	for size := 64 << 10; size > 0; {
		if _, err = f.Write(make([]byte, size)); err != nil {
			require.ErrorIs(t, err, syscall.ENOSPC)
			size /= 2
		}
	}
	_ = f.Sync() // the space may also run out here
}
