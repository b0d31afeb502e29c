package archive

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Create has write make the file path. Until write and everything else has
// succeeded path is as it was; what an export that was killed leaves behind is a
// file path.partial-*. An existing file is replaced only if replace is set.
func Create(path string, replace bool, write func(io.Writer) error) (err error) {
	if err := vacant(path, replace); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".partial-*") // mode 0600: it holds state
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_, _ = f.Close(), os.Remove(f.Name())
			if !errors.Is(err, fs.ErrExist) {
				err = fmt.Errorf("%s was not written: %w", path, err)
			}
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := vacant(path, replace); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	_ = f.Close() // after a sync nothing is left to fail
	syncDir(filepath.Dir(path))
	return nil
}

func vacant(path string, replace bool) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.IsDir():
		return fmt.Errorf("%s is a directory; name a file", path)
	case !replace:
		return fmt.Errorf("%s: %w; give --force to replace it", path, fs.ErrExist)
	}
	return nil
}

// syncDir makes the name durable where the system can; a crash before that is as
// if the export had not been run.
func syncDir(dir string) {
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync()
		_ = d.Close()
	}
}
