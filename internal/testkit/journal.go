package testkit

import (
	"log/slog"
	"strings"
	"sync"

	"github.com/durablestate/durable"
)

// Journal collects events and log lines. Its methods are safe for concurrent use.
type Journal struct {
	mu     sync.Mutex
	Events []durable.Event // to be read when no more come
	lines  strings.Builder
}

func (j *Journal) event(e durable.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.Events = append(j.Events, e)
}

// Count returns how many events have that Op.
func (j *Journal) Count(op string) (n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range j.Events {
		if e.Op == op {
			n++
		}
	}
	return n
}

// Write takes log lines.
func (j *Journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.lines.Write(p)
}

// Text returns all log lines.
func (j *Journal) Text() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.lines.String()
}

// Options returns options whose events and log go to j.
func (j *Journal) Options() *durable.Options {
	return &durable.Options{Logger: slog.New(slog.NewTextHandler(j, nil)), OnEvent: j.event}
}

// Quiet returns options whose events and log nobody sees.
func Quiet() *durable.Options { return new(Journal).Options() }

// LineCount returns how often part stands in the log.
func (j *Journal) LineCount(part string) int { return strings.Count(j.Text(), part) }
