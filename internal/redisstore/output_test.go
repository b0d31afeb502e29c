package redisstore_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// passwords are those that this suite uses, in the spellings they may be printed in.
var passwords = []string{"s3cr", "p@ss", url.QueryEscape("p@ss"), ">pw", "app:pw"}

// output is everything that the suite and the Redis client print.
type output struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all.Write(p)
}

// Printf takes what the client logs: dials fail on purpose here, so it is
// searched and not shown.
func (o *output) Printf(_ context.Context, format string, args ...any) {
	fmt.Fprintf(o, format+"\n", args...)
}

// leak returns the line that holds a password, empty if none does.
func (o *output) leak() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, p := range passwords {
		if i := bytes.Index(o.all.Bytes(), []byte(p)); i >= 0 {
			from := bytes.LastIndexByte(o.all.Bytes()[:i], '\n') + 1
			return string(o.all.Bytes()[from:min(i+200, o.all.Len())])
		}
	}
	return ""
}

// searched runs run and fails when a password was printed meanwhile.
func searched(run func() int) int {
	o := &output{}
	redis.SetLogger(o)
	stdout, stderr := os.Stdout, os.Stderr
	var copying sync.WaitGroup
	through := func(to *os.File) *os.File {
		r, w, err := os.Pipe()
		if err != nil {
			panic(err)
		}
		copying.Go(func() { _, _ = io.Copy(io.MultiWriter(to, o), r) })
		return w
	}
	out, err := through(stdout), through(stderr)
	os.Stdout, os.Stderr = out, err
	code := run()
	os.Stdout, os.Stderr = stdout, stderr
	_ = out.Close() // not os.Stdout: package testing may have put another in its place
	_ = err.Close()
	within(10*time.Second, copying.Wait)
	if line := o.leak(); line != "" {
		fmt.Fprintln(stderr, "FAIL: a password was printed:", line)
		return 1
	}
	return code
}

// within waits for wait, but not for ever: a process that outlives its test may
// still hold the other end.
func within(limit time.Duration, wait func()) {
	done := make(chan struct{})
	go func() { defer close(done); wait() }()
	select {
	case <-done:
	case <-time.After(limit):
	}
}
