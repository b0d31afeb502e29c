package powercut_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/trial"
)

const (
	jobEnv   = "POWERCUT_JOB"   // makes the test binary a child of a test
	apartEnv = "POWERCUT_APART" // set in the process that may mount
)

func TestMain(m *testing.M) {
	if job := os.Getenv(jobEnv); job != "" {
		if err := runJob(job, os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if os.Geteuid() == 0 && os.Getenv(apartEnv) == "" {
		if code, err := runApart(); err == nil {
			os.Exit(code)
		}
	}
	os.Exit(trial.Main(m))
}

// runApart runs the tests in a mount namespace of their own. When its last
// process ends, however it ends, the kernel unmounts everything that was mounted
// in it and with that detaches the loop devices: nothing can be left behind, and
// nobody else ever sees the mounts.
func runApart() (code int, err error) {
	runtime.LockOSThread() // the child is killed when the thread that started it ends
	exe, err := os.Executable()
	if err != nil {
		return 0, err
	}
	cmd := exec.Command(exe, os.Args[1:]...)
	cmd.Env = append(os.Environ(), apartEnv+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return max(1, exit.ExitCode()), nil
	}
	return 0, err
}

// needMounts skips t where nothing can be mounted.
func needMounts(t *testing.T) {
	t.Helper()
	if os.Getenv(apartEnv) == "" {
		lacks(t, "root with CAP_SYS_ADMIN, for a mount namespace")
	}
}

// lacks skips t because the machine lacks what, or fails it where the tests are
// required. DURABLE_NO_MOUNTS says why a machine cannot have it, once for all.
func lacks(t *testing.T, what string, args ...any) {
	t.Helper()
	reason := "needs " + fmt.Sprintf(what, args...)
	why := os.Getenv("DURABLE_NO_MOUNTS")
	if os.Getenv("DURABLE_REQUIRE_REAL") == "1" && why == "" {
		t.Fatal(reason + "; it is required because DURABLE_REQUIRE_REAL is set")
	}
	if why != "" {
		reason += " (" + why + ")"
	}
	t.Skip(reason)
}

// needTool skips t where a program is missing, which the package pkg brings.
func needTool(t *testing.T, name, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		for _, dir := range []string{"/usr/sbin/", "/sbin/"} {
			if _, err := os.Stat(dir + name); err == nil {
				return dir + name
			}
		}
		lacks(t, "the program %s; install %s", name, pkg)
	}
	return path
}

// number returns what the environment variable name asks for.
func number(t testing.TB, name string, short, normal int) int {
	t.Helper()
	text := os.Getenv(name)
	switch {
	case text == "" && testing.Short():
		return short
	case text == "":
		return normal
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, "%s must be a number", name)
	return n
}
