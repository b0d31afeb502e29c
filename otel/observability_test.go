package otel_test

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	prom "github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/otel"
)

const files = "../examples/observability/"

// exported returns the labels of every series that the module exports to
// Prometheus, by its name there.
func exported(t *testing.T) map[string]map[string]bool {
	registry := prom.NewRegistry()
	exporter, err := prometheus.New(prometheus.WithRegisterer(registry))
	require.NoError(t, err)
	tel, err := otel.New(&otel.Options{MeterProvider: metric.NewMeterProvider(metric.WithReader(exporter))})
	require.NoError(t, err)
	cp := durable.New(tel.Adapter(newStore()), nil)
	stop, err := tel.Observe(cp)
	require.NoError(t, err)
	defer func() { require.NoError(t, stop()) }()
	require.NoError(t, cp.Register("c", &counter{}))
	onEvent := tel.OnEvent(nil)
	for _, op := range []string{"save", "skip", "vanished", "restore", "fence", "spill"} {
		onEvent(durable.Event{Op: op})
		onEvent(durable.Event{Op: op, Err: durable.ErrFenced})
	}
	onEvent(durable.Event{Op: "lease", Version: 1})
	onEvent(durable.Event{Op: "lease", Version: 1, Err: durable.ErrClosed})
	_, _ = tel.Adapter(newStore()).LoadState(t.Context(), "c")

	families, err := registry.Gather()
	require.NoError(t, err)
	all := map[string]map[string]bool{}
	for _, f := range families {
		labels := map[string]bool{"job": true, "instance": true, "le": true}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = true
			}
			if m.Histogram != nil {
				for _, suffix := range []string{"_bucket", "_sum", "_count"} {
					all[f.GetName()+suffix] = labels
				}
			}
		}
		all[f.GetName()] = labels
	}
	return all
}

var (
	inString  = regexp.MustCompile(`"[^"]*"`)
	metricIn  = regexp.MustCompile(`\bdurable_[a-z_]+`)
	selectors = regexp.MustCompile(`\b(durable_[a-z_]+)\{([^}]*)\}`)
	grouping  = regexp.MustCompile(`\bby \(([^)]*)\)`)
)

// check compares the names in an expression with what is exported.
func check(t *testing.T, expr string, known map[string]map[string]bool) {
	bare := inString.ReplaceAllString(expr, `""`)
	labels := map[string]bool{}
	var names []string
	for _, group := range grouping.FindAllStringSubmatch(bare, -1) {
		for _, l := range strings.Split(group[1], ",") {
			labels[strings.TrimSpace(l)] = true
		}
	}
	for _, s := range selectors.FindAllStringSubmatch(bare, -1) {
		for _, l := range strings.Split(s[2], ",") {
			name := strings.TrimRight(strings.TrimSpace(l), `=!~"`)
			require.True(t, known[s[1]][name], "%s has no label %q: %s", s[1], name, expr)
		}
	}
	for _, name := range metricIn.FindAllString(grouping.ReplaceAllString(selectors.ReplaceAllString(bare, "$1"), ""), -1) {
		require.Contains(t, known, name, expr)
		names = append(names, name)
	}
	require.NotEmpty(t, names, expr)
	for l := range labels {
		require.True(t, slices.ContainsFunc(names, func(n string) bool { return known[n][l] }), "no metric has the label %q: %s", l, expr)
	}
}

type dashboard struct {
	Panels []struct {
		ID      int
		Title   string
		GridPos struct{ X, Y, W, H int }
		Targets []struct{ Expr, RefID string }
	}
}

