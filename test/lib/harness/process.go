package harness

import (
	"os"
	"os/exec"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
)

// process is a child that ends when this program ends, however it ends.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{}
	wanted atomic.Bool // its end
}

func startProcess(program string, args []string, logPath string) (*process, error) {
	logFile, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644) //nolint:gosec // a log to be read
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(program, args...) //nolint:gosec // a program of bin/
	cmd.Stdout, cmd.Stderr = logFile, logFile
	// A group of its own: Ctrl-C in the terminal is for us, and we end our children in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}

	p := &process{cmd: cmd, exited: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// The kernel sends Pdeathsig when the thread ends that started the child, so this one has to stay.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.exited)
		defer func() { _ = logFile.Close() }()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

func (p *process) kill() {
	p.wanted.Store(true)
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// stop ends it, by force when it takes too long.
func (p *process) stop(patience time.Duration) {
	p.wanted.Store(true)
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(patience):
		p.kill()
	}
}
