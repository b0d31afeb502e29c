package peers_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/durablestate/durable/bench/peers"
)

func TestPeers_take_puts_from_as_many_callers_as_they_are_for(t *testing.T) {
	for _, p := range peers.All() {
		t.Run(p.Name, func(t *testing.T) {
			s, err := p.Open(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			callers := 8
			if p.OneOnly {
				callers = 1
			}
			var wg sync.WaitGroup
			for i := range callers {
				wg.Go(func() {
					if err := s.Put(fmt.Sprint("key", i), []byte("value")); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
