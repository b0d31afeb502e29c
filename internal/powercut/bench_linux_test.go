package powercut_test

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	rounds    = 15
	roundTime = 200 * time.Millisecond // short ones: other work on the machine hits both sides
	tmpfs     = 0x01021994             // TMPFS_MAGIC
)

// BenchmarkSaveBesideByHand compares saves per second with the protocol written
// by hand (temporary, fsync, rename, fsync of the directory), each caller with a
// component of its own. Both sides take turns in every round; the median of the
// rounds counts. TMPDIR chooses the disk.
func BenchmarkSaveBesideByHand(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			ours, hand, alone := contender{"adapter", callers}, contender{"by hand", callers}, contender{"by hand", 1}
			var rates, handRates, ratios, ratiosAlone []float64
			for range rounds {
				o, h := ours.rate(b), hand.rate(b)
				rates, handRates, ratios = append(rates, o), append(handRates, h), append(ratios, o/h)
				if callers > 1 {
					ratiosAlone = append(ratiosAlone, o/alone.rate(b))
				}
			}
			b.ReportMetric(0, "ns/op") // it times itself
			b.ReportMetric(median(rates), "saves/s")
			b.ReportMetric(median(handRates), "by-hand-saves/s")
			b.ReportMetric(median(ratios), "times-by-hand")
			if callers > 1 {
				b.ReportMetric(median(ratiosAlone), "times-one-by-hand")
			}
		})
	}
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

// A contender is a way to save and the number of its callers.
type contender struct {
	kind    string
	callers int
}

// rate returns how often it saves in a second, in a fresh directory.
func (c contender) rate(b *testing.B) float64 {
	dir := b.TempDir()
	var fs syscall.Statfs_t
	require.NoError(b, syscall.Statfs(dir, &fs))
	if fs.Type == tmpfs {
		b.Skipf("%s is a tmpfs, where a sync does nothing; set TMPDIR to a directory on a disk", dir)
	}
	s, err := openSaver(c.kind, dir)
	require.NoError(b, err)
	if a, ok := s.(*adapter); ok { // a Checkpointer names the version of every save
		a.epoch = 1
		for i := range c.callers {
			a.versions[benchComponent(i)] = new(uint64)
		}
	}
	data := bytes.Repeat([]byte("x"), 1024)
	require.NoError(b, s.save("first", data)) // what is done once is not counted
	var n atomic.Int64
	var wg sync.WaitGroup
	begin := time.Now()
	for i := range c.callers {
		wg.Go(func() {
			for time.Since(begin) < roundTime {
				if err := s.save(benchComponent(i), data); err != nil {
					b.Error(err)
					return
				}
				n.Add(1)
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(begin)
	require.NoError(b, s.close())
	return float64(n.Load()) / elapsed.Seconds()
}

func benchComponent(i int) string { return fmt.Sprint("owned-", i) }
