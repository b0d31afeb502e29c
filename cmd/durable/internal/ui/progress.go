package ui

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

const (
	redraw  = 100 * time.Millisecond // of a terminal
	rewrite = 2 * time.Second        // of anything else, which keeps every line
	barCols = 24
)

// Progress shows how far a long command is. It is safe for concurrent use.
type Progress struct {
	w        io.Writer // nil: silent
	terminal bool
	what     string
	total    int

	mu          sync.Mutex
	done        int
	bytes       int64
	start, last time.Time
	shown       bool
}

// Progress begins to show the progress of total steps.
func (t *Terminal) Progress(what string, total int) *Progress {
	p := &Progress{w: t.Err, terminal: IsTerminal(t.Err), what: what, total: total, start: time.Now()}
	if t.Quiet {
		p.w = nil
	}
	p.last = p.start
	return p
}

// Step counts one step of n bytes.
func (p *Progress) Step(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done++
	p.bytes += n
	every := rewrite
	if p.terminal {
		every = redraw
	}
	if now := time.Now(); p.w != nil && now.Sub(p.last) >= every {
		p.last, p.shown = now, true
		p.draw(now)
	}
}

// End clears the bar. On anything but a terminal it leaves a last line if there
// was one before.
func (p *Progress) End() {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.w == nil || !p.shown:
	case p.terminal:
		fmt.Fprint(p.w, "\r\x1b[K")
	default:
		p.draw(time.Now())
	}
}

func (p *Progress) draw(now time.Time) {
	line := p.line(now.Sub(p.start))
	if p.terminal {
		fmt.Fprintf(p.w, "\r%s\x1b[K", line)
	} else {
		fmt.Fprintln(p.w, line)
	}
}

func (p *Progress) line(elapsed time.Duration) string {
	share := 1.0
	if p.total > 0 {
		share = min(1, float64(p.done)/float64(p.total))
	}
	full := int(share * barCols)
	bar := strings.Repeat("#", full) + strings.Repeat(".", barCols-full)
	left := ""
	if p.done > 0 && p.done < p.total {
		left = ", " + Age(time.Duration(float64(elapsed)/float64(p.done)*float64(p.total-p.done))) + " left"
	}
	return fmt.Sprintf("%s [%s] %d/%d, %s, %s%s", p.what, bar, p.done, p.total, Size(p.bytes), Age(elapsed), left)
}
