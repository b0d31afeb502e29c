package cut_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/testkit"
)

// book is some megabytes of values that are never changed in place.
type book struct{ Pages map[string]page }

type page struct {
	Text string
	N    int
}

func (b *book) Clone() book { return book{maps.Clone(b.Pages)} }

// TestPauseOfTenMegabytes measures how long units of work are held up for 10 MB of
// state in 5 components, while they go on. It asserts nothing: the machine has
// other work.
func TestPauseOfTenMegabytes(t *testing.T) {
	if os.Getenv("DURABLE_THROUGHPUT") == "" {
		t.Skip("DURABLE_THROUGHPUT=1 measures the pause")
	}
	a, err := durable.NewFileAdapter(t.TempDir(), nil)
	require.NoError(t, err)
	defer a.Close()
	var mu sync.Mutex
	var pauses []time.Duration
	o := testkit.Consistent(testkit.Quiet())
	o.OnEvent = func(e durable.Event) {
		mu.Lock()
		defer mu.Unlock()
		if e.Pause > 0 {
			pauses = append(pauses, e.Pause)
		}
	}
	cp := durable.New(a, o)
	var books []*durable.StatefulComponent[book]
	for i := range 5 {
		pages := map[string]page{}
		for n := range 18_000 {
			pages[fmt.Sprintf("page-%06d", n)] = page{fmt.Sprintf("%080d", n), n}
		}
		books = append(books, durable.NewStatefulComponent(book{pages}))
		require.NoError(t, cp.Register(fmt.Sprintf("book-%d", i), books[i]))
	}
	_, err = cp.Restore(t.Context())
	require.NoError(t, err)
	stop := make(chan struct{})
	var workers sync.WaitGroup
	for range 2 {
		workers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				cp.Do(func() {
					for _, b := range books {
						b.Update(func(s *book) { s.Pages[fmt.Sprintf("page-%06d", n%18_000)] = page{fmt.Sprintf("%080d", n), n} })
					}
				})
			}
		})
	}
	for range 30 {
		require.NoError(t, cp.Checkpoint(t.Context()))
	}
	close(stop)
	workers.Wait()
	bytes := cp.Status()[5].Bytes
	require.NoError(t, cp.Close())
	slices.Sort(pauses)
	t.Logf("%d cuts of %.1f MB: pause median %s, longest %s", len(pauses), float64(bytes)/1e6, pauses[len(pauses)/2], pauses[len(pauses)-1])
}
