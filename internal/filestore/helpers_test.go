package filestore_test

import (
	"context"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/filestore"
	"github.com/durablestate/durable/internal/store"
	"github.com/durablestate/durable/internal/vfs"
)

var ctx = context.Background()

// A hooked directory tells every operation to hook before it happens, as "op
// name", and fails it with the hook's error. The names of temporaries are all
// the same.
type hooked struct {
	vfs.Dir
	mu   sync.Mutex
	log  []string
	hook func(op string) error

	listed func(names []string) []string // edits a listing, if not nil
}

func (h *hooked) tell(op, name string) error {
	if strings.HasPrefix(name, ".t-") {
		name = "temp"
	}
	op = strings.TrimSpace(op + " " + name)
	h.mu.Lock()
	h.log = append(h.log, op)
	hook := h.hook
	h.mu.Unlock()
	if hook == nil {
		return nil
	}
	return hook(op)
}

func (h *hooked) on(hook func(op string) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hook = hook
}

// since returns what happened since the last call.
func (h *hooked) since() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	log := h.log
	h.log = nil
	return log
}

func (h *hooked) Create(name string) (vfs.File, error) {
	if err := h.tell("create", name); err != nil {
		return nil, err
	}
	f, err := h.Dir.Create(name)
	return &hookedFile{f, h, name}, err
}

func (h *hooked) Open(name string) (vfs.File, error) {
	if err := h.tell("open", name); err != nil {
		return nil, err
	}
	f, err := h.Dir.Open(name)
	if err != nil {
		return nil, err
	}
	return &hookedFile{f, h, name}, nil
}

func (h *hooked) Publish(o, n string) error {
	if err := h.tell("publish", n); err != nil {
		return err
	}
	return h.Dir.Publish(o, n)
}

func (h *hooked) Remove(name string) error {
	if err := h.tell("remove", name); err != nil {
		return err
	}
	return h.Dir.Remove(name)
}

func (h *hooked) Sync() error {
	if err := h.tell("sync", "directory"); err != nil {
		return err
	}
	return h.Dir.Sync()
}

func (h *hooked) List() ([]string, error) {
	if err := h.tell("list", ""); err != nil {
		return nil, err
	}
	names, err := h.Dir.List()
	if h.listed != nil {
		names = h.listed(names)
	}
	return names, err
}

type hookedFile struct {
	vfs.File
	h    *hooked
	name string
}

func (f *hookedFile) Write(b []byte) (int, error) {
	if err := f.h.tell("write", f.name); err != nil {
		return len(b) / 2, err
	}
	return f.File.Write(b)
}

func (f *hookedFile) ReadAt(b []byte, off int64) (int, error) {
	if err := f.h.tell("read", f.name); err != nil {
		return 0, err
	}
	return f.File.ReadAt(b, off)
}

func (f *hookedFile) Sync() error {
	if err := f.h.tell("sync", f.name); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *hookedFile) Close() error {
	err := f.h.tell("close", f.name)
	f.File.Close()
	return err
}

func openHooked(t testing.TB, dir string) (*filestore.Store, *hooked) {
	t.Helper()
	d, err := vfs.Open(dir)
	require.NoError(t, err)
	h := &hooked{Dir: d}
	s, err := filestore.New(h, filestore.Options{Keep: 3})
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s, h
}

func open(t testing.TB, dir string) *filestore.Store {
	t.Helper()
	s, err := filestore.Open(dir, filestore.Options{Keep: 3})
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func snap(epoch, version uint64, data string) *store.Snapshot {
	return &store.Snapshot{Epoch: epoch, Version: version, WriteID: fmt.Sprintf("w%d", version), Codec: "json", SavedAt: time.Unix(1e9, 0).UTC(), Data: []byte(data)}
}

func save(t testing.TB, s *filestore.Store, id string, epoch, version uint64, data string) {
	t.Helper()
	require.NoError(t, s.Save(ctx, id, snap(epoch, version, data)))
}

// loaded returns the data, version and last version that Load answers.
func loaded(t testing.TB, s *filestore.Store, id string) (data string, version, last uint64) {
	t.Helper()
	got, err := s.Load(ctx, id)
	require.NoError(t, err)
	return string(got.Data), got.Version, got.LastVersion
}

// together saves snaps of the components c0, c1, ... in one commit: while the
// commit of another component is held up, they all wait. It must be called in a
// synctest bubble.
func together(t testing.TB, s *filestore.Store, h *hooked, snaps ...*store.Snapshot) {
	t.Helper()
	gate := make(chan struct{})
	h.on(func(op string) error {
		if op == "sync temp" {
			<-gate
		}
		return nil
	})
	var wg sync.WaitGroup
	wg.Go(func() { save(t, s, "gate", 1, nextGate(s), "{}") })
	synctest.Wait()
	h.on(func(op string) error { return nil })
	for i, sn := range snaps {
		wg.Go(func() { require.NoError(t, s.Save(ctx, fmt.Sprintf("c%d", i), sn)) })
		synctest.Wait()
	}
	close(gate)
	wg.Wait()
	h.on(nil)
}

func nextGate(s *filestore.Store) uint64 {
	f, _ := s.Fence(ctx, "gate")
	return f.Version + 1
}

// commits returns the names of the commit files in dir, oldest first.
func commits(t testing.TB, dir string) []string {
	t.Helper()
	return list(t, dir, "c-")
}

func list(t testing.TB, dir, prefix string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names
}

// newest returns the path of the newest commit file in dir.
func newest(t testing.TB, dir string) string {
	t.Helper()
	c := commits(t, dir)
	return filepath.Join(dir, c[len(c)-1])
}

func newStore(d vfs.Dir) (*filestore.Store, error) {
	return filestore.New(d, filestore.Options{Keep: 3})
}

var castagnoli, ieee = crc32.MakeTable(crc32.Castagnoli), crc32.IEEETable

func crc(t *crc32.Table, s string) uint32 { return crc32.Checksum([]byte(s), t) }

// overwriteAtRandom saves so many components, each by a caller of its own, about
// times times, some much more often than others.
func overwriteAtRandom(t testing.TB, s *filestore.Store, components, size, times int) {
	t.Helper()
	var wg sync.WaitGroup
	for i := range components {
		wg.Go(func() {
			for v := range uint64(1 + times*2*(i%17)/16) {
				require.NoError(t, s.Save(ctx, fmt.Sprint("c", i), snap(1, v+1, strings.Repeat("x", size))))
			}
		})
	}
	wg.Wait()
}
