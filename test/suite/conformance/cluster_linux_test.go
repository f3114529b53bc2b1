package conformance

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"

	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/test/lib/child"
	"github.com/consul-operator/consul-operator/test/lib/load"
	"github.com/consul-operator/consul-operator/test/lib/sim"
)

// cluster is the real world: Consul processes, each with a loopback address of its own in a block that is theirs.
type cluster struct {
	*WithT
	t        *testing.T
	binary   string
	settings settings
	block    string
	dial     consul.Dialer

	servers []*server
	names   []string
	written []string // keys of acknowledged writes
	lock    *load.Lock
}

type server struct {
	*child.Process
	consul.Agent
	id, ip, dir string
	frozen      bool
	session     string // that an application opened at it
	args        []string
}

func (s *server) rpc() string  { return s.ip + ":8300" }
func (s *server) http() string { return s.ip + ":8500" }

// Deadlines. The longest wait is for a removed peer that is added back: the leader looks once a minute.
const (
	patience = 90 * time.Second
	interval = 50 * time.Millisecond
)

// newCluster is before the first server was started.
func newCluster(t *testing.T, version string, settings settings) *cluster {
	t.Helper()
	binary, err := filepath.Abs("../../../bin/consul-" + version)
	if err == nil {
		_, err = os.Stat(binary)
	}
	if err != nil {
		t.Fatalf("run make tools: %v", err)
	}
	return &cluster{
		WithT: NewWithT(t), t: t, binary: binary, settings: settings,
		block: takeBlock(t), dial: consul.NewDialer(0),
	}
}

// takeBlock takes a block of loopback addresses that nobody else has. The lock is that of test/lib/localcluster, and like it
// vanishes with this program.
func takeBlock(t *testing.T) string {
	t.Helper()
	for {
		block := fmt.Sprintf("127.%d.%d", 16+rand.IntN(230), rand.IntN(256))
		lock, err := net.Listen("unix", "@consul-operator/localcluster/"+block)
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		NewWithT(t).Expect(err).NotTo(HaveOccurred())
		t.Cleanup(func() { _ = lock.Close() })
		return block
	}
}

// run starts a server's process, which ends when the test does.
func (c *cluster) run(s *server) {
	c.t.Helper()
	var err error
	s.Process, err = child.Start(filepath.Join(s.dir, "log"), c.binary, s.args...)
	c.Expect(err).NotTo(HaveOccurred())
	c.t.Cleanup(s.Kill)
}

func (c *cluster) start(name string, expect int) {
	c.t.Helper()
	i := len(c.servers) + 1
	s := &server{id: uuid.NewString(), ip: fmt.Sprintf("%s.%d", c.block, i), dir: c.t.TempDir()}
	s.Agent = c.dial(consul.Target{Address: s.http()})
	config := filepath.Join(s.dir, "config.json")
	c.Expect(os.WriteFile(config, c.settings.config(), 0o600)).To(Succeed())
	s.args = []string{
		"agent", "-config-file=" + config, "-data-dir=" + filepath.Join(s.dir, "data"),
		fmt.Sprintf("-node=server-%d", i), "-node-id=" + s.id, "-bind=" + s.ip, "-client=" + s.ip,
	}
	if expect > 0 {
		s.args = append(s.args, fmt.Sprintf("-bootstrap-expect=%d", expect))
	}
	for j := range max(expect, i) {
		s.args = append(s.args, fmt.Sprintf("-retry-join=%s.%d", c.block, j+1))
	}
	c.t.Cleanup(func() {
		if c.t.Failed() {
			c.t.Logf("%s at %s:\n%s", name, s.ip, tail(s.dir))
		}
	})
	c.run(s)
	c.servers, c.names = append(c.servers, s), append(c.names, name)
}

