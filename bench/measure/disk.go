package measure

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// A Disk counts what the block device below a directory does. Other programs use
// it too, so it should be measured on a quiet machine. A nil Disk counts nothing.
type Disk struct{ stat string }

// DiskOf returns the disk that dir lies on, nil where the system does not tell.
func DiskOf(dir string) *Disk {
	var st syscall.Stat_t
	if syscall.Stat(dir, &st) != nil {
		return nil
	}
	dev := uint64(st.Dev)
	major, minor := dev>>8&0xfff, dev&0xff|dev>>12&0xfff00
	sys := filepath.Join("/sys/dev/block", strconv.FormatUint(major, 10)+":"+strconv.FormatUint(minor, 10))
	path, err := filepath.EvalSymlinks(sys)
	if err != nil {
		return nil
	}
	if _, err := os.Stat(filepath.Join(path, "partition")); err == nil {
		path = filepath.Dir(path) // flushes are counted for the whole device only
	}
	d := &Disk{filepath.Join(path, "stat")}
	if _, ok := d.fields(); !ok {
		return nil
	}
	return d
}

const (
	sectorSize   = 512
	fieldWritten = 6  // sectors written
	fieldFlushes = 15 // see the kernel's Documentation/block/stat.rst
)

func (d *Disk) fields() ([]string, bool) {
	text, err := os.ReadFile(d.stat)
	f := strings.Fields(string(text))
	return f, err == nil && len(f) > fieldFlushes
}

func (d *Disk) read() (flushes, bytes uint64) {
	if d == nil {
		return 0, 0
	}
	f, ok := d.fields()
	if !ok {
		return 0, 0
	}
	flushes, _ = strconv.ParseUint(f[fieldFlushes], 10, 64)
	sectors, _ := strconv.ParseUint(f[fieldWritten], 10, 64)
	return flushes, sectors * sectorSize
}

// settle has the system write what it still holds back.
func (d *Disk) settle() {
	if d != nil {
		syscall.Sync()
	}
}
