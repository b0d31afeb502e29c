package wait

import (
	"context"
	"sync"
)

// Lock locks mu unless ctx ends first.
func Lock(ctx context.Context, mu *sync.RWMutex) error {
	if mu.TryLock() {
		return nil
	}
	if ctx.Done() == nil {
		mu.Lock()
		return nil
	}
	locked := make(chan struct{})
	go func() { // ends as soon as the holder unlocks
		mu.Lock()
		select {
		case locked <- struct{}{}:
		case <-ctx.Done():
			mu.Unlock()
		}
	}()
	select {
	case <-locked:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
