package integration

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
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
		"PUT /v1/acl/token",
		"PUT /v1/agent/check/register",
		"GET /v1/agent/monitor",
		"GET /v1/agent/host",
		"GET /v1/operator/autopilot/state",
		"POST /v1/peering/token",
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
	"/v1/acl/token":                        `{"Policies": [{"Name": "global-management"}]}`,
	"/v1/agent/check/register":             `{"Name": "web", "TTL": "1m"}`,
	"/v1/peering/token":                    `{"PeerName": "web"}`,
	"/v1/txn":                              `[{"KV": {"Verb": "delete-tree", "Key": "load"}}]`,
	"/v1/catalog/register":                 `{"Node": "web", "Address": "127.0.0.1"}`,
	"/v1/catalog/deregister":               `{"Node": "web"}`,
	"/v1/config":                           `{"Kind": "proxy-defaults", "Name": "global"}`,
	"/v1/connect/ca/configuration":         `{"Provider": "consul"}`,
	"/v1/query":                            `{"Name": "web", "Service": {"Service": "web"}}`,
}

// emptyCalls are answered without a token, as if there were nothing.
var emptyCalls = []string{
	"GET /v1/agent/members",
	"GET /v1/catalog/nodes",
	"GET /v1/catalog/services",
	"GET /v1/health/state/any",
	"GET /v1/internal/ui/nodes",
	"GET /v1/kv/?keys",
	"GET /v1/session/list",
}

