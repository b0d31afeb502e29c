package filestore_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/filestore"
	"github.com/durablestate/durable/internal/store"
)

func payload(n int, v uint64) []byte {
	b := bytes.Repeat([]byte("x"), n)
	copy(b, strconv.FormatUint(v, 10))
	return b
}

// BenchmarkByHand is what a careful programmer writes: temp, fsync, rename,
// directory fsync.
func BenchmarkByHand(b *testing.B) {
	dir := b.TempDir()
	d, err := os.Open(dir)
	require.NoError(b, err)
	defer d.Close()
	for v := uint64(1); b.Loop(); v++ {
		tmp := filepath.Join(dir, "tmp")
		f, err := os.Create(tmp)
		require.NoError(b, err)
		f.Write(payload(1024, v))
		require.NoError(b, f.Sync())
		require.NoError(b, f.Close())
		require.NoError(b, os.Rename(tmp, filepath.Join(dir, "state")))
		require.NoError(b, d.Sync())
	}
}

func BenchmarkSave(b *testing.B) {
	for _, callers := range []int{1, 64, 1000} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			s, err := filestore.Open(b.TempDir(), filestore.Options{Keep: 3})
			require.NoError(b, err)
			defer s.Close()
			var wg sync.WaitGroup
			per := b.N/callers + 1
			start := time.Now()
			for c := range callers {
				wg.Go(func() {
					for v := range uint64(per) {
						err := s.Save(b.Context(), "component-"+strconv.Itoa(c), &store.Snapshot{Epoch: 1, Version: v + 1, WriteID: "w" + strconv.Itoa(int(v)), SavedAt: start, Codec: "json", Data: payload(1024, v)})
						if err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(per*callers)/time.Since(start).Seconds(), "saves/s")
		})
	}
}
