package consul

import (
	"context"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/internal/resources"
)

// reloads are settings, and what shows that an agent which runs has them. Nothing shows it before.
var reloads = map[string]struct {
	settings string
	shows    func(s *realServer) bool
}{
	"discard_check_output": {`{"discard_check_output": true}`, func(s *realServer) bool {
		agent := s.client().Agent()
		_ = agent.CheckRegister(&api.AgentCheckRegistration{Name: "c", AgentServiceCheck: api.AgentServiceCheck{TTL: "10m"}})
		_ = agent.PassTTL("c", "fine")
		checks, err := agent.Checks()
		return err == nil && checks["c"] != nil && checks["c"].Output == ""
	}},
	"enable_debug": {`{"enable_debug": true}`, func(s *realServer) bool {
		return s.status("/debug/pprof/cmdline") == http.StatusOK
	}},
	"limits.http_max_conns_per_client": {`{"limits": {"http_max_conns_per_client": 20}}`, (*realServer).refusesConnections},
	"limits.request_limits": {
		`{"limits": {"request_limits": {"mode": "enforcing", "read_rate": 0.1, "write_rate": 0.1}}}`,
		func(s *realServer) bool {
			return slices.ContainsFunc(make([]int, 20), func(int) bool {
				return s.status("/v1/catalog/nodes") == http.StatusTooManyRequests
			})
		},
	},
	"log_level": {`{"log_level": "DEBUG"}`, func(s *realServer) bool {
		s.status("/v1/agent/self")
		return strings.Contains(s.log.String(), "[DEBUG]")
	}},
	"node_meta": {`{"node_meta": {"operator-settings": "abc"}}`, func(s *realServer) bool {
		self, err := s.Self(context.Background())
		return err == nil && self.Settings == "abc"
	}},
	// Snapshots come after some seconds and a few writes, and not after half a minute and 16384.
	"raft_snapshot_interval, raft_snapshot_threshold": {
		`{"raft_snapshot_interval": "1s", "raft_snapshot_threshold": 5}`, func(s *realServer) bool {
			_, _ = s.client().KV().Put(&api.KVPair{Key: "k", Value: []byte(time.Now().String())}, nil)
			found, err := os.ReadDir(filepath.Join(s.dir, "data", "raft", "snapshots"))
			return err == nil && len(found) > 0
		},
	},
	"telemetry.prefix_filter": {`{"telemetry": {"prefix_filter": ["-consul.api"]}}`, func(s *realServer) bool {
		metrics, err := s.client().Agent().Metrics() // of the last 10 s, in which this was asked for as well
		return err == nil && len(metrics.Samples) > 0 && !slices.ContainsFunc(metrics.Samples, func(s api.SampledValue) bool {
			return strings.HasPrefix(s.Name, "consul.api.")
		})
	}},
}

// Each key that the operator changes while servers run takes effect there, and may be left out again.
func TestWhatConsulReloads(t *testing.T) {
	t.Parallel()
	var keys []string
	for names := range reloads {
		keys = append(keys, strings.Split(names, ", ")...)
	}
	NewWithT(t).Expect(keys).To(ConsistOf(resources.Reloadable))
	for _, version := range []string{"1.22.7", "1.19.2"} {
		for _, names := range slices.Sorted(maps.Keys(reloads)) {
			t.Run(version+" "+names, func(t *testing.T) {
				t.Parallel() // each on a server of its own: most of the time passes until Consul's next snapshot or interval
				g := NewWithT(t)
				server := startServers(t, version, 1).leader()
				settings, shows := reloads[names].settings, func() bool { return reloads[names].shows(server) }
				g.Eventually(shows, 45*time.Second, 500*time.Millisecond).Should(BeFalse())
				server.writeSettings(t, settings)
				g.Consistently(shows, time.Second, 250*time.Millisecond).Should(BeFalse(), "nothing is read by itself")
				g.Expect(server.Reload(t.Context())).To(Succeed())
				g.Eventually(shows, 75*time.Second, 500*time.Millisecond).Should(BeTrue()) // Raft looks every 30 to 60 s
				server.writeSettings(t, "{}")
				g.Expect(server.Reload(t.Context())).To(Succeed())
			})
		}
	}
}

// What Consul refuses to read changes nothing, and it goes on.
func TestConsulRefusesToReload(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	server := startServers(t, "1.22.7", 1).leader()
	server.writeSettings(t, `{"limits": {"request_limits": {"mode": "nonsense"}}, "node_meta": {"operator-settings": "bad"}}`)
	g.Expect(server.Reload(t.Context())).To(MatchError(ContainSubstring("nonsense")))
	self, err := server.Self(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(self.Settings).To(BeEmpty())
}

func (s *realServer) client() *api.Client {
	client, err := api.NewClient(&api.Config{Address: s.http()})
	if err != nil {
		panic(err)
	}
	return client
}

func (s *realServer) status(path string) int {
	response, err := http.Get("http://" + s.http() + path)
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	return response.StatusCode
}

// refusesConnections opens more connections than the limit allows.
func (s *realServer) refusesConnections() bool {
	for range 40 {
		connection, err := net.Dial("tcp", s.http())
		if err != nil {
			return true
		}
		defer func() { _ = connection.Close() }()
		_ = connection.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		answer, _ := io.ReadAll(io.LimitReader(connection, 12)) // Consul says at once that there are too many
		if strings.HasPrefix(string(answer), "HTTP/1.1 429") {
			return true
		}
	}
	return false
}
