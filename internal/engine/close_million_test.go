package engine_test

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/testkit"
)

// bad is a store whose saves are as told by fn, once armed.
type bad struct {
	*durable.MemoryAdapter
	armed chan struct{}
	fn    func(ctx context.Context) error // nil error: it is saved
}

func (b *bad) SaveState(ctx context.Context, id string, s *durable.Snapshot) error {
	select {
	case <-b.armed:
		if err := b.fn(ctx); err != nil {
			return err
		}
	default:
	}
	return b.MemoryAdapter.SaveState(ctx, id, s)
}

var badStores = map[string]func(ctx context.Context) error{
	"hung":  func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
	"fails": func(ctx context.Context) error { return errors.New("connection refused") },
	"slow":  func(ctx context.Context) error { time.Sleep(50 * time.Millisecond); return nil },
}

// TestCloseOfAMillion prints how long a Close takes that cannot save a million changed
// components: DURABLE_MILLION=1000000 go test -run CloseOfAMillion -v ./internal/engine
func TestCloseOfAMillion(t *testing.T) {
	n, _ := strconv.Atoi(os.Getenv("DURABLE_MILLION"))
	if n == 0 {
		t.Skip("DURABLE_MILLION says how many components")
	}
	for name, fn := range badStores {
		for _, with := range []string{"alone", "consistent", "spill"} {
			t.Run(name+"/"+with, func(t *testing.T) { closeMany(t, n, fn, with) })
		}
	}
}

func closeMany(t *testing.T, n int, fn func(context.Context) error, with string) {
	const limit = 2 * time.Second
	a := &bad{MemoryAdapter: durable.NewMemoryAdapter(&durable.MemoryOptions{Keep: 1}), armed: make(chan struct{}), fn: fn}
	o := testkit.Quiet()
	o.OnEvent = nil
	o.Interval, o.CloseTimeout, o.Consistent = time.Hour, limit, with == "consistent"
	if with == "spill" {
		spill, err := durable.NewFileAdapter(t.TempDir(), nil)
		require.NoError(t, err)
		defer spill.Close()
		o.Spill = spill
	}
	cp := durable.New(a, o)
	all := make([]durable.StatefulComponent[struct{ N int }], n)
	for i := range all {
		require.NoError(t, cp.Register("component-"+strconv.Itoa(i), &all[i]))
	}
	_, err := cp.Restore(t.Context())
	require.NoError(t, err)
	for i := range all {
		all[i].Update(func(s *struct{ N int }) { s.N++ })
	}
	close(a.armed)
	runtime.GC()
	before, began := runtime.NumGoroutine(), time.Now()
	err = cp.Close()
	took := time.Since(began)
	var unsaved *durable.CloseError
	require.ErrorAs(t, err, &unsaved)
	spilled := 0
	for _, st := range unsaved.Unsaved {
		if st.Spilled {
			spilled++
		}
	}
	left := runtime.NumGoroutine()
	t.Logf("%d changed, CloseTimeout %s: Close took %s, listed %d, of these spilled %d; goroutines before and after: %d, %d; %.300s", n, limit, took.Round(time.Millisecond), len(unsaved.Unsaved), spilled, before, left, err)
	require.LessOrEqual(t, left, before)
	require.LessOrEqual(t, took, limit+limit/10)
}
