package vfs

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
)

// The kinds of file systems, by the magic number of statfs(2).
const overlayMagic = 0x794c7630

var durableKinds = map[uint32]string{
	0xef53: "ext4", 0x58465342: "xfs", 0x9123683e: "btrfs", 0xf2f52010: "f2fs", 0x2fc12fc1: "zfs", 0xca451a4e: "bcachefs",
}

var volatileKinds = map[uint32]string{0x01021994: "tmpfs", 0x858458f6: "ramfs"}

var networkKinds = map[uint32]string{
	0x6969: "nfs", 0xff534d42: "cifs", 0xfe534d42: "smb2", 0x01021997: "9p", 0x00c36400: "ceph", 0x65735546: "fuse",
}

// CheckDurable returns nil if the file system of the directory path is known to
// keep what was synced, and ErrNotDurable with the reason otherwise. Of an
// overlay it is the upper layer that counts, which cannot be looked at.
func CheckDurable(path string) error {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(path, &fs); err != nil {
		return &os.PathError{Op: "statfs", Path: path, Err: err}
	}
	kind := uint32(fs.Type)
	if kind == overlayMagic {
		return checkOverlay(path)
	}
	return judgeKind(kind)
}

func judgeKind(kind uint32) error {
	if durableKinds[kind] != "" {
		return nil
	}
	if name := volatileKinds[kind]; name != "" {
		return notDurable("%s keeps it in memory", name)
	}
	if name := networkKinds[kind]; name != "" {
		return notDurable("%s depends on its server", name)
	}
	return notDurable("its kind, %#x, is not known", kind)
}

func checkOverlay(path string) error {
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		return &os.PathError{Op: "stat", Path: path, Err: err}
	}
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	dev := uint64(st.Dev)
	major := dev>>8&0xfff | dev>>32&^uint64(0xfff)
	minor := dev&0xff | dev>>12&^uint64(0xff)
	return judgeOverlay(string(info), fmt.Sprintf("%d:%d", major, minor))
}

// judgeOverlay looks for the mount of the device dev in info, which has the
// format of /proc/self/mountinfo. Overlays mounted as volatile ignore syncs.
func judgeOverlay(info, dev string) error {
	for line := range strings.Lines(info) {
		mount, super, _ := strings.Cut(line, " - ")
		fields := strings.Fields(mount)
		last := strings.Fields(super)
		if len(fields) < 3 || fields[2] != dev || len(last) == 0 {
			continue
		}
		options := strings.Split(last[len(last)-1], ",")
		if slices.Contains(options, "volatile") || slices.Contains(options, "fsync=volatile") {
			return notDurable("the overlay is mounted as volatile")
		}
		return nil
	}
	return notDurable("the mount of the overlay is not listed")
}