// Two clusters of one name and one datacenter stay two, whoever asks them to join. Who has no credentials gets nothing from
// servers. A stranger's server without the gossip key stays outside; one that has the key, and a certificate of another
// authority, gets no data and no vote.
func TestAttackers(t *testing.T) {
	t.Parallel()
	s := begin(t, shared, "attacked", soonVoters)
	s.Observer.AllowLeaderChanges(0)
	other := s.theSameNameElsewhere()
	victim, stranger := s.cluster().Status.Servers[0], other.cluster().Status.Servers[0]
	for _, call := range deniedCalls(victim.Address, stranger.Address) {
		status, said := s.call(victim.Address, call)
		s.Expect(status).To(BeNumerically(">=", 400), call)
		s.Expect(said).To(ContainSubstring("Permission denied"), call)
	}
	for _, call := range emptyCalls {
		_, said := s.call(victim.Address, call)
		s.Expect(said).NotTo(Or(ContainSubstring(victim.Name), ContainSubstring("load")), call)
	}
	s.expectRPC(victim.Address, nil, false)
	theirs := other.secret(resources.CertificateSecretName(other.Key.Name))
	s.expectRPC(victim.Address, theirs, false)
	s.expectRPC(victim.Address, s.secret(resources.CertificateSecretName(s.Key.Name)), true)

	own := s.cluster().Status.Servers[1].Address
	s.Expect(s.admin().Agent().Join(own, false)).To(Succeed(), "those of one cluster do")
	s.Expect(other.admin().Agent().Join(victim.Address, false)).To(MatchError(ContainSubstring("Failed to join")))
	s.Expect(s.admin().Agent().Join(stranger.Address, false)).To(MatchError(ContainSubstring("Failed to join")))
	s.expectNoStranger()
	other.expectNoStranger()

	_, log, stop := s.intrude("keyless")
	s.Eventually(func(g Gomega) {
		g.Expect(readFile(log)).To(Satisfy(func(said string) bool { return strings.Count(said, "Join cluster failed") >= 3 }))
	}, time.Minute, 100*time.Millisecond).Should(Succeed())
	s.expectNoStranger()
	stop()

	intruder, log, stop := s.intrude("with-key", "-encrypt="+string(s.gossipSecret().Data["key"]), s.withCertificate(theirs))
	s.until("the operator says who is there", func(c *v1alpha1.ConsulCluster) bool {
		return reasonOf(c, v1alpha1.ConditionReady) == string(reason.StrayPeer)
	})
	s.Eventually(readFile).WithArguments(log).WithTimeout(time.Minute).Should(ContainSubstring("remote error: tls: bad certificate"))
	s.Consistently(func(g Gomega) {
		g.Expect(s.peer("with-key").Voter).To(BeFalse())
		self, err := intruder.Agent().Self()
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(self["Stats"]["raft"]).To(And(HaveKeyWithValue("last_log_index", "0"), HaveKeyWithValue("last_snapshot_index", "0")))
	}, 25*time.Second, time.Second).Should(Succeed(), "autopilot looks for new voters every 10 s")
	stop()
	s.reach("without it", 2*time.Minute)
	s.Eventually(s.alive, time.Minute, 100*time.Millisecond).Should(ConsistOf(s.wanted()))
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

// call makes a call without a token.
func (s *story) call(address, call string) (status int, said string) {
	s.t.Helper()
	return s.callWith("", address, call)
}

func (s *story) callWith(token, address, call string) (status int, said string) {
	s.t.Helper()
	access, err := s.Access(s.t.Context())
	s.Expect(err).NotTo(HaveOccurred())
	method, path, _ := strings.Cut(call, " ")
	bare, _, _ := strings.Cut(path, "?")
	url, body := "https://"+access.At(address)+path, strings.NewReader(bodies[bare])
	request, err := http.NewRequestWithContext(s.t.Context(), method, url, body)
	s.Expect(err).NotTo(HaveOccurred())
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	anybody := &http.Client{
		Timeout:   10 * time.Second,
		Transport: &http.Transport{TLSClientConfig: access.TLS, DisableKeepAlives: true},
	}
	response, err := anybody.Do(request)
	s.Expect(err).NotTo(HaveOccurred(), call)
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	s.Expect(err).NotTo(HaveOccurred(), call)
	return response.StatusCode, string(answer)
}

// expectRPC opens a connection for RPC to a server, as other servers do, with the certificate of a Secret or without any.
func (s *story) expectRPC(address string, certificate *corev1.Secret, open bool) {
	s.t.Helper()
	const rpcTLS = 0x03 // the first byte of a connection says what follows
	conn, err := net.Dial("tcp", net.JoinHostPort(address, "8300"))
	s.Expect(err).NotTo(HaveOccurred())
	defer conn.Close()
	_, err = conn.Write([]byte{rpcTLS})
	s.Expect(err).NotTo(HaveOccurred())
	config := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // it is the other side that is to verify
	if certificate != nil {
		pair, err := tls.X509KeyPair(certificate.Data[corev1.TLSCertKey], certificate.Data[corev1.TLSPrivateKeyKey])
		s.Expect(err).NotTo(HaveOccurred())
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	encrypted := tls.Client(conn, config)
	s.Expect(encrypted.SetDeadline(time.Now().Add(2 * time.Second))).To(Succeed())
	_, err = encrypted.Read(make([]byte, 1)) // a server that refuses a certificate says so after the handshake
	if open {
		s.Expect(err).To(MatchError(os.ErrDeadlineExceeded), "it waits for a call")
	} else {
		s.Expect(err).To(MatchError(ContainSubstring("remote error: tls")))
	}
}

// withCertificate is how an agent is told to present the certificate of a Secret.
func (s *story) withCertificate(certificate *corev1.Secret) (flag string) {
	s.t.Helper()
	const files = `-hcl=tls { defaults { ca_file = "%[1]s/ca.crt", cert_file = "%[1]s/tls.crt", key_file = "%[1]s/tls.key" } }`
	return fmt.Sprintf(files, s.writeFiles(certificate.Data))
}

// writeFiles returns the directory in which the files are.
func (s *story) writeFiles(files map[string][]byte) (dir string) {
	s.t.Helper()
	dir = s.t.TempDir()
	for name, data := range files {
		s.Expect(os.WriteFile(filepath.Join(dir, name), data, 0o600)).To(Succeed())
	}
	return dir
}

// intrude starts a server of a stranger that asks the servers to let it in: a client of it, its log, and what ends it.
func (s *story) intrude(name string, flags ...string) (intruder *api.Client, log string, stop func()) {
	s.t.Helper()
	ip, log, stop := s.startAgent(name, append(flags, "-server", "-hcl=ports { serf_wan = -1 }")...)
	intruder, err := api.NewClient(&api.Config{Address: net.JoinHostPort(ip, "8500")})
	s.Expect(err).NotTo(HaveOccurred())
	return intruder, log, stop
}

// agentsStarted is how many agents have addresses of this program's own.
var agentsStarted atomic.Int32

// startAgent starts an agent that is none of the operator's: its address, its log, and what ends it.
func (s *story) startAgent(name string, flags ...string) (ip, log string, stop func()) {
	s.t.Helper()
	root, err := harness.Root()
	s.Expect(err).NotTo(HaveOccurred())
	ip = fmt.Sprintf("127.%d.%d.%d", 240+agentsStarted.Add(1)%10, os.Getpid()>>8&255, os.Getpid()&255)
	log = filepath.Join(s.t.TempDir(), "log")
	agent, err := child.Start(log, filepath.Join(root, "bin", "consul-"+older), append([]string{
		"agent", "-node=" + name, "-datacenter=" + s.cluster().Spec.Datacenter, "-data-dir=" + s.t.TempDir(),
		"-bind=" + ip, "-client=" + ip, "-retry-interval=1s", "-retry-join=" + s.cluster().Status.Servers[0].Address,
	}, flags...)...)
	s.Expect(err).NotTo(HaveOccurred())
	s.t.Cleanup(agent.Kill)
	return ip, log, agent.Kill
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

// expectNoStranger has Serf know the servers and nobody else.
func (s *story) expectNoStranger() {
	s.t.Helper()
	s.Expect(s.alive()).To(ConsistOf(s.wanted()))
}

// alive are the members that Serf calls so: their names and addresses.
func (s *story) alive() (members []string) {
	s.t.Helper()
	members, err := aliveTo(s.admin())
	s.Expect(err).NotTo(HaveOccurred())
	return members
}

func aliveTo(agent *api.Client) (members []string, err error) {
	const alive = 1
	all, err := agent.Agent().Members(false)
	for _, member := range all {
		if member.Status == alive {
			members = append(members, member.Name+" "+member.Addr)
		}
	}
	return members, err
}

// wanted are the servers, as alive has them.
func (s *story) wanted() (members []string) {
	s.t.Helper()
	for _, server := range s.cluster().Status.Servers {
		members = append(members, server.Name+" "+server.Address)
	}
	return members
}
