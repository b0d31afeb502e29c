package main

import (
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
)

// processedPipeline returns a pipeline that has processed some transactions.
func processedPipeline(t *testing.T, n int64) *pipeline {
	t.Helper()
	p := newPipeline(flags{seed: 7, max: n}, slog.New(slog.DiscardHandler))
	p.setup()
	p.process(t.Context())
	return p
}

func find[C component](p *pipeline) C {
	for _, s := range p.steps {
		if c, ok := s.(C); ok {
			return c
		}
	}
	panic("no such component")
}

func TestPipeline_has_13_components_8_of_them_with_state(t *testing.T) {
	p := newPipeline(flags{}, slog.New(slog.DiscardHandler))
	names := map[string]bool{}
	for _, c := range p.steps {
		names[c.Name()] = true
	}
	require.Len(t, names, 13)
	require.Len(t, p.stateful(), 8)
}

func TestPipeline_processes_every_transaction_once_without_a_crash(t *testing.T) {
	const n = 30_000
	p := processedPipeline(t, n)
	totals, err := p.audit()
	require.NoError(t, err)
	require.EqualValues(t, n, totals["kafka_consumer"])
	require.EqualValues(t, n, totals["validator"])
	accepted := totals["fraud_scorer"]
	require.Less(t, accepted, int64(n))
	for _, name := range []string{"risk_aggregator", "transaction_store", "metrics"} {
		require.Equal(t, accepted, totals[name], name)
	}
	require.Positive(t, totals["alert_router"])
	find[*riskAggregator](p).View(func(w *windows) { require.Positive(t, w.Closed) })
	find[*transactionStore](p).View(func(l *ledger) { require.Equal(t, storedTransactions, len(l.Ring)) })
	find[*alertRouter](p).View(func(a *alerts) { require.Equal(t, recentAlerts, len(a.Recent)) })
}

func TestPipeline_generates_the_same_transactions_from_the_same_seed(t *testing.T) {
	require.Equal(t, generate(1, 5, 77), generate(1, 5, 77))
	require.NotEqual(t, generate(1, 5, 77).Amount, generate(2, 5, 77).Amount)
	require.NotEqual(t, generate(1, 5, 77).Amount, generate(1, 6, 77).Amount)
}

func TestAudit_finds_what_is_wrong(t *testing.T) {
	for name, spoil := range map[string]func(p *pipeline){
		"kafka_consumer": func(p *pipeline) { p.consumer.Update(func(o *offsets) { o.Next[3]-- }) },
		"validator":      func(p *pipeline) { find[*validator](p).Update(func(v *validations) { v.Accepted++ }) },
		"rule_engine": func(p *pipeline) {
			p.api.rules.Update(func(r *rules) { r.Blocked = []string{"a", "a"}; r.Version = 2 })
		},
		"fraud_scorer":    func(p *pipeline) { find[*fraudScorer](p).Update(func(m *model) { delete(m.Users, "user-0001") }) },
		"risk_aggregator": func(p *pipeline) { find[*riskAggregator](p).Update(func(w *windows) { w.Open = w.Open[1:] }) },
		"alert_router": func(p *pipeline) {
			find[*alertRouter](p).Update(func(a *alerts) { a.Recent[1] = a.Recent[0]; a.InitState() })
		},
		"transaction_store": func(p *pipeline) {
			find[*transactionStore](p).Update(func(l *ledger) { l.Ring[5], l.Ring[6] = l.Ring[6], l.Ring[5] })
		},
		"metrics": func(p *pipeline) { find[*metrics](p).Update(func(n *map[string]int64) { (*n)["passed"]-- }) },
	} {
		p := processedPipeline(t, 20_000)
		spoil(p)
		_, err := p.audit()
		require.ErrorContains(t, err, name)
	}
}
