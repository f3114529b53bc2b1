package conformance

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"
)

// process is a Consul process. It ends when the test does, or when the program does, however that ends.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{}
	// asked is set once somebody asked it to end.
	asked  bool
	frozen bool
}

func startProcess(t *testing.T, binary, dir string, args []string) *process {
	t.Helper()
	g := NewWithT(t)
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	g.Expect(err).NotTo(HaveOccurred())
	cmd := exec.Command(binary, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p := &process{cmd: cmd, exited: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// The kernel sends Pdeathsig when the thread ends that started the child, so this one has to stay.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.exited)
		defer func() { _ = log.Close() }()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	g.Expect(<-started).To(Succeed())
	t.Cleanup(p.kill)
	return p
}

func (p *process) kill() {
	p.asked = true
	_ = p.cmd.Process.Kill()
	<-p.exited
}

func (p *process) signal(signal os.Signal) error { return p.cmd.Process.Signal(signal) }

func (p *process) runs() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// crashed is an end that nobody asked for, or a leave that did not end well.
func (p *process) crashed() bool {
	status, _ := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return !p.asked || status.Exited() && status.ExitStatus() != 0
}

// settings of a cluster that differ from script to script.
type settings struct {
	minQuorum int
	// stabilization is how long a server has to be healthy before it is promoted, a second if it does not matter.
	stabilization string
}

// config is that of the operator's servers, but that they try to join again sooner.
func (s settings) config() []byte {
	type object = map[string]any
	config, err := json.Marshal(object{
		"server": true, "leave_on_terminate": true, "skip_leave_on_interrupt": false,
		"disable_update_check": true, "retry_interval": "1s",
		"ports":       object{"serf_wan": -1, "grpc": -1, "grpc_tls": -1, "dns": -1},
		"performance": object{"raft_multiplier": 1, "leave_drain_time": "0s"},
		"autopilot": object{
			"cleanup_dead_servers": true, "min_quorum": s.minQuorum,
			"server_stabilization_time": s.stabilization,
		},
	})
	if err != nil {
		panic(err)
	}
	return config
}

// tail is the end of a log, for when a test fails.
func tail(dir string) []byte {
	const lines = 40
	log, _ := os.ReadFile(filepath.Join(dir, "log"))
	all := bytes.Split(log, []byte("\n"))
	return bytes.Join(all[max(0, len(all)-lines):], []byte("\n"))
}