// takeLock has an application hold a lock from now on, by any of the servers, and of one more that may come.
func (c *cluster) takeLock() {
	c.t.Helper()
	var servers load.Static
	for i := range len(c.servers) + 1 {
		servers = append(servers, fmt.Sprintf("%s.%d:8500", c.block, i+1))
	}
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	var err error
	c.lock, err = load.TakeLock(ctx, servers, load.Access{}, "application")
	c.Expect(err).NotTo(HaveOccurred())
	c.t.Cleanup(c.lock.Stop)
}

func (c *cluster) rename(names []string) { c.names = names }

func (c *cluster) server(name string) *server { return c.servers[slot(c.names, name)] }

func (c *cluster) name(s *server) string { return c.names[slices.Index(c.servers, s)] }

func (c *cluster) setMinQuorum(n int) {
	c.t.Helper()
	c.Eventually(func() error {
		return c.leader().SetAutopilot(c.t.Context(), map[string]string{consul.SettingMinQuorum: strconv.Itoa(n)})
	}, patience, interval).Should(Succeed())
}

// leader is who leads, as soon as somebody does.
func (c *cluster) leader() *server {
	c.t.Helper()
	var leader *server
	c.Eventually(func(g Gomega) {
		f, err := c.facts()
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(f.Leads).To(BeElementOf(c.names))
		leader = c.server(f.Leads)
	}, patience, interval).Should(Succeed())
	return leader
}

// do returns the error with which Consul refuses.
func (c *cluster) do(deed sim.Deed, name string) error {
	c.t.Helper()
	s, ctx := c.server(name), c.t.Context()
	switch deed {
	case sim.Kill:
		s.Kill()
		return nil
	case sim.Freeze:
		s.frozen = true
		return s.Signal(syscall.SIGSTOP)
	case sim.Thaw:
		s.frozen = false
		return s.Signal(syscall.SIGCONT)
	case sim.CutOff, sim.Join: // as far as the one can tell: the others stand still
		for _, other := range c.names {
			if other != name {
				c.Expect(c.do(map[sim.Deed]sim.Deed{sim.CutOff: sim.Freeze, sim.Join: sim.Thaw}[deed], other)).To(Succeed())
			}
		}
		return nil
	case sim.Terminate:
		s.ExpectExit()
		return s.Signal(syscall.SIGTERM)
	case sim.StartAgain:
		c.Expect(s.Runs()).To(BeFalse(), name+" runs already")
		c.run(s)
		return nil
	case sim.Leave:
		s.ExpectExit()
		if err := s.Leave(ctx); !errors.Is(err, consul.ErrUnanswered) {
			return err
		}
		return nil // it answers when it is done
	case sim.Transfer:
		leader := c.leader()
		if leader == s {
			return nil // It was elected on a busy machine, and a server refuses to hand over to itself.
		}
		return leader.TransferLeadership(ctx, s.id)
	case sim.ForceLeave:
		return c.leader().ForceLeave(ctx, c.node(s))
	case sim.RemovePeer:
		return c.leader().RemovePeer(ctx, s.id)
	case sim.OpenSession:
		var err error
		s.session, _, err = c.client(s).Session().Create(nil, nil)
		return err
	}
	panic("nobody knows how to " + string(deed))
}

func (c *cluster) node(s *server) string {
	return fmt.Sprintf("server-%d", slices.Index(c.servers, s)+1)
}

// await waits until the facts are as wanted.
func (c *cluster) await(want types.GomegaMatcher) {
	c.t.Helper()
	c.Eventually(c.facts, patience, interval).Should(want, "in real Consul")
}

// stay watches that the facts stay as they are for longer than the ten seconds after which autopilot looks again. A
// server that answers late for once, or that autopilot doubts for a moment, is no change, nor is an election that a busy
// machine led to.
func (c *cluster) stay(want types.GomegaMatcher) {
	c.t.Helper()
	const moment = 15 * time.Second
	look := time.NewTicker(interval)
	defer look.Stop()
	for end := time.Now().Add(12 * time.Second); time.Now().Before(end); <-look.C {
		c.Eventually(c.facts, moment, interval).Should(want, "in real Consul")
	}
}
