package filestore_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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

const (
	benchRounds = 9
	benchSaves  = 200 // by hand, in a round
)

// BenchmarkSaveBesideByHand compares the time of a save with that of the protocol
// as a careful programmer writes it for one caller: temporary, fsync, rename,
// fsync of the directory. All take turns in every round; the median of the
// rounds counts. TMPDIR chooses the disk.
func BenchmarkSaveBesideByHand(b *testing.B) {
	for _, size := range []int{1 << 10, 16 << 10} {
		for _, callers := range []int{1, 64, 1000} {
			b.Run(fmt.Sprintf("size=%d/callers=%d", size, callers), func(b *testing.B) {
				var ratios, times, written []float64
				for range benchRounds {
					hand := byHand(b, size)
					before := deviceBytes()
					ours := bySaves(b, size, callers)
					ratios, times = append(ratios, hand/ours.each), append(times, ours.each*1e6)
					written = append(written, float64(deviceBytes()-before)/float64(ours.saves*size))
				}
				b.ReportMetric(0, "ns/op") // it times itself
				b.ReportMetric(middle(times), "us/save")
				b.ReportMetric(middle(ratios), "times-by-hand")
				b.ReportMetric(slices.Min(ratios), "worst")
				b.ReportMetric(slices.Max(ratios), "best")
				b.ReportMetric(middle(written), "written/byte")
			})
		}
	}
}

func middle(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

// deviceBytes returns what was written to the first virtual disk so far, 0 where
// there is none. Other programs write too.
func deviceBytes() int {
	b, _ := os.ReadFile("/sys/block/vda/stat")
	f := bytes.Fields(b)
	if len(f) < 7 {
		return 0
	}
	n, _ := strconv.Atoi(string(f[6]))
	return 512 * n
}

// byHand returns the seconds of one save.
func byHand(b *testing.B, size int) float64 {
	dir := b.TempDir()
	d, err := os.Open(dir)
	require.NoError(b, err)
	defer d.Close()
	start := time.Now()
	for v := range uint64(benchSaves) {
		tmp := filepath.Join(dir, "tmp")
		f, err := os.Create(tmp)
		require.NoError(b, err)
		_, err = f.Write(payload(size, v))
		require.NoError(b, err)
		require.NoError(b, f.Sync())
		require.NoError(b, f.Close())
		require.NoError(b, os.Rename(tmp, filepath.Join(dir, "state")))
		require.NoError(b, d.Sync())
	}
	return time.Since(start).Seconds() / benchSaves
}

type benchResult struct {
	each  float64 // seconds
	saves int
}

func bySaves(b *testing.B, size, callers int) benchResult {
	s, err := filestore.Open(b.TempDir(), filestore.Options{Keep: 3})
	require.NoError(b, err)
	defer s.Close()
	per := max(benchSaves*min(callers, 256)/callers, 20)
	run := func(from, n int) {
		var wg sync.WaitGroup
		for c := range callers {
			id, data := "component-"+strconv.Itoa(c), payload(size, uint64(c))
			wg.Go(func() {
				for v := from; v < from+n; v++ {
					copy(data, strconv.Itoa(v))
					err := s.Save(ctx, id, &store.Snapshot{Epoch: 1, Version: uint64(v), WriteID: "w" + strconv.Itoa(v), SavedAt: time.Now(), Codec: "json", Data: data})
					if err != nil {
						b.Error(err)
					}
				}
			})
		}
		wg.Wait()
	}
	run(1, 1) // what is done once is not counted
	start := time.Now()
	run(2, per)
	return benchResult{time.Since(start).Seconds() / float64(per*callers), per * callers}
}
