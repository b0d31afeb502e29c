package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/durablestate/durable"
)

// show runs the counter as a child process, kills it, starts it again, and
// compares what is stored in the end with an uninterrupted run.
func show(ctx context.Context, s *settings, text string) error {
	clean, err := s.prepare(ctx)
	if err != nil {
		return err
	}
	defer clean()
	d := newDisplay(len(text))
	d.title(s)
	if err := s.lives(ctx, d); err != nil {
		return err
	}
	return s.compare(ctx, d, text)
}

// prepare names the run and the store. clean removes what a run leaves behind,
// also after an interrupt.
func (s *settings) prepare(ctx context.Context) (clean func(), err error) {
	s.system = "quickstart-" + strings.ToLower(rand.Text()[:8])
	if s.seed == 0 {
		s.seed = mathrand.Uint64()
	}
	switch {
	case os.Getenv("REDIS_URL") != "":
		return func() { s.remove(context.WithoutCancel(ctx)) }, s.reach(ctx)
	case s.dir != "":
		s.keep = true
		return func() {}, nil
	}
	s.dir, err = os.MkdirTemp("", "durable-quickstart-")
	return func() { os.RemoveAll(s.dir) }, err
}

// reach reports what keeps the store from answering.
func (s *settings) reach(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	adapter, err := s.open(ctx)
	if err == nil {
		_, err = adapter.LoadState(ctx, s.system+"/"+component)
		err = errors.Join(err, adapter.Close())
	}
	if errors.Is(err, durable.ErrNotFound) {
		return nil
	}
	return fmt.Errorf("REDIS_URL is set, but the server cannot be used: %w. Without REDIS_URL the state goes to files", err)
}

// remove deletes the run's state from a store that others use too. What stays is
// the fence and the lease, a few bytes, which outlive it so that nothing late can bring
// it back.
func (s *settings) remove(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	adapter, err := s.open(ctx)
	if err == nil {
		err = errors.Join(adapter.DeleteState(ctx, s.system+"/"+component), adapter.Close())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "quickstart: the state was not removed:", err)
	}
}

// lives runs one child after the other, until one comes to the end of the text.
func (s *settings) lives(ctx context.Context, d *display) error {
	random := mathrand.New(mathrand.NewPCG(s.seed, 0))
	for life := 0; ; life++ {
		killAt := d.length + 1 // never
		if life < s.kills {
			part := float64(life) + 0.3 + 0.6*random.Float64()
			killAt = int(part / float64(s.kills+1) * float64(d.length))
		}
		finished, err := s.life(ctx, d, killAt, random)
		if err != nil || finished {
			return err
		}
	}
}

// life runs one child and kills it at a random moment after it has passed killAt
// and taken a checkpoint.
func (s *settings) life(ctx context.Context, d *display, killAt int, random *mathrand.Rand) (finished bool, err error) {
	child, out, err := s.start(ctx)
	if err != nil {
		return false, err
	}
	messages := json.NewDecoder(out)
	killed := false
	for {
		var m message
		if err := messages.Decode(&m); err != nil {
			break // the child ended, or was killed while it wrote
		}
		d.take(m)
		if m.Offset >= killAt && m.Offset < d.length && m.Saves > 0 && !killed {
			killed = true
			time.Sleep(time.Duration(random.Int64N(int64(s.options().Interval))))
			err := child.Process.Kill() // SIGKILL: the child cannot do anything about it
			if err != nil && !errors.Is(err, os.ErrProcessDone) {
				return false, fmt.Errorf("cannot kill the counting process: %w", err)
			}
		}
	}
	io.Copy(io.Discard, out)
	err = child.Wait()
	switch {
	case ctx.Err() != nil:
		return false, errors.New("interrupted")
	case err == nil:
		d.finished()
		return true, nil
	case killed:
		d.killed()
		return false, nil
	}
	return false, fmt.Errorf("the counting process failed: %w", err)
}

// start starts this program again as the child.
func (s *settings) start(ctx context.Context) (*exec.Cmd, io.Reader, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	child := exec.CommandContext(ctx, self, "-child", s.system, "-input", s.input, "-dir", s.dir, "-pace", s.pace.String())
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	return child, out, child.Start()
}

// compare restores what the children left and counts the text once more without
// any interruption.
func (s *settings) compare(ctx context.Context, d *display, text string) error {
	stored, err := s.stored(ctx)
	if err != nil {
		return err
	}
	straight := &WordCounter{}
	for line := range strings.Lines(text) {
		straight.CountLine(line)
	}
	killed, uninterrupted := summarise(stored), summarise(straight)
	d.result(s, killed, uninterrupted)
	if killed != uninterrupted {
		return errors.New("the results differ. This must not happen: please report it, with the output above")
	}
	if s.keep {
		d.line("The state stays in %s.", s.dir)
	}
	return nil
}

// stored returns a counter restored from the store.
func (s *settings) stored(ctx context.Context) (*WordCounter, error) {
	adapter, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	defer adapter.Close()
	opts := s.options()
	opts.Restore = durable.RestoreRequired
	words := &WordCounter{}
	cp := durable.New(adapter, opts)
	if err := cp.Register(component, words); err != nil {
		return nil, err
	}
	_, err = cp.Restore(ctx)
	return words, errors.Join(err, cp.Close())
}
