// Command testreport runs go test on all packages of all modules of the
// workspace. Then it prints each reason for which tests were skipped once, what
// failed, which suites ran and which program to install, and ends with the line
//
//	N passed, M failed, K skipped
//
// Arguments are handed to go test. A test with subtests is not counted itself
// unless it alone failed. With DURABLE_REQUIRE_REAL=1 it is a failure when a
// suite that needs a real server or file system did not run.
package main

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
)

func main() {
	r := newReport(os.Stdout)
	r.missing = lacking(exec.LookPath)
	if err := all(r); err != nil {
		r.broken = append(r.broken, err.Error())
	}
	if !r.finish(os.Getenv("DURABLE_REQUIRE_REAL") == "1") {
		os.Exit(1)
	}
}

// lacking returns those of the programs in packages that find does not find.
func lacking(find func(program string) (path string, err error)) (programs []string) {
	for _, program := range slices.Sorted(maps.Keys(packages)) {
		if _, err := find(program); err != nil {
			programs = append(programs, program)
		}
	}
	return programs
}

// all runs the tests of every module. No cached results: go test does not notice
// that a server was installed.
func all(r *report) error {
	modules, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}/...").Output()
	if err != nil {
		return fmt.Errorf("go list -m: %w", err)
	}
	args := append([]string{"test", "-json", "-count=1"}, os.Args[1:]...)
	return run(r, exec.Command("go", append(args, strings.Split(strings.TrimSpace(string(modules)), "\n")...)...))
}

// run hands what cmd prints to r, line by line. The error says that go test
// could not do its work; failing tests are none.
func run(r *report, cmd *exec.Cmd) error {
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	if err := read(r, out); err != nil {
		return err
	}
	if err := cmd.Wait(); err != nil && !r.sawFailure() {
		return fmt.Errorf("go test: %w", err)
	}
	return nil
}

func read(r *report, out io.Reader) error {
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			r.line(line)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
