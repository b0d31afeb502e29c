// Command saveonce saves two snapshots into the directory that it is given and
// acknowledges each on its standard output.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/durablestate/durable"
)

func main() {
	a, err := durable.NewFileAdapter(os.Args[1], nil)
	must(err)
	for n := range 2 {
		must(a.SaveState(context.Background(), "component", &durable.Snapshot{Codec: "json", Data: []byte("{}")}))
		fmt.Println("acknowledged", n+1)
	}
	must(a.Close())
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
