//go:build unix

package redisstore_test

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/redisstore"
	"github.com/durablestate/durable/internal/redistest"
	"github.com/durablestate/durable/internal/store"
)

// BenchmarkSave saves components of 512 bytes and reports, beside the time, what
// the server spent on each of them in scripts, which does not depend on how busy
// the machine is with other things.
func BenchmarkSave(b *testing.B) {
	for _, workers := range []int{1, 64, 256} {
		b.Run(fmt.Sprint("workers=", workers), func(b *testing.B) {
			c, s := benchStore(b)
			saves := benchSaves(b, s, 2000)
			saves(5, workers)
			scripts, cpu, own, called := scriptMicros(b, c), cpuMicros(b, c), ownMicros(), number(b, c, "commandstats", calls)
			b.ReportAllocs()
			b.ResetTimer()
			rounds := b.N/2000 + 1
			start := time.Now()
			saves(rounds, workers)
			took := time.Since(start)
			b.StopTimer()
			n := float64(rounds * 2000)
			b.ReportMetric(float64(took.Nanoseconds())/n/1000, "us/save")
			b.ReportMetric((scriptMicros(b, c)-scripts)/n, "script-us/save")
			b.ReportMetric((cpuMicros(b, c)-cpu)/n, "server-cpu-us/save")
			b.ReportMetric(n/(number(b, c, "commandstats", calls)-called), "saves/call")
			b.ReportMetric((ownMicros()-own)/n, "client-cpu-us/save")
		})
	}
}

// BenchmarkLoad loads components of 512 bytes by many at a time.
func BenchmarkLoad(b *testing.B) {
	for _, workers := range []int{1, 256} {
		b.Run(fmt.Sprint("workers=", workers), func(b *testing.B) {
			_, s := benchStore(b)
			benchSaves(b, s, 2000)(2, 64)
			b.ReportAllocs()
			b.ResetTimer()
			spread(workers, b.N, func(i int) {
				if _, err := s.Load(ctx, fmt.Sprint("c", i%2000)); err != nil {
					b.Error(err)
				}
			})
		})
	}
}

// BenchmarkTakeOver claims and loads components of 512 bytes, one by one by many
// callers and many at a time by a few.
func BenchmarkTakeOver(b *testing.B) {
	const n = 2000
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint("c", i)
	}
	for how, take := range map[string]func(s *redisstore.Store, epoch uint64){
		"claim and load": func(s *redisstore.Store, epoch uint64) {
			spread(256, n, func(i int) {
				if _, err := s.Load(ctx, names[i]); err != nil || s.Claim(ctx, names[i], epoch) != nil {
					b.Error(err)
				}
			})
		},
		"takeover": func(s *redisstore.Store, epoch uint64) {
			spread(4, n/50, func(i int) {
				if got := s.TakeOver(ctx, names[50*i:50*i+50], epoch); got[0] == nil {
					b.Error("none")
				}
			})
		},
	} {
		b.Run(how, func(b *testing.B) {
			c, s := benchStore(b)
			benchSaves(b, s, n)(3, 64)
			cpu, own := cpuMicros(b, c), ownMicros()
			b.ReportAllocs()
			b.ResetTimer()
			rounds := b.N/n + 1
			for epoch := range rounds {
				take(s, uint64(epoch)+2)
			}
			b.StopTimer()
			b.ReportMetric((cpuMicros(b, c)-cpu)/n/float64(rounds), "server-cpu-us/component")
			b.ReportMetric((ownMicros()-own)/n/float64(rounds), "client-cpu-us/component")
		})
	}
}

// BenchmarkLargeSave saves 1 MB, beside what compares nothing.
func BenchmarkLargeSave(b *testing.B) {
	c, s := benchStore(b)
	data, version := make([]byte, 1<<20), uint64(0)
	for name, save := range map[string]func() error{
		"SETEX": func() error { return c.Set(ctx, "plain", data, time.Hour).Err() },
		"save": func() error {
			return s.Save(ctx, "large", &store.Snapshot{Epoch: 1, Version: version, WriteID: "w", Data: data})
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(1 << 20)
			b.ReportAllocs()
			cpu, own := cpuMicros(b, c), ownMicros()
			for b.Loop() {
				version++
				require.NoError(b, save())
			}
			b.ReportMetric((cpuMicros(b, c)-cpu)/float64(b.N), "server-cpu-us/save")
			b.ReportMetric((ownMicros()-own)/float64(b.N), "client-cpu-us/save")
		})
	}
}

func benchStore(b *testing.B) (*redis.Client, *redisstore.Store) {
	b.Helper()
	srv := redistest.Start(b)
	s, err := redisstore.Open(srv.URL(), redisstore.Options{TTL: time.Hour})
	require.NoError(b, err)
	b.Cleanup(func() { _ = s.Close() })
	return srv.Client(b), s
}

// benchSaves returns what saves each of n components again, rounds times.
func benchSaves(b *testing.B, s *redisstore.Store, n int) func(rounds, workers int) {
	data := make([]byte, 512)
	for i := range data {
		data[i] = byte(rand.IntN(256))
	}
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprint("c", i)
	}
	version := uint64(0)
	return func(rounds, workers int) {
		for range rounds {
			version++
			w := fmt.Sprintf("W%025d", version)
			spread(workers, n, func(i int) {
				if err := s.Save(ctx, ids[i], &store.Snapshot{Epoch: 1, Version: version, WriteID: w, Codec: "bin", SavedAt: time.Unix(1, 0), Data: data}); err != nil {
					b.Error(err)
				}
			})
		}
	}
}

// spread calls f for 0 to n-1 from workers goroutines.
func spread(workers, n int, f func(i int)) {
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < n; i += workers {
				f(i)
			}
		})
	}
	wg.Wait()
}

var (
	evalsha = regexp.MustCompile(`cmdstat_evalsha:calls=\d+,usec=(\d+)`)
	calls   = regexp.MustCompile(`cmdstat_evalsha:calls=(\d+)`)
	usedCPU = regexp.MustCompile(`used_cpu_(?:sys|user):([0-9.]+)`)
)

// scriptMicros returns how long the server of c has spent in scripts.
func scriptMicros(b *testing.B, c *redis.Client) float64 {
	return number(b, c, "commandstats", evalsha)
}

// cpuMicros returns how much processor time the server of c has used.
func cpuMicros(b *testing.B, c *redis.Client) float64 {
	return 1e6 * number(b, c, "cpu", usedCPU)
}

// number returns the sum of what matches in a section of INFO.
func number(b *testing.B, c *redis.Client, section string, re *regexp.Regexp) (sum float64) {
	b.Helper()
	for _, m := range re.FindAllStringSubmatch(c.Info(ctx, section).Val(), -1) {
		f, err := strconv.ParseFloat(m[1], 64)
		require.NoError(b, err)
		sum += f
	}
	return sum
}

// ownMicros returns how much processor time this process has used.
func ownMicros() float64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return float64(u.Utime.Sec+u.Stime.Sec)*1e6 + float64(u.Utime.Usec+u.Stime.Usec)
}
