package powercut_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/durablestate/durable"
)

var ctx = context.Background()

// A saver is what is tested, or what it is compared with.
type saver interface {
	// begin makes the process the owner and returns its epoch, 0 if the
	// saver knows no owners.
	begin() (epoch uint64, err error)
	save(component string, data []byte) error
	remove(component string) error
	// load returns fs.ErrNotExist when there is no state, and version 0 if
	// the saver knows no versions.
	load(component string) (data []byte, version uint64, err error)
	close() error
}

// openSaver opens the saver of that kind on dir.
func openSaver(kind, dir string) (saver, error) {
	if kind == "adapter" {
		a, err := durable.NewFileAdapter(filepath.Join(dir, "parent", "store"), &durable.FileOptions{Keep: 2})
		return &adapter{FileAdapter: a, versions: map[string]*uint64{}}, err
	}
	h, err := os.Open(dir)
	return &byHand{dir: dir, handle: h, syncs: kind == "by hand"}, err
}

// adapter saves through a FileAdapter.
type adapter struct {
	*durable.FileAdapter
	epoch    uint64
	versions map[string]*uint64 // of owned components
}

const leaseName = "power"

func (a *adapter) begin() (uint64, error) {
	l, err := a.AcquireLease(ctx, leaseName, fmt.Sprint("process ", os.Getpid()), time.Hour)
	if err != nil {
		return 0, err
	}
	for _, c := range components {
		if !owned(c) {
			continue
		}
		if err := a.ClaimState(ctx, c, l.Epoch); err != nil {
			return 0, err
		}
		s, err := a.LoadState(ctx, c)
		a.versions[c] = new(uint64)
		switch {
		case err == nil:
			*a.versions[c] = s.LastVersion
		case !errors.Is(err, durable.ErrNotFound):
			return 0, err
		}
	}
	a.epoch = l.Epoch
	return l.Epoch, nil
}

func (a *adapter) save(component string, data []byte) error {
	s := &durable.Snapshot{Codec: "binary", Data: data}
	if owned(component) && a.epoch > 0 {
		*a.versions[component]++ // a save that failed is the last one
		s.Epoch, s.Version = a.epoch, *a.versions[component]
	}
	return a.SaveState(ctx, component, s)
}

func (a *adapter) remove(component string) error { return a.DeleteState(ctx, component) }

func (a *adapter) load(component string) ([]byte, uint64, error) {
	s, err := a.LoadState(ctx, component)
	switch {
	case errors.Is(err, durable.ErrNotFound):
		return nil, 0, fs.ErrNotExist
	case err != nil:
		return nil, 0, err
	case s.LastVersion != s.Version:
		return nil, 0, fmt.Errorf("version %d of %d", s.Version, s.LastVersion)
	}
	return s.Data, s.Version, nil
}

func (a *adapter) close() error { return a.Close() }

// byHand is the protocol as a careful programmer writes it: temporary, fsync,
// rename, fsync of the directory. Many forget the last step.
type byHand struct {
	dir    string
	handle *os.File
	syncs  bool // the directory
}

func (h *byHand) begin() (uint64, error) { return 0, nil }

func (h *byHand) path(component string) string { return filepath.Join(h.dir, "state-"+component) }

func (h *byHand) save(component string, data []byte) error {
	path := h.path(component)
	f, err := os.OpenFile(path+".tmp", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(path+".tmp", path)
	}
	return h.synced(err)
}

func (h *byHand) synced(err error) error {
	if err == nil && h.syncs {
		return h.handle.Sync()
	}
	return err
}

func (h *byHand) remove(component string) error {
	err := os.Remove(h.path(component))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return h.synced(err)
}

func (h *byHand) load(component string) ([]byte, uint64, error) {
	data, err := os.ReadFile(h.path(component))
	return data, 0, err
}

func (h *byHand) close() error { return h.handle.Close() }
