package localcluster

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// processes starts programs that die with this one. Two mechanisms see to it, both without a privilege:
// the kernel kills each child when the thread that started it dies (Pdeathsig), and a watchdog, a small shell
// that reads a pipe from us, kills the process groups left when the pipe closes. The first does not reach
// grandchildren, the second does.
type processes struct {
	mu       sync.Mutex
	watchdog *exec.Cmd
	pipe     io.WriteCloser
	running  map[int]*process
}

// process is a started program and the group it leads.
type process struct {
	pid    int
	exited chan struct{} // closed when it is gone, and its group with it
	state  *os.ProcessState
}

const watchdogScript = `trap '' INT TERM HUP
groups=
while read -r op group; do
  if [ "$op" = add ]; then groups="$groups $group"; continue; fi
  left=
  for g in $groups; do [ "$g" = "$group" ] || left="$left $g"; done
  groups=$left
done
for g in $groups; do kill -s KILL -- "-$g" 2>/dev/null; done
`

func newProcesses() (*processes, error) {
	p := &processes{running: map[int]*process{}}
	p.watchdog = exec.Command("/bin/sh", "-c", watchdogScript)
	p.watchdog.Dir = "/"
	p.watchdog.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C in the terminal is not for it
	pipe, err := p.watchdog.StdinPipe()
	if err != nil {
		return nil, err
	}
	p.pipe = pipe
	if err := p.watchdog.Start(); err != nil {
		return nil, fmt.Errorf("starting the watchdog: %w", err)
	}
	return p, nil
}

// spawner is the one thread that forks. Pdeathsig fires when the thread that forked ends, not the program, and the
// Go runtime ends idle threads; so this one is locked to a goroutine that never returns.
var spawner = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
})

// start runs cmd as the leader of a process group of its own.
func (p *processes) start(cmd *exec.Cmd) (*process, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	spawner() <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		return nil, err
	}
	proc := &process{pid: cmd.Process.Pid, exited: make(chan struct{})}
	p.mu.Lock()
	p.running[proc.pid] = proc
	_, _ = fmt.Fprintf(p.pipe, "add %d\n", proc.pid)
	p.mu.Unlock()
	go p.wait(cmd, proc)
	return proc, nil
}

// wait reaps the process. The rest of its group dies with it, as a container dies with its first process. That happens
// while the leader is still a zombie: once it is reaped the kernel may give its number to somebody else.
func (p *processes) wait(cmd *exec.Cmd, proc *process) {
	for {
		err := unix.Waitid(unix.P_PID, proc.pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	proc.signalGroup(syscall.SIGKILL)
	p.mu.Lock()
	delete(p.running, proc.pid)
	_, _ = fmt.Fprintf(p.pipe, "del %d\n", proc.pid)
	p.mu.Unlock()
	_ = cmd.Wait() // the exit code is in the state
	proc.state = cmd.ProcessState
	close(proc.exited)
}

// signal reaches the process alone: what the first process of a container does with it is its own affair.
func (p *process) signal(s syscall.Signal) {
	select {
	case <-p.exited:
	default:
		_ = syscall.Kill(p.pid, s)
	}
}

func (p *process) signalGroup(s syscall.Signal) {
	select {
	case <-p.exited:
	default:
		_ = syscall.Kill(-p.pid, s)
	}
}

// kill ends the whole group and waits until it is gone.
func (p *process) kill() {
	p.signalGroup(syscall.SIGKILL)
	<-p.exited
}

// exitCode is what Kubernetes reports: the code, or 128 plus the signal.
func (p *process) exitCode() int32 {
	status, ok := p.state.Sys().(syscall.WaitStatus)
	if ok && status.Signaled() {
		return 128 + int32(status.Signal())
	}
	return int32(p.state.ExitCode())
}

// stop ends everything still running, then the watchdog.
func (p *processes) stop() {
	p.mu.Lock()
	left := make([]*process, 0, len(p.running))
	for _, proc := range p.running {
		left = append(left, proc)
	}
	p.mu.Unlock()
	for _, proc := range left {
		proc.signalGroup(syscall.SIGKILL)
	}
	for _, proc := range left {
		<-proc.exited
	}
	_ = p.pipe.Close()
	_ = p.watchdog.Wait()
}
