package chart_test

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/durablestate/durable/bench/chart"
)

func draw(t *testing.T, c chart.Chart) string {
	t.Helper()
	var b strings.Builder
	if err := c.Write(&b); err != nil {
		t.Fatal(err)
	}
	d := xml.NewDecoder(strings.NewReader(b.String()))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return b.String()
		} else if err != nil {
			t.Fatalf("not well-formed: %v\n%s", err, b.String())
		}
	}
}

func TestChart_shows_every_bar_with_its_name_and_value(t *testing.T) {
	svg := draw(t, chart.Chart{Title: "a < b & c", Scale: "times faster", Bars: []chart.Bar{
		{Name: "by <hand>", Value: 1, Label: "1.00×"},
		{Name: strings.Repeat("ö", 100), Value: 526, Label: "526×", Ours: true},
		{Name: "nothing", Value: 0, Label: "0"},
	}})
	for _, want := range []string{"a &lt; b &amp; c", "by &lt;hand&gt;", "526×", `class="ours"`, "times faster", ">1,000<"} {
		if !strings.Contains(svg, want) {
			t.Errorf("no %q in %s", want, svg)
		}
	}
}

func TestChart_a_longer_bar_is_a_larger_value(t *testing.T) {
	one := draw(t, chart.Chart{Bars: []chart.Bar{{Value: 1}, {Value: 10}, {Value: 100}}})
	for _, want := range []string{`width="2.0"`, `width="195.0"`, `width="390.0"`} {
		if !strings.Contains(one, want) {
			t.Errorf("no bar of %s in %s", want, one)
		}
	}
}

func TestChart_without_bars_is_a_title(t *testing.T) {
	if svg := draw(t, chart.Chart{Title: "empty"}); !strings.Contains(svg, "empty") {
		t.Error(svg)
	}
}
