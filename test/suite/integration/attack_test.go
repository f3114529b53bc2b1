package integration

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/test/lib/child"
	"github.com/consul-operator/consul-operator/test/lib/harness"
)

// deniedCalls are what a pod without credentials can ask servers for: what takes a cluster, its data or its secrets, by method
// and path.
func deniedCalls(victim, stranger string) []string {
	return []string{
		"PUT /v1/agent/join/" + stranger,
		"PUT /v1/agent/leave",
		"PUT /v1/agent/force-leave/" + victim,
		"PUT /v1/agent/maintenance?enable=true",
		"PUT /v1/agent/reload",
		"PUT /v1/agent/token/agent_recovery",
		"PUT /v1/agent/service/register",
		"GET /v1/agent/self",
		"GET /v1/agent/metrics",
		"GET /v1/snapshot",
		"PUT /v1/snapshot",
		"GET /v1/operator/keyring",
		"POST /v1/operator/keyring",
		"GET /v1/operator/raft/configuration",
		"DELETE /v1/operator/raft/peer?address=" + victim + ":8300",
		"POST /v1/operator/raft/transfer-leader",
		"PUT /v1/operator/autopilot/configuration",
		"PUT /v1/acl/bootstrap",
		"GET /v1/acl/tokens",
		"PUT /v1/acl/policy",
		"GET /v1/kv/load",
		"PUT /v1/kv/load",
		"DELETE /v1/kv/load?recurse",
		"PUT /v1/txn",
		"PUT /v1/catalog/register",
		"PUT /v1/catalog/deregister",
		"PUT /v1/session/create",
		"PUT /v1/event/fire/reboot",
		"PUT /v1/config",
		"PUT /v1/connect/ca/configuration",
		"POST /v1/query",
	}
}

// bodies are those that the calls need to get as far as the check of the token.
var bodies = map[string]string{
	"/v1/agent/token/agent_recovery":       `{"Token": "mine"}`,
	"/v1/agent/service/register":           `{"Name": "web"}`,
	"/v1/operator/keyring":                 `{"Key": "c2l4dGVlbiBieXRlcy4uLg=="}`,
	"/v1/operator/autopilot/configuration": `{"CleanupDeadServers": true}`,
	"/v1/acl/policy":                       `{"Name": "all", "Rules": "operator = \"write\""}`,
	"/v1/txn":                              `[{"KV": {"Verb": "delete-tree", "Key": "load"}}]`,
	"/v1/catalog/register":                 `{"Node": "web", "Address": "127.0.0.1"}`,
	"/v1/catalog/deregister":               `{"Node": "web"}`,
	"/v1/config":                           `{"Kind": "proxy-defaults", "Name": "global"}`,
	"/v1/connect/ca/configuration":         `{"Provider": "consul"}`,
	"/v1/query":                            `{"Name": "web", "Service": {"Service": "web"}}`,
}

// Two clusters of one name and one datacenter stay two, whoever asks them to join. Who has no credentials gets nothing from
// servers. A stranger's server without the gossip key stays outside; one that has the key and no certificate gets no data and no
// vote.
func TestAttackers(t *testing.T) {
	t.Parallel()
	s := begin(t, shared, "attacked", soonVoters)
	s.Observer.AllowLeaderChanges(0)
	other := s.theSameNameElsewhere()
	victim, stranger := s.cluster().Status.Servers[0], other.cluster().Status.Servers[0]
	for _, call := range deniedCalls(victim.Address, stranger.Address) {
		s.expectDenied(victim.Address, call)
	}
	s.Expect(other.cluster().Spec.Datacenter).To(Equal(s.cluster().Spec.Datacenter))
	s.Expect(other.admin().Agent().Join(victim.Address, false)).NotTo(Succeed(), "they have other gossip keys")
	s.Expect(s.admin().Agent().Join(stranger.Address, false)).NotTo(Succeed())

	log, stop := s.intrude("keyless")
	s.Eventually(readFile).WithArguments(log).WithTimeout(time.Minute).Should(ContainSubstring("Join cluster failed"))
	s.Expect(s.members()).To(ConsistOf(s.servers()))
	stop()

	log, stop = s.intrude("with-key", "-encrypt="+string(s.gossipSecret().Data["key"]))
	s.until("the operator says who is there", func(c *v1alpha1.ConsulCluster) bool {
		return reasonOf(c, v1alpha1.ConditionReady) == string(reason.StrayPeer)
	})
	s.Eventually(readFile).WithArguments(log).WithTimeout(time.Minute).Should(ContainSubstring("tls: no certificates configured"),
		"the leader sends nothing to a server that does not prove who it is")
	peer := s.peer("with-key")
	s.Expect(peer.Voter).To(BeFalse())
	s.Expect(peer.LastIndex).To(BeZero(), "it has no entry of the log")
	stop()
	s.reach("without it", 2*time.Minute)
	s.Expect(s.members()).To(ConsistOf(s.servers()))
	s.end(0)
}

