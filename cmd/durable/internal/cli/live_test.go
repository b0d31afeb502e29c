package cli_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/cmd/durable/internal/cli"
)

func TestABusyOwnerIsExportedAndCopiedWithoutBeingDisturbed(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		o := p.start(t)
		o.commit(t, 1)
		stop := make(chan struct{})
		var busy sync.WaitGroup
		var failed error
		busy.Go(func() {
			for n := 2; failed == nil; n++ {
				select {
				case <-stop:
					return
				default:
					failed = o.Commit(ctx, func(s *tally) { s.N = n })
				}
			}
		})
		dir := t.TempDir()
		for range 2 {
			file := filepath.Join(dir, "backup")
			ok(t, "export", file, "-c", p.config, "--force")
			to := filePlace(t)
			ok(t, "import", file, "-c", to.config)
			ok(t, "verify", "-c", p.config)
			ok(t, "drill", "-c", p.config)
			ok(t, "copy", "--from", p.config, "--to", filePlace(t).config)
		}
		close(stop)
		busy.Wait()
		require.NoError(t, failed)
	})
}

func TestAnInterruptedExportLeavesNothing(t *testing.T) {
	p := filePlace(t)
	fill(t, p.open(t), 1, 1, "app/c")
	ended, cancel := context.WithCancel(ctx)
	cancel()
	file := filepath.Join(t.TempDir(), "backup")
	var out, errOut bytes.Buffer
	code := cli.Main(ended, []string{"export", file, "-c", p.config}, strings.NewReader(""), &out, &errOut)
	require.Equal(t, 1, code)
	require.Contains(t, errOut.String(), "interrupted")
	entries, err := os.ReadDir(filepath.Dir(file))
	require.NoError(t, err)
	require.Empty(t, entries)
}

func TestAKilledCopyIsCompletedByTheSameCommand(t *testing.T) {
	from, to := redisPlace(t), filePlace(t)
	a := from.open(t)
	fillMany(t, a, 100, 3)
	for wait := time.Millisecond; ; wait += wait / 2 {
		cmd := process("copy", "--from", from.config, "--to", to.config)
		require.NoError(t, cmd.Start())
		kill := time.AfterFunc(wait, func() { _ = cmd.Process.Kill() })
		err := cmd.Wait()
		if kill.Stop() || err == nil {
			require.NoError(t, err)
			break
		}
		if _, err := os.Stat(filepath.Join(to.dir, "FORMAT")); err == nil {
			ok(t, "verify", "-c", to.config) // whatever there is, is whole
		}
	}
	components, generations := requireSame(t, a, to.open(t))
	require.Equal(t, 100, components)
	require.Equal(t, 300, generations)
}
