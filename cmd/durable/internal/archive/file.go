package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Create has write make the file path. Until write and everything else has
// succeeded path is as it was; what an export that was killed leaves behind is a
// file path.partial-*. An existing file is replaced only if replace is set, and
// where path is a link, the file that it leads to is. Nothing but a regular file is
// ever replaced: a pipe or a character device is written to, which takes what was
// written before an error, and anything else is refused.
func Create(ctx context.Context, path string, replace bool, write func(io.Writer) error) error {
	path, special, err := target(path)
	if err == nil && special {
		err = into(ctx, path, write)
	} else if err == nil {
		err = whole(path, replace, write)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s was not written: %w", path, err)
	}
	return err
}

// target follows links to what is to be written, and tells whether that is a
// special file.
func target(path string) (to string, special bool, err error) {
	if path == "" {
		return path, false, errors.New("the archive has no name")
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, link := os.Lstat(path); link == nil {
			return path, false, errors.New("it is a link to nothing; remove it, or name the file")
		}
		return path, false, nil
	} else if err != nil {
		return path, false, err
	}
	switch mode := info.Mode(); {
	case mode.IsRegular():
		to, err = filepath.EvalSymlinks(path)
		return to, false, err
	case mode.IsDir():
		return path, false, errors.New("it is a directory; name a file")
	case mode&fs.ModeNamedPipe != 0, mode&fs.ModeCharDevice != 0:
		return path, true, nil
	default:
		return path, false, fmt.Errorf("it is no file and no pipe (%v)", mode.Type())
	}
}

// into writes into a pipe or a device. Opening a pipe waits for its reader.
func into(ctx context.Context, path string, write func(io.Writer) error) error {
	type opened struct {
		f   *os.File
		err error
	}
	ready := make(chan opened, 1)
	go func() {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		ready <- opened{f, err}
	}()
	select {
	case o := <-ready:
		if o.err != nil {
			return o.err
		}
		return errors.Join(write(o.f), o.f.Close())
	case <-ctx.Done(): // the goroutine ends with the process
		return ctx.Err()
	}
}

// whole makes a file of its own and gives it the name path when it is complete.
func whole(path string, replace bool, write func(io.Writer) error) error {
	if err := vacant(path, replace); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".partial-*") // mode 0600: it holds state
	if err != nil {
		return err
	}
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = publish(f.Name(), path, replace)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return err
	}
	syncDir(filepath.Dir(path))
	return nil
}

// publish gives a file its name. A link replaces nothing, also not what has
// appeared since; where there are no links a look has to do.
func publish(from, path string, replace bool) error {
	if !replace {
		switch err := os.Link(from, path); {
		case err == nil:
			_ = os.Remove(from)
			return nil
		case errors.Is(err, fs.ErrExist):
			return exists(path)
		}
	}
	if err := vacant(path, replace); err != nil {
		return err
	}
	return os.Rename(from, path)
}

func exists(path string) error {
	return fmt.Errorf("%s: %w; give --force to replace it", path, fs.ErrExist)
}

func vacant(path string, replace bool) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !replace:
		return exists(path)
	case !info.Mode().IsRegular():
		return fmt.Errorf("it has become something else than a file (%v)", info.Mode().Type())
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

// Open opens an archive, which is read more than once. What cannot be read again,
// such as a pipe, is copied to a temporary file that has no name. in is read where
// path is "-".
func Open(path string, in io.Reader) (*os.File, error) {
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		if info, err := f.Stat(); err != nil || info.Mode().IsRegular() {
			return f, err
		}
		defer f.Close()
		in = f
	}
	f, err := os.CreateTemp("", "durable-import-*") // mode 0600: it holds state
	if err != nil {
		return nil, err
	}
	_ = os.Remove(f.Name()) // where an open file keeps its name, it stays until the system cleans up
	if _, err = io.Copy(f, in); err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
