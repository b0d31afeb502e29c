//go:build unix

package filestore_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/store"
)

func TestSleepingHolderIsFencedAfterItsLeaseExpired(t *testing.T) {
	dir := t.TempDir()
	p := start(t, "hold", dir)
	p.line(t)
	s := open(t, dir)
	require.NoError(t, p.Process.Signal(syscall.SIGSTOP))
	held, err := s.LoadLease(ctx, "sys")
	require.NoError(t, err)
	for {
		l, err := s.AcquireLease(ctx, "sys", "me", time.Hour, 1)
		if err == nil {
			require.False(t, time.Now().Before(held.Expires), "it was held until it expired")
			require.NoError(t, s.Claim(ctx, "c", l.Epoch))
			break
		}
		require.ErrorIs(t, err, store.ErrLeaseHeld)
	}
	require.NoError(t, p.Process.Signal(syscall.SIGCONT))
	_, err = p.in.WriteString("go\n")
	require.NoError(t, err)
	require.Contains(t, p.line(t), "fenced by a newer owner")
	data, _, _ := loaded(t, s, "c")
	require.Equal(t, "child", data)
}
