package vfs_test

import (
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/vfs"
)

func TestFileSystemsInMemoryAreNotDurable(t *testing.T) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs("/dev/shm", &fs); err != nil || fs.Type != 0x01021994 {
		t.Skip("needs a tmpfs at /dev/shm")
	}
	err := vfs.CheckDurable("/dev/shm")
	require.ErrorIs(t, err, vfs.ErrNotDurable)
	require.ErrorContains(t, err, "tmpfs")
}

func TestDirectoryThatCannotBeLookedAtIsNotCalledDurable(t *testing.T) {
	require.ErrorIs(t, vfs.CheckDurable(t.TempDir()+"/absent"), os.ErrNotExist)
	require.ErrorIs(t, vfs.CheckDurable("/proc"), vfs.ErrNotDurable)
}

func TestKindsOfFileSystems(t *testing.T) {
	for kind, durable := range map[uint32]bool{0xef53: true, 0x58465342: true, 0x9123683e: true, 0x01021994: false, 0x6969: false, 1: false} {
		require.Equal(t, durable, vfs.JudgeKind(kind) == nil, "%#x", kind)
	}
}

func TestOverlayMountedAsVolatileIsNotDurable(t *testing.T) {
	const mounts = `22 1 0:20 / /proc rw,nosuid shared:5 - proc proc rw
31 1 0:26 / / rw,relatime - overlay overlay rw,lowerdir=/l,upperdir=/u,workdir=/w
32 31 0:27 / /a rw,relatime shared:2 - overlay overlay rw,lowerdir=/l,upperdir=/u,workdir=/w,volatile
33 31 0:28 / /b rw,relatime - overlay none rw,lowerdir=/l,upperdir=/u,workdir=/w,fsync=volatile
`
	require.NoError(t, vfs.JudgeOverlay(mounts, "0:26"))
	require.ErrorIs(t, vfs.JudgeOverlay(mounts, "0:27"), vfs.ErrNotDurable)
	require.ErrorIs(t, vfs.JudgeOverlay(mounts, "0:28"), vfs.ErrNotDurable)
	require.ErrorIs(t, vfs.JudgeOverlay(mounts, "0:29"), vfs.ErrNotDurable)
}
