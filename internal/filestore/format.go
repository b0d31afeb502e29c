package filestore

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"strconv"

	"github.com/durablestate/durable/internal/store"
	"github.com/durablestate/durable/internal/vfs"
)

// The FORMAT file is one line: magic, format, the store's UUID, CRC-32C of all
// before it. Its absence beside commits means that this is half a store.
const (
	formatMagic   = "DURABLE-FILES "
	formatNumber  = 1
	maxFormatSize = 4096
)

var errNoFormat = fmt.Errorf("%w: the directory holds commits but no %s file: is it a partial copy? Restore all files of the directory", store.ErrCorrupt, formatName)

func newFormat() []byte {
	var id [16]byte
	rand.Read(id[:])
	line := fmt.Appendf(nil, "%s%02d %s ", formatMagic, formatNumber, hex.EncodeToString(id[:]))
	return fmt.Appendf(line, "%08x\n", crc32.Checksum(line, crc32.MakeTable(crc32.Castagnoli)))
}

// knowFormat reads FORMAT and reports whether this program can read the store, and
// whether it is the one that was opened. The caller holds io.
func (s *Store) knowFormat() error {
	f, err := s.dir.Open(formatName)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return err
	}
	b, err := readAt(f, 0, min(size, maxFormatSize))
	if err == nil {
		err = parseFormat(b)
	}
	if err == nil && s.format != nil && !bytes.Equal(s.format, b) {
		err = store.MarkPermanent(fmt.Errorf("%s is that of another store: %w", formatName, vfs.ErrMoved))
	}
	if err == nil {
		s.format = b
	}
	return err
}

func parseFormat(b []byte) error {
	rest, ok := bytes.CutPrefix(b, []byte(formatMagic))
	end := bytes.LastIndexByte(b, ' ') + 1
	sum := fmt.Appendf(nil, "%08x\n", crc32.Checksum(b[:end], crc32.MakeTable(crc32.Castagnoli)))
	if !ok || len(rest) < 2 || !bytes.Equal(b[end:], sum) {
		return fmt.Errorf("%w: the %s file is damaged; restore it from a backup of the directory", store.ErrCorrupt, formatName)
	}
	if n, err := strconv.ParseUint(string(rest[:2]), 10, 8); err != nil || n > formatNumber {
		return fmt.Errorf("%w: directory format %q, this program reads up to %d", store.ErrTooNew, rest[:2], formatNumber)
	}
	return nil
}

// ensureFormat makes the store a store. FORMAT is durable before any commit is
// published, or a crash could leave commits without it. Where there is a commit
// somebody has seen to that. A FORMAT that was removed since is written again: what
// is acknowledged without it could not be opened. The caller holds io.
func (s *Store) ensureFormat() error {
	_, err := s.dir.Size(formatName)
	if err == nil && s.lastCommit() > 0 {
		return nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		line := s.format
		if line == nil {
			line = newFormat()
		}
		err = s.publish(formatName, func(f vfs.File) error { return writeAll(f, line) })
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := s.syncDir(); err != nil {
		return err
	}
	return s.knowFormat()
}
