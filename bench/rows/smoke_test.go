package rows_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/durablestate/durable/bench/peers/peer"
	"github.com/durablestate/durable/bench/redisd"
	"github.com/durablestate/durable/bench/rows"
)

// The test binary is its own child: see rows.Options.Child.
func TestMain(m *testing.M) {
	if os.Getenv("DURABLE_BENCH_CHILD") == "" {
		os.Exit(m.Run())
	}
	if err := rows.Child(context.Background(), os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// kept is a peer that keeps nothing on a disk.
type kept struct {
	mu     sync.Mutex
	values map[string]string
}

func (k *kept) Put(key string, value []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.values[key] == string(value) {
		return fmt.Errorf("%s was put again without a change: that measures nothing", key)
	}
	k.values[key] = string(value)
	return nil
}

func (k *kept) Close() error { return nil }

func run(t *testing.T, chosen ...int) (*rows.Bench, string) {
	t.Helper()
	t.Setenv("DURABLE_BENCH_CHILD", "1")
	open := func(string) (peer.Store, error) { return &kept{values: map[string]string{}}, nil }
	var log bytes.Buffer
	b := &rows.Bench{Options: rows.Options{
		Dir: t.TempDir(), Rounds: 2, Quick: true, Rows: chosen, Log: &log, Child: []string{os.Args[0]},
		Peers: []peer.Peer{{Name: peer.Raft, Open: open, OneOnly: true}, {Name: peer.Pebble, Open: open, Costly: 1}},
	}}
	if err := b.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b, log.String()
}

// claimed counts the claims of each row.
func claimed(b *rows.Bench) map[int]int {
	n := map[int]int{}
	for _, c := range b.Report.Claims {
		n[c.Row]++
		if c.Reached.Median == 0 && c.Row != 13 && c.Row != 16 {
			n[-c.Row]++ // nothing was measured
		}
	}
	return n
}

func TestRows_without_a_server_are_measured_and_judged(t *testing.T) {
	b, _ := run(t, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17)
	got := claimed(b)
	for row := 8; row <= 17; row++ {
		if skipped(b, row) {
			continue
		}
		if got[row] == 0 {
			t.Errorf("row %d makes no claim", row)
		}
		if row != 12 && got[-row] > 0 { // a quick run may be too quick for the disk
			t.Errorf("row %d reached 0", row)
		}
	}
}

func skipped(b *rows.Bench, row int) bool {
	for _, s := range b.Report.Sections {
		if strings.HasPrefix(s.Text, fmt.Sprintf("Row %d was skipped", row)) {
			return true
		}
	}
	return false
}

func TestRows_about_redis_are_measured_and_judged(t *testing.T) {
	if !redisd.Available() {
		t.Skip("SKIPPED: needs redis-server in PATH")
	}
	b, _ := run(t, 1, 2, 3, 4, 5, 6, 7)
	got := claimed(b)
	for row := 1; row <= 7; row++ {
		if got[row] == 0 || got[-row] > 0 {
			t.Errorf("row %d: %d claims, of which %d are empty", row, got[row], got[-row])
		}
	}
}

func TestRows_about_redis_are_skipped_loudly_without_a_server(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	b, log := run(t, 6)
	if len(b.Report.Claims) > 0 || !strings.Contains(log, "SKIPPED") || !strings.Contains(b.Report.Markdown(""), "skipped") {
		t.Errorf("%v %q %q", b.Report.Claims, log, b.Report.Markdown(""))
	}
}

func TestRows_only_the_chosen_ones_are_judged(t *testing.T) {
	b, _ := run(t, 13)
	if got := claimed(b); len(got) != 1 || got[13] != 1 {
		t.Errorf("rows with claims: %v", got)
	}
}