func readFile(path string) (string, error) {
	data, err := os.ReadFile(path) //nolint:gosec // a log of the test's own
	return string(data), err
}

// theSameNameElsewhere is a cluster of one server in another namespace.
func (s *story) theSameNameElsewhere() *story {
	s.t.Helper()
	key := client.ObjectKey{Namespace: "kube-public", Name: s.Key.Name}
	other := &story{WithT: s.WithT, Scene: shared.Scene(key), t: s.t}
	cluster := &v1alpha1.ConsulCluster{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
	cluster.Spec = s.cluster().Spec
	cluster.Spec.Replicas = 1
	s.Expect(other.Create(s.t.Context(), cluster)).To(Succeed())
	s.t.Cleanup(func() { _ = s.Client.Delete(context.Background(), cluster) })
	other.reach("another cluster of this name", 2*time.Minute)
	return other
}

// expectDenied makes a call without a token.
func (s *story) expectDenied(address, call string) {
	s.t.Helper()
	access, err := s.Access(s.t.Context())
	s.Expect(err).NotTo(HaveOccurred())
	method, path, _ := strings.Cut(call, " ")
	bare, _, _ := strings.Cut(path, "?")
	url, body := "https://"+access.At(address)+path, strings.NewReader(bodies[bare])
	request, err := http.NewRequestWithContext(s.t.Context(), method, url, body)
	s.Expect(err).NotTo(HaveOccurred())
	response, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: access.TLS, DisableKeepAlives: true}}).Do(request)
	s.Expect(err).NotTo(HaveOccurred(), call)
	defer func() { _ = response.Body.Close() }()
	said, _ := io.ReadAll(response.Body)
	s.Expect(response.StatusCode).To(BeNumerically(">=", 400), call)
	s.Expect(string(said)).To(ContainSubstring("Permission denied"), call)
}

// intrude starts a server of a stranger that asks the servers to let it in: its log, and what ends it.
func (s *story) intrude(name string, flags ...string) (log string, stop func()) {
	s.t.Helper()
	root, err := harness.Root()
	s.Expect(err).NotTo(HaveOccurred())
	ip := fmt.Sprintf("127.241.%d.%d", os.Getpid()>>8&255, os.Getpid()&255)
	log = filepath.Join(s.t.TempDir(), "log")
	server, err := child.Start(log, filepath.Join(root, "bin", "consul-"+older), append([]string{
		"agent", "-server", "-node=" + name, "-datacenter=" + s.cluster().Spec.Datacenter, "-data-dir=" + s.t.TempDir(),
		"-bind=" + ip, "-client=" + ip, "-retry-interval=1s", "-retry-join=" + s.cluster().Status.Servers[0].Address,
		"-hcl=ports { serf_wan = -1 }",
	}, flags...)...)
	s.Expect(err).NotTo(HaveOccurred())
	s.t.Cleanup(server.Kill)
	return log, server.Kill
}

// peer is the one of this name by the leader's word.
func (s *story) peer(name string) *api.RaftServer {
	s.t.Helper()
	configuration, err := s.admin().Operator().RaftGetConfiguration(nil)
	s.Expect(err).NotTo(HaveOccurred())
	i := slices.IndexFunc(configuration.Servers, func(peer *api.RaftServer) bool { return peer.Node == name })
	s.Expect(i).To(BeNumerically(">=", 0), name)
	return configuration.Servers[i]
}

// members are those that Serf calls alive.
func (s *story) members() (names []string) {
	s.t.Helper()
	const alive = 1
	members, err := s.admin().Agent().Members(false)
	s.Expect(err).NotTo(HaveOccurred())
	for _, member := range members {
		if member.Status == alive {
			names = append(names, member.Name)
		}
	}
	return names
}
