package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/durablestate/durable"
)

// component is what the harness knows of its components.
type component interface {
	Name() string
	Setup()                    // before Restore, which would otherwise be undone
	Process(*transaction) bool // false: it goes no further. Safe for concurrent use
	Cleanup()                  // after the final checkpoint
}

// stateful is a component with state.
type stateful interface {
	component
	durable.Component
	// Audit returns how much the component has done in all its lives, and
	// what is wrong with its state.
	Audit() (total int64, err error)
}

// named does nothing; components embed it and add what they do.
type named string

func (n named) Name() string              { return string(n) }
func (n named) Setup()                    {}
func (n named) Process(*transaction) bool { return true }
func (n named) Cleanup()                  {}

// pipeline is the harness.
type pipeline struct {
	f        flags
	log      *slog.Logger
	consumer *kafkaConsumer
	api      *fraudAPI
	steps    []component // in the order of processing

	unit       func(fn func()) // runs one unit of work
	consistent bool            // all components are restored as one

	mu     sync.Mutex
	report *durable.Report
	first  map[string]int64 // totals as they were restored
}

func newPipeline(f flags, log *slog.Logger) *pipeline {
	p := &pipeline{
		f:        f,
		log:      log,
		consumer: &kafkaConsumer{named: "kafka_consumer", seed: f.seed},
		first:    map[string]int64{},
		unit:     func(fn func()) { fn() },
	}
	rules := &ruleEngine{named: "rule_engine"}
	p.api = &fraudAPI{named: "fraud_api", rules: rules}
	p.steps = []component{
		p.consumer,
		&validator{named: "validator"},
		&normalizer{named: "normalizer"},
		&enricher{named: "enricher"},
		rules,
		&fraudScorer{named: "fraud_scorer"},
		&riskAggregator{named: "risk_aggregator"},
		&alertRouter{named: "alert_router"},
		&transactionStore{named: "transaction_store"},
		&metrics{named: "metrics"},
		&auditSink{named: "audit_sink", log: log},
		&dashboard{named: "dashboard", log: log},
		p.api,
	}
	return p
}

func (p *pipeline) setup() {
	for _, c := range p.steps {
		c.Setup()
	}
}

func (p *pipeline) cleanup() {
	for _, c := range p.steps {
		c.Cleanup()
	}
}

// stateful returns the components with state.
func (p *pipeline) stateful() (list []stateful) {
	for _, c := range p.steps {
		if s, ok := c.(stateful); ok {
			list = append(list, s)
		}
	}
	return list
}

func (p *pipeline) register(cp *durable.Checkpointer) error {
	p.unit = cp.Do
	for _, c := range p.stateful() {
		if err := cp.Register(c.Name(), c); err != nil {
			return err
		}
	}
	return nil
}

// restored notes what was restored and refuses to go on with wrong state.
func (p *pipeline) restored(report durable.Report) error {
	totals, err := p.audit()
	if err == nil && p.consistent {
		err = agree(totals)
	}
	if err != nil {
		return fmt.Errorf("restored state is wrong: %w", err)
	}
	p.mu.Lock()
	p.report, p.first = &report, totals
	p.mu.Unlock()
	p.log.Info("restored", "clean_shutdown", report.CleanShutdown, "predecessor", report.Predecessor, "totals", totals)
	return nil
}

// audit returns the totals of all components and what is wrong with any.
func (p *pipeline) audit() (totals map[string]int64, err error) {
	totals = map[string]int64{}
	for _, c := range p.stateful() {
		total, wrong := c.Audit()
		totals[c.Name()] = total
		if v, ok := c.(*validator); ok {
			v.View(func(s *validations) { totals["accepted"] = s.Accepted })
		}
		if wrong != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", c.Name(), wrong))
		}
	}
	return totals, err
}

// agree says which components disagree. It is for moments at which no transaction
// is under way.
func agree(totals map[string]int64) error {
	for _, pair := range [][2]string{
		{"kafka_consumer", "validator"}, // every transaction behind the offsets was seen
		{"accepted", "fraud_scorer"},    // and what was accepted is everywhere
		{"accepted", "risk_aggregator"},
		{"accepted", "transaction_store"},
		{"accepted", "metrics"},
	} {
		if a, b := totals[pair[0]], totals[pair[1]]; a != b {
			return fmt.Errorf("%s has %d transactions and %s has %d", pair[0], a, pair[1], b)
		}
	}
	return nil
}

// close takes the final checkpoint.
func (p *pipeline) close(cp *durable.Checkpointer) error {
	totals, _ := p.audit()
	windows := p.windows()
	err := cp.Close()
	if err == nil {
		p.log.Info("closed", "totals", totals, "windows", windows)
	}
	return err
}

const (
	workers = 4
	buffer  = 100 // transactions that wait for a worker
)

// process reads transactions until ctx ends or enough were read, and returns
// when all that were read are processed. A partition belongs to one worker, so
// that its offsets only grow.
func (p *pipeline) process(ctx context.Context) {
	var wg sync.WaitGroup
	queues := make([]chan *transaction, workers)
	for i := range queues {
		queue := make(chan *transaction, buffer)
		queues[i] = queue
		wg.Go(func() {
			for t := range queue {
				p.handle(t)
			}
		})
	}
	n := p.consumer.Read(ctx, p.f, func(t *transaction) { queues[t.Partition%workers] <- t })
	p.log.Info("input stopped, draining", "read", n, "cause", context.Cause(ctx))
	for _, queue := range queues {
		close(queue)
	}
	wg.Wait()
}

// handle is one unit of work: no checkpoint has a part of what a transaction did.
func (p *pipeline) handle(t *transaction) {
	p.unit(func() {
		for _, c := range p.steps {
			if !c.Process(t) {
				break
			}
		}
		p.consumer.Done(t) // last: without consistent a transaction that a crash interrupts is read again
	})
}

// windows names the counts of all windows.
func (p *pipeline) windows() (sum string) {
	for _, c := range p.steps {
		if a, ok := c.(*riskAggregator); ok {
			sum = a.Sum()
		}
	}
	return sum
}
