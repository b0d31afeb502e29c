// Record runs every command of durable on a real redis-server beside the running
// harness example and writes what a terminal showed into docs/cli.md, in place of
// all that stands below its line "## Recording".
//
//	go run ./cmd/durable/internal/record
package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

const (
	page   = "docs/cli.md"
	marker = "## Recording\n"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "record:", err)
		os.Exit(1)
	}
}

func run() error {
	before, err := os.ReadFile(page)
	if err != nil {
		return fmt.Errorf("run it from the root of the repository: %w", err)
	}
	head, _, found := bytes.Cut(before, []byte(marker))
	if !found {
		return fmt.Errorf("%s has no line %q", page, strings.TrimSpace(marker))
	}
	r, err := start()
	if err != nil {
		return err
	}
	defer r.end()
	if err := r.play(); err != nil {
		return err
	}
	return os.WriteFile(page, []byte(string(head)+marker+"\n"+r.clean()), 0o644)
}

// A recorder runs commands in a directory of its own.
type recorder struct {
	dir, addr string
	database  string // of Redis
	cuts      bool   // the harness saves consistent cuts
	server    *exec.Cmd
	harness   *exec.Cmd
	log       bytes.Buffer // of the harness
	text      strings.Builder
}

func start() (_ *recorder, err error) {
	r := &recorder{}
	if r.dir, err = os.MkdirTemp("", "record"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			r.end()
		}
	}()
	for name, pkg := range map[string]string{"durable": "./cmd/durable", "harness": "./examples/harness"} {
		if out, err := exec.Command("go", "build", "-o", filepath.Join(r.dir, "bin", name), pkg).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%s: %w: %s", pkg, err, out)
		}
	}
	if r.addr, err = freeAddress(); err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(r.addr)
	r.server = exec.Command("redis-server", "--bind", "127.0.0.1", "--port", port, "--dir", r.dir, "--appendonly", "yes", "--save", "")
	if err := r.server.Start(); err != nil {
		return nil, err
	}
	for name, text := range map[string]string{
		"redis.yaml":   "state_persistence:\n  adapter: redis\n  redis_url: ${REDIS_URL}\n  ttl: 24h\n  snapshot_interval: 1s\n  system: fraud-detection\n",
		"files.yaml":   "state_persistence:\n  adapter: file\n  directory: state\n",
		"restore.yaml": "state_persistence:\n  adapter: file\n  directory: restored\n",
	} {
		if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	return r, r.await()
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

func (r *recorder) await() error {
	for range 100 {
		if c, err := net.Dial("tcp", r.addr); err == nil {
			return c.Close()
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("redis-server does not answer")
}

func (r *recorder) env() []string {
	return append(os.Environ(), "REDIS_URL=redis://"+r.addr+r.database, "STATE_ADAPTER=redis", "SNAPSHOT_INTERVAL=1s", "NO_COLOR=1",
		"PATH="+filepath.Join(r.dir, "bin")+string(os.PathListSeparator)+os.Getenv("PATH"))
}

// startHarness starts the harness example and lets it work for a while.
func (r *recorder) startHarness() error {
	listen, err := freeAddress()
	if err != nil {
		return err
	}
	r.log.Reset()
	r.harness = exec.Command(filepath.Join(r.dir, "bin", "harness"), "-listen", listen, "-rate", "200")
	r.harness.Dir, r.harness.Env, r.harness.Stderr = r.dir, append(r.env(), fmt.Sprintf("CONSISTENT=%v", r.cuts)), &r.log
	if err := r.harness.Start(); err != nil {
		return err
	}
	time.Sleep(5 * time.Second)
	return nil
}

// stopHarness waits for the harness to end, by itself or on a signal.
func (r *recorder) stopHarness(signal bool) {
	if signal {
		_ = r.harness.Process.Signal(os.Interrupt)
	}
	_ = r.harness.Wait()
	r.harness = nil
}

func (r *recorder) end() {
	for _, c := range []*exec.Cmd{r.harness, r.server} {
		if c != nil && c.Process != nil {
			_ = c.Process.Kill()
			_ = c.Wait()
		}
	}
	_ = os.RemoveAll(r.dir)
}

// say adds text between recordings.
func (r *recorder) say(text string) { fmt.Fprintf(&r.text, "%s\n\n", text) }

// shell records commands, and what a terminal shows of them.
func (r *recorder) shell(lines ...string) {
	r.text.WriteString("```console from=cmd/durable/internal/record/main.go\n")
	for _, line := range lines {
		cmd := exec.Command("sh", "-c", line)
		cmd.Dir, cmd.Env = r.dir, r.env()
		out, err := cmd.CombinedOutput()
		fmt.Fprintf(&r.text, "$ %s\n%s", line, out)
		if len(out) > 0 && out[len(out)-1] != '\n' {
			r.text.WriteByte('\n')
		}
		if err != nil {
			fmt.Fprintf(&r.text, "[exit code %d]\n", cmd.ProcessState.ExitCode())
		}
	}
	r.text.WriteString("```\n\n")
}

// output returns what a command writes.
func (r *recorder) output(line string) string {
	cmd := exec.Command("sh", "-c", line)
	cmd.Dir, cmd.Env = r.dir, r.env()
	out, _ := cmd.Output()
	return strings.TrimSpace(string(out))
}

var hex64 = regexp.MustCompile(`\b([0-9a-f]{8})[0-9a-f]{56}\b`)

// clean takes out what differs from machine to machine.
func (r *recorder) clean() string {
	text := strings.ReplaceAll(r.text.String(), r.addr, "127.0.0.1:6379")
	text = strings.ReplaceAll(text, r.dir+"/", "")
	text = strings.ReplaceAll(text, r.dir, ".")
	if host, err := os.Hostname(); err == nil {
		text = strings.ReplaceAll(text, "durable-"+host+"-", "durable-host-")
	}
	return strings.TrimRight(hex64.ReplaceAllString(text, "$1..."), "\n") + "\n"
}
