// Command crashtable runs the crash tests of all packages and ends with one
// table of what they found. A test adds a row by logging a line of the form
//
//	crash: <what>: <unit>=<number> <key>=<value> ...
//
// of which the first figure is what was done (cuts, kills, states), and
// acknowledged, lost, torn and mixed have columns of their own. It fails when a
// test fails or is skipped, when something was lost, torn or mixed, and when a
// row that must be there is missing. Below the table stands what the
// trials say at their end (see package trial), those that failed last.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// One package after the other: they would only disturb each other.
var command = []string{"test", "-json", "-count=1", "-p=1", "-timeout=30m", "-run=^Test((Crash|PowerCut|Order)_|EveryFlippedBitOf|EveryTruncationZ|ExchangedFiles)"}

func main() {
	begin := time.Now()
	t := newTable("power cuts, simulated", "power cuts, ext4", "power cuts, xfs", "kills, file",
		"errors injected at every operation", "mutants of the protocol", "bit flips, every one")
	err := run(t, exec.Command("go", append(append(command, os.Args[1:]...), "./...")...))
	if err != nil && len(t.problems) == 0 {
		t.problem("go test: %v", err)
	}
	good := t.print(os.Stdout)
	fmt.Printf("%s\n", time.Since(begin).Round(time.Second))
	if !good {
		os.Exit(1)
	}
}

// run hands the events of cmd, which is go test -json, to t.
func run(t *table, cmd *exec.Cmd) error {
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Println(lines.Text())
			continue
		}
		if text := t.take(e); text != "" {
			fmt.Println(strings.TrimRight(text, "\n"))
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return cmd.Wait()
}
