// Package child starts programs that end when this program ends, however it ends.
package child

import (
	"os"
	"os/exec"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
)

// Process is a child of this program.
type Process struct {
	cmd      *exec.Cmd
	exited   chan struct{}
	expected atomic.Bool // its end
}

// Start starts a program. What it prints is added to the log.
func Start(log, program string, args ...string) (*Process, error) {
	logFile, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644) //nolint:gosec // a log to be read
	if err != nil {
		return nil, err
	}
	defer func() { _ = logFile.Close() }() // the program has its own
	cmd := exec.Command(program, args...)  //nolint:gosec // a program of bin/
	cmd.Stdout, cmd.Stderr = logFile, logFile
	return StartCommand(cmd)
}

// StartCommand starts a program whose command is prepared.
func StartCommand(cmd *exec.Cmd) (*Process, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	// A group of its own: Ctrl-C in the terminal is for us, and we end our children in order.
	cmd.SysProcAttr.Setpgid, cmd.SysProcAttr.Pdeathsig = true, syscall.SIGKILL

	p := &Process{cmd: cmd, exited: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// The kernel sends Pdeathsig when the thread ends that started the child, so this one has to stay.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.exited)
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

// PID is the number of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Exited is closed when the process has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Runs reports whether the process has not ended.
func (p *Process) Runs() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// ExpectExit is to be called before the process is made to end by other means than Kill and Stop.
func (p *Process) ExpectExit() { p.expected.Store(true) }

// ExitExpected reports whether the process was to end.
func (p *Process) ExitExpected() bool { return p.expected.Load() }

// ExitCode is the exit code of a process that has ended, and -1 if a signal ended it.
func (p *Process) ExitCode() int { return p.cmd.ProcessState.ExitCode() }

// Signal sends a signal.
func (p *Process) Signal(signal os.Signal) error { return p.cmd.Process.Signal(signal) }

// Kill ends the process as a crash does, and returns when it is gone.
func (p *Process) Kill() {
	p.ExpectExit()
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// Stop asks the process to end, and kills it when it takes too long.
func (p *Process) Stop(patience time.Duration) {
	p.ExpectExit()
	_ = p.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(patience):
		p.Kill()
	}
}
