// Harness is a fraud-detection pipeline of 13 components, 8 of which have state
// that survives crashes, restarts and shutdowns. It shows where the calls of
// durable go in a program that owns components: run, below, is the whole story.
//
// The transactions are simulated: the log that kafka_consumer reads has 64
// partitions and is generated from a seed, so that what was read before a crash
// can be read again. A transaction is one unit of work: all components and the
// offset behind it are saved in one consistent cut, so that after a crash their
// totals agree and every transaction is counted once.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"

	_ "embed"

	"github.com/durablestate/durable"
)

//go:embed config.yaml
var defaultConfig []byte

type flags struct {
	config string
	listen string
	probes string
	rate   int
	max    int64
	until  int64
	seed   uint64
}

func main() {
	var f flags
	flag.StringVar(&f.config, "config", "", "YAML `file` with a state_persistence block; default the built-in examples/harness/config.yaml")
	flag.StringVar(&f.listen, "listen", "127.0.0.1:8080", "`address` for /healthz, /readyz, /status, /invariants and /rules")
	flag.StringVar(&f.probes, "probes", "", "second `address` such as :8081, for /healthz, /readyz and /status alone, which others may reach; default none")
	flag.IntVar(&f.rate, "rate", 1000, "transactions per second; 0 is as fast as possible")
	flag.Int64Var(&f.max, "max", 0, "stop after this many transactions; 0 is never")
	flag.Int64Var(&f.until, "until", 0, "stop when every partition is read up to this `offset`; 0 is never")
	flag.Uint64Var(&f.seed, "seed", 1, "chooses the simulated transactions")
	flag.Parse()

	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if err := run(ctx, f, log); err != nil {
		log.Error("failed", "error", err)
		os.Exit(1)
	}
}

// run is the life of the process. The order is what matters: set up, restore,
// start, process; then stop the input, drain, close, clean up.
func run(ctx context.Context, f flags, log *slog.Logger) (err error) {
	cfg, err := loadConfig(f.config)
	if err != nil {
		return err
	}
	l, err := listen(f.listen)
	if err != nil {
		return err
	}
	defer l.Close()
	open, err := listenProbes(f.probes)
	if err != nil {
		return err
	}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	cfg.Options.Logger = log
	cfg.Options.OnEvent = func(e durable.Event) {
		if errors.Is(e.Err, durable.ErrFenced) { // a successor took over: nothing can be saved any more
			fail(e.Err)
		}
	}
	cp, err := cfg.Open(ctx)
	if err != nil {
		return err
	}

	p := newPipeline(f, log)
	p.consistent = cfg.Options.Consistent
	p.setup()
	defer p.cleanup() // last: it empties what Close saves
	servers := serve(ctx, l, open, p, cp)
	defer servers.close()                                  // probes get answers from before Restore until after Close
	defer func() { err = errors.Join(err, p.close(cp)) }() // the workers are quiet by now

	if err := p.register(cp); err != nil {
		return err
	}
	report, err := cp.Restore(ctx)
	if ctx.Err() != nil {
		return fenced(ctx) // told to stop while it waited
	}
	if err != nil {
		return fmt.Errorf("not started: %w", err)
	}
	if err := p.restored(report); err != nil {
		return err
	}
	if err := cp.Start(); err != nil {
		return err
	}
	p.process(ctx) // returns when the input has ended and the workers are drained
	return fenced(ctx)
}

// fenced says why ctx ended, unless that was in order.
func fenced(ctx context.Context) error {
	if cause := context.Cause(ctx); errors.Is(cause, durable.ErrFenced) {
		return fmt.Errorf("stopped: %w", cause)
	}
	return nil
}

func loadConfig(path string) (*durable.Config, error) {
	if path == "" {
		return durable.ParseConfig(defaultConfig)
	}
	return durable.LoadConfig(path)
}

// listen refuses addresses that others can reach: /rules asks for no password.
func listen(address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("-listen: %w", err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("-listen %s: must be a loopback address such as 127.0.0.1:8080", address)
	}
	return net.Listen("tcp", address)
}

// listenProbes listens where a kubelet can ask, nil for no address.
func listenProbes(address string) (net.Listener, error) {
	if address == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("-probes: %w", err)
	}
	return l, nil
}
