package main

import (
	"encoding/json"
	"log/slog"
	"os"
	"time"

	"github.com/durablestate/durable"
)

// message is one line from the counting process to the one that watches it.
type message struct {
	Restored *restored `json:",omitempty"` // the first message
	Offset   int       // bytes counted so far
	Saves    uint64    // checkpoints taken by this process
}

// restored is what the counting process found when it started.
type restored struct {
	Outcome durable.Outcome
	Version uint64
	Age     time.Duration
}

// quiet drops what the library logs, because the parent tells it better.
var quiet = slog.New(slog.DiscardHandler)

// watcher tells the parent how far the child is, and slows it down so that the
// kills hit the middle of the work.
type watcher struct {
	out    *json.Encoder
	pace   time.Duration // for the whole text
	length int           // of the text
	begin  time.Time
	from   int // offset at begin
	told   time.Time
}

func newWatcher(pace time.Duration, length int) *watcher {
	return &watcher{out: json.NewEncoder(os.Stdout), pace: pace, length: length}
}

func (w *watcher) restored(r durable.Report, offset int) {
	w.begin, w.from = time.Now(), offset
	res, _ := r.Component(component)
	w.tell(message{Restored: &restored{res.Outcome, res.Version, res.Age}, Offset: offset})
}

func (w *watcher) progress(offset int, cp *durable.Checkpointer) {
	done := float64(offset-w.from) / float64(w.length)
	ahead := time.Duration(done*float64(w.pace)) - time.Since(w.begin)
	if ahead > time.Millisecond {
		time.Sleep(ahead)
	}
	if now := time.Now(); now.Sub(w.told) > 10*time.Millisecond || offset == w.length {
		w.told = now
		w.tell(message{Offset: offset, Saves: cp.Status()[0].Saves})
	}
}

// tell ends the process when nobody listens any more.
func (w *watcher) tell(m message) {
	if w.out.Encode(m) != nil {
		os.Exit(1)
	}
}
