package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"time"

	"github.com/durablestate/durable/bench/report"
	"github.com/durablestate/durable/bench/rows"
)

const (
	beginMark = "<!-- bench: begin -->\n"
	endMark   = "<!-- bench: end -->"
)

// writeReport prints what was measured, also when the run ended early with err,
// and writes the files that were asked for when it did not.
func writeReport(f *flags, b *rows.Bench, err error) error {
	fmt.Print(b.Report.Markdown(""))
	if err != nil {
		return err
	}
	if f.results != "" {
		if err := b.Report.Keep(f.results); err != nil {
			return err
		}
	}
	if f.svg != "" {
		if err := b.Report.Draw(f.svg); err != nil {
			return err
		}
	}
	if f.markdown == "" {
		return nil
	}
	images := ""
	if f.svg != "" {
		rel, err := filepath.Rel(filepath.Dir(f.markdown), f.svg)
		if err != nil {
			return err
		}
		images = filepath.ToSlash(rel) + "/"
	}
	return replaceBetweenMarks(f.markdown, b.Report.Markdown(images))
}

// replaceBetweenMarks puts text between the marks of a file, or in place of all
// of it when it has none or does not exist.
func replaceBetweenMarks(path, text string) error {
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	before, rest, found := strings.Cut(string(old), beginMark)
	_, after, closed := strings.Cut(rest, endMark)
	if found && closed {
		text = before + beginMark + text + endMark + after
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

// profileFor is how long a case runs under the profiler, at least.
const profileFor = 2 * time.Second

// profiler writes a CPU profile, and allocation profiles before and after, of
// each sample that it is given: see them with
//
//	go tool pprof -top NAME.cpu
//	go tool pprof -top -sample_index=alloc_space -diff_base NAME.before NAME.after
func profiler(dir string) func(name string, sample func() error) error {
	return func(name string, sample func() error) (err error) {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		path := filepath.Join(dir, report.Slug(name))
		if err := writeAllocs(path + ".before"); err != nil {
			return err
		}
		out, err := os.Create(path + ".cpu")
		if err != nil {
			return err
		}
		defer out.Close()
		if err := pprof.StartCPUProfile(out); err != nil {
			return err
		}
		for start := time.Now(); err == nil && time.Since(start) < profileFor; {
			err = sample()
		}
		pprof.StopCPUProfile()
		if err != nil {
			return err
		}
		return writeAllocs(path + ".after")
	}
}

func writeAllocs(path string) error {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	runtime.GC() // the profile is as of the last collection
	return errors.Join(pprof.Lookup("allocs").WriteTo(out, 0), out.Close())
}

// host describes the machine.
func host() string {
	s := fmt.Sprintf("%d cores, %s/%s, %s, GOMAXPROCS %d", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(), runtime.GOMAXPROCS(0))
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, model, ok := strings.Cut(string(info), "model name\t: "); ok {
			model, _, _ = strings.Cut(model, "\n")
			s = model + ", " + s
		}
	}
	return s + time.Now().Format(", 2 January 2006")
}
