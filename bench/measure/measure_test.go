package measure_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/durablestate/durable/bench/measure"
)

func TestRun_interleaves_the_cases_in_rotated_order(t *testing.T) {
	var order []string
	note := func(name string) measure.Case {
		return measure.Case{Name: name, Ops: 1, Run: func() error { order = append(order, name); return nil }}
	}
	if _, err := measure.Run("t", measure.Options{Rounds: 3}, note("a"), note("b"), note("c")); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(order, ""); got != "abcbcacab" {
		t.Errorf("the order was %s", got)
	}
}

func TestRun_prepares_before_each_sample_and_ends_with_the_first_error(t *testing.T) {
	var order []string
	fault := errors.New("fault")
	_, err := measure.Run("t", measure.Options{Rounds: 2}, measure.Case{
		Name: "a", Ops: 1,
		Prepare: func() error { order = append(order, "prepare"); return nil },
		Run: func() error {
			order = append(order, "run")
			if len(order) == 4 {
				return fault
			}
			return nil
		},
	})
	if !errors.Is(err, fault) || !slices.Equal(order, []string{"prepare", "run", "prepare", "run"}) {
		t.Errorf("%v %v", err, order)
	}
}

func TestRun_profiles_our_cases_only(t *testing.T) {
	var names []string
	nothing := func() error { return nil }
	_, err := measure.Run("t", measure.Options{Rounds: 1, Profile: func(name string, sample func() error) error {
		names = append(names, name)
		return sample()
	}}, measure.Case{Name: "theirs", Ops: 1, Run: nothing}, measure.Case{Name: "ours", Ours: true, Ops: 1, Run: nothing})
	if err != nil || !slices.Equal(names, []string{"t ours"}) {
		t.Errorf("%v %v", names, err)
	}
}

func table(a, b []int64) *measure.Table {
	t := &measure.Table{Title: "t"}
	for i, walls := range [][]int64{a, b} {
		r := measure.Result{Case: measure.Case{Name: string(rune('a' + i)), Ops: 10}}
		for _, w := range walls {
			r.Samples = append(r.Samples, measure.Sample{Wall: time.Duration(w)})
		}
		t.Results = append(t.Results, r)
	}
	return t
}

func TestTable_compares_round_by_round(t *testing.T) {
	tab := table([]int64{1000, 2000, 4000}, []int64{500, 200, 4000})
	if got, want := tab.Ratio("a", "b"), (measure.Spread{Median: 2, Min: 1, Max: 10}); got != want {
		t.Errorf("the ratio is %v, not %v", got, want)
	}
	if got, want := tab.Difference("a", "b"), (measure.Spread{Median: -50, Min: -180, Max: 0}); got != want {
		t.Errorf("the difference is %v, not %v", got, want)
	}
}

func TestSpread_of_an_even_number_is_between_the_middle_two(t *testing.T) {
	if got, want := measure.SpreadOf([]float64{4, 1, 3, 2}), (measure.Spread{Median: 2.5, Min: 1, Max: 4}); got != want {
		t.Errorf("%v, not %v", got, want)
	}
	if got := measure.SpreadOf(nil); got != (measure.Spread{}) {
		t.Errorf("%v of nothing", got)
	}
}

func TestRun_counts_what_reaches_the_disk(t *testing.T) {
	dir := t.TempDir()
	disk := measure.DiskOf(dir)
	if disk == nil {
		t.Skip("SKIPPED: the system does not tell what this disk does")
	}
	const size = 4 << 20
	got, err := measure.Run("t", measure.Options{Rounds: 1, Disk: disk}, measure.Case{Name: "a", Ops: 1, Run: func() error {
		return os.WriteFile(filepath.Join(dir, "file"), make([]byte, size), 0o600)
	}})
	if err != nil {
		t.Fatal(err)
	}
	if n := got.Results[0].Samples[0].DeviceBytes; n < size {
		t.Errorf("%d bytes of %d were counted", n, size)
	}
}
