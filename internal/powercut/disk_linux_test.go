package powercut_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// A disk is a file system in an image file on a loop device. Its power can be
// cut.
type disk struct {
	t       *testing.T
	fs      fileSystem
	loop    string // path of the device
	device  *os.File
	base    string // where the file system is mounted
	dir     string // where a store may be
	overlay string // options of the overlay above it, "" for none
	mounted []string
}

// A fileSystem says how to make one.
type fileSystem struct {
	name    string // as the kernel knows it
	tool    string
	pkg     string // that brings the tool
	args    []string
	size    int64 // of the image, which is sparse
	overlay bool  // the store is on an overlay above it
}

var (
	ext4    = fileSystem{name: "ext4", tool: "mkfs.ext4", pkg: "e2fsprogs", args: []string{"-q", "-F"}, size: 64 << 20}
	xfs     = fileSystem{name: "xfs", tool: "mkfs.xfs", pkg: "xfsprogs", args: []string{"-q"}, size: 320 << 20}
	overlay = fileSystem{name: "ext4", tool: "mkfs.ext4", pkg: "e2fsprogs", args: []string{"-q", "-F"}, size: 64 << 20, overlay: true}
)

func (fs fileSystem) String() string {
	if fs.overlay {
		return "overlay on " + fs.name
	}
	return fs.name
}

// newDisk makes a disk with an empty file system and mounts it. All is undone at
// the end of t.
func newDisk(t *testing.T, fs fileSystem) *disk {
	t.Helper()
	needMounts(t)
	mkfs := needTool(t, fs.tool, fs.pkg)
	dir := t.TempDir()
	image := filepath.Join(dir, "image")
	require.NoError(t, os.WriteFile(image, nil, 0o600))
	require.NoError(t, os.Truncate(image, fs.size))
	out, err := exec.Command(mkfs, append(fs.args, image)...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	d := &disk{t: t, fs: fs, base: filepath.Join(dir, "base")}
	require.NoError(t, os.Mkdir(d.base, 0o700))
	d.dir = d.base
	if fs.overlay {
		d.dir = filepath.Join(dir, "merged")
		require.NoError(t, os.Mkdir(d.dir, 0o700))
		d.overlay = fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", d.base)
	}
	d.attach(image)
	t.Cleanup(d.destroy)
	d.firstMount()
	return d
}

// The ioctls of loop devices, from linux/loop.h.
const (
	loopGetFree   = 0x4C82
	loopConfigure = 0x4C0A
	loopClear     = 0x4C01
	loopAutoclear = 4
)

// loopConfig is struct loop_config.
type loopConfig struct {
	fd, blockSize uint32
	info          struct {
		device, inode, rdevice, offset, sizelimit uint64
		number, encryptType, keySize, flags       uint32
		fileName, cryptName                       [64]byte
		key                                       [32]byte
		init                                      [2]uint64
	}
	_ [8]uint64
}

func ioctl(f *os.File, request uintptr, arg unsafe.Pointer) (int, error) {
	n, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), request, uintptr(arg))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// attach makes image a block device, which is detached when nobody uses it any
// more.
func (d *disk) attach(image string) {
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		lacks(d.t, "loop devices in the kernel (CONFIG_BLK_DEV_LOOP): %v", err)
	}
	defer control.Close()
	backing, err := os.OpenFile(image, os.O_RDWR, 0)
	require.NoError(d.t, err)
	defer backing.Close()
	for tries := 0; ; tries++ {
		n, err := ioctl(control, loopGetFree, nil)
		if err != nil {
			lacks(d.t, "a free loop device: %v", err)
		}
		d.loop = fmt.Sprintf("/dev/loop%d", n)
		f, err := os.OpenFile(d.loop, os.O_RDWR, 0)
		if err != nil {
			lacks(d.t, "access to loop devices: %v", err)
		}
		var c loopConfig
		c.fd = uint32(backing.Fd())
		c.info.flags = loopAutoclear
		if _, err = ioctl(f, loopConfigure, unsafe.Pointer(&c)); err == nil {
			d.device = f
			return
		}
		f.Close()
		if !errors.Is(err, syscall.EBUSY) || tries == 100 { // busy: another process was faster
			lacks(d.t, "Linux 5.8 or later for LOOP_CONFIGURE on %s: %v", d.loop, err)
		}
	}
}

func (d *disk) firstMount() {
	err := d.tryMount()
	if errors.Is(err, syscall.ENODEV) || errors.Is(err, syscall.EPERM) {
		lacks(d.t, "%s in the kernel, and the right to mount it: %v", d.fs, err)
	}
	require.NoError(d.t, err)
}

func (d *disk) mount() {
	d.t.Helper()
	require.NoError(d.t, d.tryMount(), "the file system cannot be mounted after the power cut")
}

// tryMount mounts the file system, which recovers its journal.
func (d *disk) tryMount() error {
	if err := syscall.Mount(d.loop, d.base, d.fs.name, 0, ""); err != nil {
		return err
	}
	d.mounted = append(d.mounted, d.base)
	if d.overlay == "" {
		return nil
	}
	for _, name := range []string{"lower", "upper", "work"} {
		if err := os.Mkdir(filepath.Join(d.base, name), 0o700); err != nil && !os.IsExist(err) {
			return err
		}
	}
	if err := syncPath(d.base); err != nil {
		return err
	}
	if err := syscall.Mount("overlay", d.dir, "overlay", 0, d.overlay); err != nil {
		return err
	}
	d.mounted = append(d.mounted, d.dir)
	return nil
}

func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// goingDown is EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN.
const goingDown = 0x8004587d

// cut ends all writing at once: what is not in the journal by now is lost.
func (d *disk) cut() {
	d.t.Helper()
	f, err := os.Open(d.base)
	require.NoError(d.t, err)
	defer f.Close()
	noLogFlush := uint32(2)
	if _, err = ioctl(f, goingDown, unsafe.Pointer(&noLogFlush)); errors.Is(err, syscall.ENOTTY) {
		lacks(d.t, "the shutdown ioctl of %s: %v", d.fs, err)
	}
	require.NoError(d.t, err)
}

// unmount needs everybody to be gone.
func (d *disk) unmount() {
	d.t.Helper()
	for n := len(d.mounted); n > 0; n-- {
		require.NoError(d.t, syscall.Unmount(d.mounted[n-1], 0))
		d.mounted = d.mounted[:n-1]
	}
}

// destroy also works while files are open.
func (d *disk) destroy() {
	for n := len(d.mounted); n > 0; n-- {
		if err := syscall.Unmount(d.mounted[n-1], syscall.MNT_DETACH); err != nil {
			d.t.Error(err)
		}
	}
	d.mounted = nil
	_, _ = ioctl(d.device, loopClear, nil) // detached when the last user is gone
	if err := d.device.Close(); err != nil {
		d.t.Error(err)
	}
}

// reboot is what follows a cut: all of memory is gone, then the journal is
// recovered.
func (d *disk) reboot() {
	d.t.Helper()
	d.unmount()
	d.mount()
}
