package rows

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/durablestate/durable/bench/measure"
)

// Some rows are about the memory of a whole process, so each of their samples is
// a process of its own.

// facts is what a child tells, by name.
type facts map[string]float64

// Child does the work of a child process: args are its kind and what that needs.
// It writes what it found out to w.
func Child(ctx context.Context, w io.Writer, args []string) error {
	kinds := map[string]func(context.Context, []string) (facts, error){
		"memory": childMemory, "idle": childIdle, "open": childOpen,
	}
	if len(args) == 0 || kinds[args[0]] == nil {
		return fmt.Errorf("no such child: %q", args)
	}
	found, err := kinds[args[0]](ctx, args[1:])
	if err != nil {
		return err
	}
	return json.NewEncoder(w).Encode(found)
}

// child runs a child process.
func (b *Bench) child(args ...string) (facts, error) {
	args = append(b.Child[1:len(b.Child):len(b.Child)], args...)
	cmd := exec.CommandContext(b.ctx, b.Child[0], args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%v: %w: %s", args, err, stderr.String())
	}
	found := facts{}
	return found, json.Unmarshal(out, &found)
}

// children runs each of kinds once a round, in rotated order.
func (b *Bench) children(kinds ...[]string) ([][]facts, error) {
	found := make([][]facts, len(kinds))
	for round := range b.Rounds {
		for i := range kinds {
			i = (i + round) % len(kinds)
			f, err := b.child(kinds[i]...)
			if err != nil {
				return nil, err
			}
			found[i] = append(found[i], f)
		}
	}
	return found, nil
}

func spreadOf(samples []facts, name string) measure.Spread {
	var values []float64
	for _, f := range samples {
		values = append(values, f[name])
	}
	return measure.SpreadOf(values)
}

// resident returns what /proc/self/status tells in kilobytes under name, in
// bytes.
func resident(name string) float64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), name+":")
	line, _, _ := strings.Cut(rest, "\n")
	kb, _ := strconv.ParseFloat(strings.Fields(line + " 0 kB")[0], 64)
	return kb * 1024
}

// resetPeak makes VmHWM begin from what is resident now.
func resetPeak() error { return os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) }

// heap returns the bytes in use after a collection.
func heap() float64 {
	runtime.GC()
	runtime.GC() // what had finalizers
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

func number(args []string, i int) (int, error) {
	if i >= len(args) {
		return 0, fmt.Errorf("argument %d is missing", i+1)
	}
	return strconv.Atoi(args[i])
}

// wait waits for d unless ctx ends.
func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
