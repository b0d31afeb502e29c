package cli_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/cmd/durable/internal/archive"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/testkit"
)

func TestFullDiskInTheMiddleOfAnExport(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("needs the right to mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, 0) })
	p := filePlace(t)
	a := p.open(t)
	for i := range 10 {
		save(t, a, fmt.Sprintf("app/c%d", i), 1, 1, strings.Repeat("x", 50_000))
	}
	before := p.picture(t)
	old := filepath.Join(dir, "backup")
	require.NoError(t, os.WriteFile(old, []byte("the old one"), 0o600))
	fails(t, 1, "no space left", "export", old, "-c", p.config, "--force")
	fails(t, 1, "no space left", "export", filepath.Join(dir, "new"), "-c", p.config)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1, "nothing is left behind")
	b, err := os.ReadFile(old)
	require.NoError(t, err)
	require.Equal(t, "the old one", string(b))
	require.Equal(t, before, p.picture(t))
}

func TestFullDiskInTheMiddleOfAnImportIsCompletedLater(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("needs the right to mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, 0) })
	from := filePlace(t)
	a := from.open(t)
	for i := range 10 {
		save(t, a, fmt.Sprintf("app/c%d", i), 1, 1, strings.Repeat("x", 50_000))
	}
	to := &place{dir: filepath.Join(dir, "store")}
	to.config = yaml(t, "adapter: file\n  directory: "+to.dir)
	fails(t, 1, "the same command again", "copy", "--from", from.config, "--to", to.config)
	ok(t, "verify", "-c", to.config) // complete or absent, each
	require.NoError(t, syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=8m"))
	ok(t, "copy", "--from", from.config, "--to", to.config)
	requireSame(t, a, to.open(t))
}

func TestMissingRightsOnFiles(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to run the program as another user")
	}
	p := filePlace(t)
	fill(t, p.open(t), 1, 2, "app/c")
	program := everybodys(t)
	before := p.picture(t)
	file := filepath.Join(filepath.Dir(program), "archive")
	ok(t, "export", file, "-c", p.config)
	require.NoError(t, os.Chmod(file, 0o644))
	for _, args := range [][]string{{"ls"}, {"verify"}, {"delete", "app/c", "--yes"}, {"rollback", "app/c", "1", "--yes"}, {"import", file}} {
		cmd := exec.Command(program, append(args, "--directory", p.dir)...)
		cmd.Env = append(os.Environ(), asProgram)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		cmd.Dir = "/"
		out, _ := cmd.CombinedOutput()
		require.Equal(t, 1, cmd.ProcessState.ExitCode(), string(out))
		require.Contains(t, string(out), "permission denied")
	}
	require.Equal(t, before, p.picture(t))
}

func TestAnExportWhereNobodyMayWriteLeavesWhatIsThere(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to run the program as another user")
	}
	from := filePlace(t)
	fill(t, from.open(t), 1, 2, "app/c")
	require.NoError(t, os.Chown(from.dir, 65534, 65534))
	entries, err := os.ReadDir(from.dir)
	require.NoError(t, err)
	for _, e := range entries {
		require.NoError(t, os.Chown(filepath.Join(from.dir, e.Name()), 65534, 65534))
	}
	program := everybodys(t)
	for dir := filepath.Dir(from.dir); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		require.NoError(t, os.Chmod(dir, 0o755))
	}
	old := filepath.Join(filepath.Dir(program), "backup")
	require.NoError(t, os.WriteFile(old, []byte("the old one"), 0o644))
	cmd := exec.Command(program, "export", old, "--force", "--directory", from.dir)
	cmd.Env = append(os.Environ(), asProgram)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	cmd.Dir = "/"
	out, _ := cmd.CombinedOutput()
	require.Equal(t, 1, cmd.ProcessState.ExitCode(), string(out))
	require.Contains(t, string(out), "permission denied")
	b, err := os.ReadFile(old)
	require.NoError(t, err)
	require.Equal(t, "the old one", string(b))
}

// everybodys returns a copy of the program that every user may run.
func everybodys(t *testing.T) string {
	b, err := os.ReadFile(os.Args[0])
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "program")
	require.NoError(t, os.WriteFile(path, b, 0o755))
	for dir := filepath.Dir(path); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		require.NoError(t, os.Chmod(dir, 0o755))
	}
	return path
}

// watched runs cmd and returns what it printed and its peak memory in KiB. That of
// its resource usage is no less than what this process had when it was started.
func watched(cmd *exec.Cmd) (out string, peak int, err error) {
	var printed strings.Builder
	cmd.Stdout = &printed
	if err := cmd.Start(); err != nil {
		return "", 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid)); err == nil {
			_, rest, _ := strings.Cut(string(b), "VmHWM:")
			kib := 0
			_, _ = fmt.Sscan(rest, &kib)
			peak = max(peak, kib)
		}
		select {
		case err := <-ended:
			return printed.String(), peak, err
		case <-time.After(2 * time.Millisecond):
		}
	}
}

func TestVerifyAndExportOfManyComponentsInLittleMemory(t *testing.T) {
	n := 300
	if os.Getenv("DURABLE_LARGE") == "1" {
		n = 100_000
	}
	everywhere(t, func(t *testing.T, p *place) {
		a := p.open(t)
		fillMany(t, a, n, 2)
		require.NoError(t, a.Close())
		file := filepath.Join(t.TempDir(), "backup")
		for _, args := range [][]string{{"ls"}, {"verify"}, {"export", file}, {"drill"}} {
			cmd := process(append(args, "-c", p.config)...)
			var said strings.Builder
			cmd.Stderr = &said
			start := time.Now()
			out, peak, err := watched(cmd)
			require.NoError(t, err, said.String())
			require.Less(t, peak, 200<<10, "KiB")
			lines := strings.Split(strings.TrimSpace(out), "\n")
			t.Logf("%s: %d components x 2 generations in %v, peak memory %d MiB; progress lines: %d; %s", args[0], n, time.Since(start).Round(time.Millisecond),
				peak>>10, strings.Count(said.String(), "["), lines[len(lines)-1])
		}
	})
}

// Large states are in memory one at a time, whatever a component has of them.
func TestAnImportOfLargeComponentsTakesLittleMemory(t *testing.T) {
	if testkit.RaceDetector {
		t.Skip("SKIPPED: the race detector takes memory of its own")
	}
	const components, generations, size = 6, 4, 16 << 20
	file := filepath.Join(t.TempDir(), "archive")
	f, err := os.Create(file)
	require.NoError(t, err)
	w, err := archive.NewWriter(f, archive.Info{From: "file"})
	require.NoError(t, err)
	state := make([]byte, size)
	for c := range components {
		id := fmt.Sprint("app/", c)
		for v := range uint64(generations) {
			require.NoError(t, w.Generation(id, &durable.Snapshot{Epoch: 1, Version: v + 1, WriteID: "w", Data: state}))
		}
		require.NoError(t, w.Component(archive.Component{ID: id, Epoch: 1, Version: generations, Verdict: "ok"}))
	}
	_, err = w.Close()
	require.NoError(t, err)
	require.NoError(t, f.Close())
	dir := filepath.Join(t.TempDir(), "store")
	var said strings.Builder
	cmd := process("import", file, "--quiet", "--directory", dir)
	cmd.Stderr = &said
	_, peak, err := watched(cmd)
	require.NoError(t, err, said.String())
	t.Logf("peak memory %d MiB for %d MiB of state", peak>>10, components*generations*size>>20)
	require.Less(t, peak, 240<<10, "KiB")
}
