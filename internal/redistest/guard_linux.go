package redistest

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// starter is a thread that lives as long as the process. The kernel sends
// Pdeathsig when the thread that started a child ends, not the process, so all
// children must be started by a thread that never does.
var starter = sync.OnceValue(func() chan func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for do := range work {
			do()
		}
	}()
	return work
})

func startGuarded(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	result := make(chan error)
	starter() <- func() { result <- cmd.Start() }
	return <-result
}
