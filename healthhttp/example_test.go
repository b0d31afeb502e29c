package healthhttp_test

import (
	"context"
	"fmt"
	"net/http/httptest"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/healthhttp"
)

func ExampleHandler() {
	cp := durable.New(durable.NewMemoryAdapter(nil), nil)
	probes := healthhttp.Handler(cp) // serve it on a port of its own, from before Restore until after Close

	ask := func(path string) {
		w := httptest.NewRecorder()
		probes.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		fmt.Print(w.Code, " ", w.Body.String())
	}
	ask("/readyz")
	if _, err := cp.Restore(context.Background()); err != nil {
		fmt.Println(err)
	}
	ask("/readyz")
	_ = cp.Close()
	ask("/healthz")
	// Output:
	// 503 durable: health: component not restored
	// 200 ready
	// 200 alive
}
