package consul

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	. "github.com/onsi/gomega"
)

// realServers are Consul processes, each with its own loopback address in a random block.
type realServers struct {
	t      *testing.T
	binary string
	block  string
	expect int
	dial   Dialer
	// prepare is called before a server starts for the first time; nil for nothing.
	prepare func(*realServer)

	list []*realServer
}

type realServer struct {
	name, id, ip string
	Agent
	args    []string
	dir     string
	log     *logTail
	process *os.Process
	exited  chan struct{}
	state   *os.ProcessState // when exited
}

func (s *realServer) rpc() string  { return s.ip + ":8300" }
func (s *realServer) http() string { return s.ip + ":8500" }

// settings is the file of what is read again while the server runs.
func (s *realServer) settings() string { return filepath.Join(s.dir, "settings.json") }

func (s *realServer) writeSettings(t *testing.T, text string) {
	t.Helper()
	NewWithT(t).Expect(os.WriteFile(s.settings(), []byte(text), 0o600)).To(Succeed())
}

// serverConfig is our configuration without autopilot's cleanup, which would be faster than the test that prunes.
const serverConfig = `{
  "server": true, "disable_update_check": true, "log_level": "warn",
  "ports": {"serf_wan": -1, "grpc": -1, "grpc_tls": -1, "dns": -1},
  "performance": {"raft_multiplier": 1, "leave_drain_time": "0s"},
  "autopilot": {"cleanup_dead_servers": false}
}`

// blocks counts the blocks of loopback addresses that tests have taken, from a random one, as several runs share a machine.
var blocks atomic.Uint32

func init() { blocks.Store(rand.Uint32()) }

func nextBlock() string {
	n := blocks.Add(1) % (230 * 256)
	return fmt.Sprintf("127.%d.%d", 16+n/256, n%256)
}

// startServers starts n servers of a version, which elect a leader after some seconds.
func startServers(t *testing.T, version string, n int) *realServers {
	t.Helper()
	s := newServers(t, version, n)
	for range n {
		s.start()
	}
	return s
}

// newServers are none yet. Those that are started expect n.
func newServers(t *testing.T, version string, n int) *realServers {
	t.Helper()
	return &realServers{t: t, binary: binaryOf(t, version), expect: n, dial: NewDialer(0), block: nextBlock()}
}

func binaryOf(t *testing.T, version string) string {
	t.Helper()
	binary, err := filepath.Abs("../../bin/consul-" + version)
	if err == nil {
		_, err = os.Stat(binary)
	}
	if err != nil {
		t.Fatalf("run make tools: %v", err)
	}
	return binary
}

// mixed are versions of servers that are in one cluster during an upgrade, or when it is taken back: that of the leader, and
// that of the others. Servers of 1.19.2 cannot follow a leader of 1.22: TestOldServersCannotFollowNewOnes.
var mixed = [][2]string{{"1.19.2", "1.22.7"}, {"1.22.7", "1.22.0"}}

// start adds one server.
func (s *realServers) start() *realServer {
	s.t.Helper()
	i := len(s.list) + 1
	server := &realServer{
		name: fmt.Sprintf("s%d", i), id: uuid.NewString(), ip: fmt.Sprintf("%s.%d", s.block, i),
	}
	server.Agent = s.dial(Target{Address: server.http()})
	server.dir = s.t.TempDir()
	config := filepath.Join(server.dir, "config.json")
	NewWithT(s.t).Expect(os.WriteFile(config, []byte(serverConfig), 0o600)).To(Succeed())
	server.writeSettings(s.t, "{}")
	args := []string{
		"agent", "-config-file=" + config, "-config-file=" + server.settings(), "-data-dir=" + filepath.Join(server.dir, "data"),
		fmt.Sprintf("-bootstrap-expect=%d", s.expect), "-node=" + server.name, "-node-id=" + server.id,
		"-bind=" + server.ip, "-client=" + server.ip,
	}
	for j := range max(s.expect, i) {
		args = append(args, fmt.Sprintf("-retry-join=%s.%d", s.block, j+1))
	}
	server.args = args
	if s.prepare != nil {
		s.prepare(server)
	}
	s.run(server)
	s.list = append(s.list, server)
	return server
}

