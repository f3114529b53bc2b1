package snapshot

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/hashicorp/consul/api"
	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/test/lib/child"
)

// member is a server of a cluster of several. It has an address of its own, so nobody takes its ports while it is down.
type member struct {
	binary, dir   string
	http, servers string // addresses
	client        *api.Client
	process       *child.Process
}

// startCluster starts three servers, and waits until they have elected a leader.
func startCluster(t *testing.T, version string) []*member {
	t.Helper()
	g := NewWithT(t)
	ports, err := freePorts(3)
	g.Expect(err).NotTo(HaveOccurred())
	network := fmt.Sprintf("127.201.%d.", ports[0]%256) // other tests run beside this one
	addresses := []string{network + "1", network + "2", network + "3"}
	var members []*member
	for i, address := range addresses {
		m := &member{
			binary: binaryOf(t, version), dir: t.TempDir(),
			http: fmt.Sprintf("%s:%d", address, ports[0]), servers: fmt.Sprintf("%s:%d", address, ports[1]),
		}
		config, err := json.Marshal(map[string]any{
			"server": true, "bootstrap_expect": len(addresses), "data_dir": filepath.Join(m.dir, "data"),
			"node_name": fmt.Sprintf("consul-%d", i), "bind_addr": address, "client_addr": address, "retry_join": addresses,
			"disable_update_check": true, "performance": map[string]any{"raft_multiplier": 1, "rpc_hold_timeout": "500ms"},
			// One that is down comes back, and is a voter then.
			"autopilot": map[string]bool{"cleanup_dead_servers": false},
			"ports": map[string]int{
				"http": ports[0], "server": ports[1], "serf_lan": ports[2], "serf_wan": -1, "dns": -1, "grpc": -1, "grpc_tls": -1,
			},
		})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(writeFile(m.config(), string(config))).To(Succeed())
		m.client, err = api.NewClient(&api.Config{Address: m.http})
		g.Expect(err).NotTo(HaveOccurred())
		members = append(members, m)
	}
	t.Cleanup(func() {
		for _, m := range members {
			m.kill()
			if log, _ := os.ReadFile(m.log()); t.Failed() {
				t.Logf("%s: %s", m.http, lastLines(log))
			}
		}
	})
	heal(t, members)
	return members
}

func (m *member) config() string { return filepath.Join(m.dir, "config.json") }
func (m *member) log() string    { return filepath.Join(m.dir, "log") }

func (m *member) start(t *testing.T) {
	t.Helper()
	g := NewWithT(t)
	log, err := os.OpenFile(m.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = log.Close() }()
	command := exec.Command(m.binary, "agent", "-config-file="+m.config())
	command.Env = append(os.Environ(), "TMPDIR="+m.dir)
	command.Stdout, command.Stderr = log, log
	m.process, err = child.StartCommand(command)
	g.Expect(err).NotTo(HaveOccurred())
}

func (m *member) runs() bool { return m.process != nil && m.process.Runs() }

func (m *member) kill() {
	if m.runs() {
		m.process.Kill()
	}
}

// freeze has a server do nothing, although its kernel takes what it is sent.
func (m *member) freeze(g *WithT) { g.Expect(m.process.Signal(syscall.SIGSTOP)).To(Succeed()) }
func (m *member) thaw(g *WithT)   { g.Expect(m.process.Signal(syscall.SIGCONT)).To(Succeed()) }

// keys are what a server has itself, whether it leads or not: the sum of all keys, their values, and when they were written.
func (m *member) keys() (string, error) {
	answer, err := http.Get("http://" + m.http + "/v1/kv/?recurse&stale")
	if err != nil {
		return "", err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return "", errors.New(answer.Status)
	}
	sum := sha256.New()
	_, err = io.Copy(sum, answer.Body)
	return hex.EncodeToString(sum.Sum(nil)), err
}

// heal starts those that do not run, and waits until all have a leader that works, and votes.
func heal(t *testing.T, members []*member) {
	t.Helper()
	for _, m := range members {
		if !m.runs() {
			m.start(t)
		}
	}
	NewWithT(t).Eventually(func(g Gomega) {
		for _, m := range members {
			g.Expect(m.client.KV().Get("any", &api.QueryOptions{RequireConsistent: true})).Error().NotTo(HaveOccurred())
			raft, err := m.client.Operator().RaftGetConfiguration(&api.QueryOptions{AllowStale: true})
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(raft.Servers).To(HaveLen(len(members)))
			g.Expect(raft.Servers).To(HaveEach(HaveField("Voter", true)))
		}
	}, "60s", "100ms").Should(Succeed())
}

// leads waits for a leader that works, and returns it and the other ones that run.
func leads(t *testing.T, members []*member) (leader *member, others []*member) {
	t.Helper()
	NewWithT(t).Eventually(func(g Gomega) {
		leader, others = nil, nil
		for _, m := range members {
			if !m.runs() {
				continue
			}
			g.Expect(m.client.KV().Get("any", &api.QueryOptions{RequireConsistent: true})).Error().NotTo(HaveOccurred())
			address, err := m.client.Status().Leader()
			g.Expect(err).NotTo(HaveOccurred())
			if address == m.servers {
				leader = m
			} else {
				others = append(others, m)
			}
		}
		g.Expect(leader).NotTo(BeNil())
	}, "60s", "100ms").Should(Succeed())
	return leader, others
}

// allHave waits until all servers that run have these keys.
func allHave(t *testing.T, members []*member, keys string) {
	t.Helper()
	for _, m := range members {
		if m.runs() {
			NewWithT(t).Eventually(m.keys, "60s", "100ms").Should(Equal(keys), m.http)
		}
	}
}

// front is in front of a cluster, as a Service is: it passes requests on to one server, which may change.
type front struct{ to atomic.Pointer[string] }

// leadTo has it pass requests on to a server from now on.
func (f *front) leadTo(m *member) { f.to.Store(&m.http) }

// tight takes no more from who connects than is read.
type tight struct{ net.Listener }

func (l tight) Accept() (net.Conn, error) { return tightened(l.Listener.Accept()) }

// tightened is a connection that takes little more than what is read: the rest stays with who sends it.
func tightened(connection net.Conn, err error) (net.Conn, error) {
	if err == nil {
		err = connection.(*net.TCPConn).SetReadBuffer(64 << 10)
	}
	return connection, err
}

// newFront returns a front, and the Consul that is reached through it and a handler that may disturb it.
func newFront(t *testing.T, disturb func(next http.Handler) http.Handler) (*front, Consul) {
	t.Helper()
	f := &front{}
	f.to.Store(new(string))
	dialer := &net.Dialer{}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: *f.to.Load()}) },
		Transport: &http.Transport{
			DisableKeepAlives: true, DisableCompression: true,
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				return tightened(dialer.DialContext(ctx, network, address))
			},
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	server := httptest.NewUnstartedServer(disturb(proxy))
	server.Listener = tight{server.Listener}
	server.Start()
	t.Cleanup(server.Close)
	return f, Consul{Address: server.URL}
}
