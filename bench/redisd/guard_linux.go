package redisd

import (
	"os/exec"
	"runtime"
	"syscall"
)

// startGuarded starts cmd so that the kernel ends it with this process. The
// signal comes when the thread ends that started the child, so that thread is
// kept.
func startGuarded(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		started <- cmd.Start()
		select {} // as long as the process
	}()
	return <-started
}