// run starts or restarts the server's process.
func (s *realServers) run(server *realServer) {
	s.t.Helper()
	log := &logTail{}
	server.log = log
	server.exited = make(chan struct{})
	cmd := exec.Command(s.binary, server.args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	NewWithT(s.t).Expect(startBound(cmd)).To(Succeed())
	server.process = cmd.Process
	go func() {
		_ = cmd.Wait()
		server.state = cmd.ProcessState
		close(server.exited)
	}()
	s.t.Cleanup(func() {
		_ = server.process.Kill()
		<-server.exited
		if s.t.Failed() {
			s.t.Logf("%s at %s:\n%s", server.name, server.ip, log)
		}
	})
}

func (s *realServer) kill() {
	_ = s.process.Kill()
	<-s.exited
}

// leader waits until the running servers agree on a leader.
func (s *realServers) leader() *realServer {
	s.t.Helper()
	var leader *realServer
	NewWithT(s.t).Eventually(func(g Gomega) {
		leader = nil
		for _, server := range s.running() {
			self, err := server.Self(s.t.Context())
			g.Expect(err).NotTo(HaveOccurred())
			if self.Leads {
				g.Expect(leader).To(BeNil(), "two leaders")
				leader = server
			}
		}
		g.Expect(leader).NotTo(BeNil())
		for _, server := range s.running() {
			self, err := server.Self(s.t.Context())
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(self.LeaderAddr).To(Equal(leader.rpc()))
		}
		_, err := leader.Health(s.t.Context())
		g.Expect(err).NotTo(HaveOccurred())
	}, 30*time.Second, 50*time.Millisecond).Should(Succeed())
	return leader
}

func (s *realServers) running() []*realServer {
	var out []*realServer
	for _, server := range s.list {
		select {
		case <-server.exited:
		default:
			out = append(out, server)
		}
	}
	return out
}

// follower returns a running server that does not lead.
func (s *realServers) follower() *realServer {
	leader := s.leader()
	for _, server := range s.running() {
		if server != leader {
			return server
		}
	}
	s.t.Fatal("no follower")
	return nil
}

func (s *realServers) targets() []Target {
	var out []Target
	for _, server := range s.running() {
		out = append(out, Target{Address: server.http()})
	}
	return out
}

// startBound starts a process from a thread that lives as long as the tests: the kernel kills the process when the
// thread that started it dies, which for a thread of the Go runtime may be any time.
func startBound(cmd *exec.Cmd) error {
	startThread.Do(func() {
		go func() {
			runtime.LockOSThread()
			for start := range starts {
				start()
			}
		}()
	})
	result := make(chan error)
	starts <- func() { result <- cmd.Start() }
	return <-result
}

var (
	startThread sync.Once
	starts      = make(chan func())
)

// logTail keeps the last lines of a process, for when a test fails.
type logTail struct {
	mu    sync.Mutex
	lines []string
}

func (l *logTail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, strings.TrimRight(string(p), "\n"))
	l.lines = l.lines[max(0, len(l.lines)-40):]
	return len(p), nil
}

func (l *logTail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}

// Servers of Consul up to 1.20.1 cannot read what a leader of 1.20.2 and later sends: hashicorp/raft 1.7 writes times in a format
// that 1.5 does not know. The other way round it works, so an upgrade keeps the old leader until the end, and a lower minor
// version is refused.
func TestOldServersCannotFollowNewOnes(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	servers := startServers(t, "1.22.7", 1)
	servers.leader()
	servers.prepare, servers.binary = (*realServer).joinsOnly, binaryOf(t, "1.19.2")
	old := servers.start()
	g.Eventually(old.log.String, 30*time.Second, 50*time.Millisecond).Should(ContainSubstring("failed to decode incoming command"))
	self, err := old.Self(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(self.LastIndex).To(BeZero())
}
