package durable_test

import (
	"sync"
	"testing"

	"github.com/durablestate/durable"
)

// The change of a small state under Update, beside the same under a plain mutex.
func BenchmarkUpdate(b *testing.B) {
	type state struct{ N int }
	b.Run("durable", func(b *testing.B) {
		var c durable.StatefulComponent[state]
		for b.Loop() {
			c.Update(func(s *state) { s.N++ })
		}
	})
	b.Run("mutex", func(b *testing.B) {
		var mu sync.Mutex
		var s state
		change := func(fn func(*state)) {
			mu.Lock()
			defer mu.Unlock()
			fn(&s)
		}
		for b.Loop() {
			change(func(s *state) { s.N++ })
		}
	})
}
