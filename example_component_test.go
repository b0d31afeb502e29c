package durable_test

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"

	"github.com/durablestate/durable"
)

// Sequence hands out numbers. It keeps its own lock and its own format.
type Sequence struct {
	mu   sync.Mutex
	last int
}

func (s *Sequence) Next() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	return s.last
}

// SnapshotState is called from a checkpoint goroutine, so it takes the lock.
func (s *Sequence) SnapshotState() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strconv.AppendInt(nil, int64(s.last), 10), nil
}

// RestoreState changes nothing when it returns an error.
func (s *Sequence) RestoreState(data []byte) error {
	n, err := strconv.Atoi(string(data))
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = n
	return nil
}

// A component that has a lock already implements two methods itself.
func ExampleComponent() {
	store := durable.NewMemoryAdapter(nil)
	ctx := context.Background()
	for range 2 {
		ids := &Sequence{}
		cp := durable.New(store, &durable.Options{Logger: slog.New(slog.DiscardHandler)})
		_ = cp.Register("ids", ids)
		if _, err := cp.Restore(ctx); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(ids.Next(), ids.Next())
		if err := cp.Close(); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// 1 2
	// 3 4
}
