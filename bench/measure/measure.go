// Package measure times cases side by side: all in one process, interleaved, in
// rotated order, for several rounds. Cases are compared within a round, so that
// what changes from one round to the next, like the clock of a processor, hits
// both.
package measure

import (
	"fmt"
	"runtime"
	"syscall"
	"time"
)

// A Case is one way to do some work.
type Case struct {
	Name string
	Ops  int  // operations of one sample
	Ours bool // by this library: drawn in its colour, and profiled when asked

	Prepare func() error `json:"-"` // before every sample, not measured; may be nil
	Run     func() error `json:"-"` // one sample of Ops operations
}

// A Sample is what one round found out about a case.
type Sample struct {
	Wall, CPU   time.Duration // CPU is that of this process, not of servers
	Allocs      uint64
	Bytes       uint64 // allocated
	Flushes     uint64 // by the disk; those of other processes count too
	DeviceBytes uint64 // written to the disk, what was still waiting after the sample included
}

// A Result is a case with its samples, one for each round.
type Result struct {
	Case
	Samples []Sample
}

// A Table is the result of one Run.
type Table struct {
	Title   string
	Disk    bool // Flushes and DeviceBytes are known
	Results []Result
}

// Options of a Run.
type Options struct {
	Rounds int
	Disk   *Disk // whose writes are counted; nil counts none

	// Profile, if not nil, is called for each of our cases after the last
	// round. It runs the sample that it is given under a profiler.
	Profile func(name string, sample func() error) error
}

// Run measures cases. The first is the one that others are compared with by
// default.
func Run(title string, o Options, cases ...Case) (*Table, error) {
	t := &Table{Title: title, Disk: o.Disk != nil}
	for _, c := range cases {
		t.Results = append(t.Results, Result{Case: c})
	}
	for round := range o.Rounds {
		for i := range t.Results {
			r := &t.Results[(i+round)%len(t.Results)]
			s, err := sample(&r.Case, o.Disk)
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", title, r.Name, err)
			}
			r.Samples = append(r.Samples, s)
		}
	}
	return t, t.profile(o)
}

func (t *Table) profile(o Options) error {
	if o.Profile == nil {
		return nil
	}
	for i := range t.Results {
		c := &t.Results[i].Case
		if !c.Ours {
			continue
		}
		err := o.Profile(t.Title+" "+c.Name, func() error {
			if err := c.prepare(); err != nil {
				return err
			}
			return c.Run()
		})
		if err != nil {
			return fmt.Errorf("%s: %s: %w", t.Title, c.Name, err)
		}
	}
	return nil
}

func (c *Case) prepare() error {
	if c.Prepare == nil {
		return nil
	}
	return c.Prepare()
}

func sample(c *Case, disk *Disk) (s Sample, err error) {
	if err := c.prepare(); err != nil {
		return s, err
	}
	runtime.GC() // nobody pays for the garbage of the case before
	disk.settle()
	flushes, written := disk.read()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu, start := CPU(), time.Now()
	err = c.Run()
	s.Wall, s.CPU = time.Since(start), CPU()-cpu
	runtime.ReadMemStats(&after)
	s.Allocs, s.Bytes = after.Mallocs-before.Mallocs, after.TotalAlloc-before.TotalAlloc
	f, _ := disk.read()
	disk.settle() // what the sample left for later was written by it too
	_, w := disk.read()
	s.Flushes, s.DeviceBytes = f-flushes, w-written
	return s, err
}

// CPU returns the processor time that this process has used.
func CPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