func TestTheDashboardAsksOnlyForWhatIsExported(t *testing.T) {
	known := exported(t)
	b, err := os.ReadFile(files + "dashboard.json")
	require.NoError(t, err)
	var d dashboard
	require.NoError(t, json.Unmarshal(b, &d))
	require.NotEmpty(t, d.Panels)
	asked := map[string]bool{}
	ids := map[int]bool{}
	for _, p := range d.Panels {
		require.False(t, ids[p.ID], "two panels have the id %d", p.ID)
		ids[p.ID] = true
		require.LessOrEqual(t, p.GridPos.X+p.GridPos.W, 24, p.Title)
		require.NotEmpty(t, p.Targets, p.Title)
		for _, target := range p.Targets {
			check(t, target.Expr, known)
			for _, name := range metricIn.FindAllString(target.Expr, -1) {
				asked[name] = true
			}
		}
	}
	for name := range known {
		base := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(name, "_bucket"), "_sum"), "_count")
		if strings.HasPrefix(name, "durable_") {
			require.True(t, asked[base] || asked[base+"_bucket"] || asked[base+"_sum"] || asked[base+"_count"], "nobody sees %s", name)
		}
	}
}

var ruleExpr = regexp.MustCompile(`(?m)^\s+expr: (.*)$`)

func TestTheAlertsAskOnlyForWhatIsExported(t *testing.T) {
	b, err := os.ReadFile(files + "alerts.yaml")
	require.NoError(t, err)
	rules := ruleExpr.FindAllSubmatch(b, -1)
	require.Len(t, rules, strings.Count(string(b), "- alert: "))
	known := exported(t)
	for _, r := range rules {
		check(t, string(r[1]), known)
	}
}

func TestPromtoolEvaluatesTheAlerts(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil && os.Getenv("DURABLE_REQUIRE_REAL") == "1" {
		t.Fatal("needs promtool in PATH (DURABLE_REQUIRE_REAL=1)")
	} else if err != nil {
		t.Skip("SKIPPED: needs promtool in PATH to evaluate the alert rules")
	}
	for _, args := range [][]string{{"check", "rules", "alerts.yaml"}, {"test", "rules", "alerts_test.yaml"}} {
		cmd := exec.Command(promtool, args...)
		cmd.Dir = files
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
}

var alertName = regexp.MustCompile(`(?m)^      - alert: (\w+)$`)

func TestEveryAlertIsRaisedByAnExample(t *testing.T) {
	rules, err := os.ReadFile(files + "alerts.yaml")
	require.NoError(t, err)
	examples, err := os.ReadFile(files + "alerts_test.yaml")
	require.NoError(t, err)
	names := alertName.FindAllSubmatch(rules, -1)
	require.Len(t, names, strings.Count(string(rules), "- alert: "))
	for _, n := range names {
		require.Regexp(t, `alertname: `+string(n[1])+`\n +exp_alerts:\n +- exp_labels`, string(examples))
	}
}

func TestTheCheckRefusesWhatIsNotExported(t *testing.T) {
	known := exported(t)
	t.Logf("%v", slices.Sorted(maps.Keys(known)))
	for _, name := range []string{
		"durable_checkpoint_age_seconds", "durable_save_duration_seconds_bucket", "durable_save_size_bytes_sum", "durable_fences_total",
		"durable_components", "durable_state_size_bytes", "durable_status", "durable_adapter_operation_duration_seconds_count",
	} {
		require.Contains(t, known, name)
	}
	require.NotContains(t, known, "durable_checkpoint_age")
	require.False(t, known["durable_fences_total"]["durable_component_id"])
	require.True(t, known["durable_save_duration_seconds_bucket"]["error_type"])
}

var inDoc = regexp.MustCompile(`\bdurable\.[a-z_.]*[a-z]`)

func TestTheDocumentationNamesWhatIsExportedAndNothingElse(t *testing.T) {
	b, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	known := map[string]bool{}
	for name, labels := range exported(t) {
		for _, suffix := range []string{"_bucket", "_sum", "_count", "_total", "_seconds", "_bytes"} {
			name = strings.TrimSuffix(name, suffix)
		}
		known[name] = strings.HasPrefix(name, "durable_")
		for l := range labels {
			known[l] = strings.HasPrefix(l, "durable_")
		}
	}
	documented := map[string]bool{}
	for _, name := range inDoc.FindAllString(string(b), -1) {
		documented[strings.ReplaceAll(name, ".", "_")] = true
		require.True(t, known[strings.ReplaceAll(name, ".", "_")], "%s is not exported", name)
	}
	for name, ours := range known {
		require.True(t, !ours || documented[name], "%s is not documented", name)
	}
}
