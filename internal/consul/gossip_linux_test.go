package consul

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// Servers hear each other if their phases of gossip encryption are the same or next to each other. The planner goes by it. Their
// versions do not matter.
func TestGossipPhases(t *testing.T) {
	t.Parallel()
	for _, versions := range mixed {
		t.Run(versions[0]+" and "+versions[1], func(t *testing.T) {
			t.Parallel()
			testGossipPhases(t, versions)
		})
	}
}

// testGossipPhases has servers of two versions, in turn.
func testGossipPhases(t *testing.T, versions [2]string) {
	g, keys := NewWithT(t), resources.NewGossipKeys()
	var inPhase []*realServer
	for order, phase := range []v1alpha1.GossipPhase{
		v1alpha1.GossipOff, v1alpha1.GossipAccepting, v1alpha1.GossipSending, v1alpha1.GossipRequired,
	} {
		servers := newServers(t, versions[order%2], 1)
		servers.prepare = func(s *realServer) { s.enterPhase(t, phase, keys) }
		inPhase = append(inPhase, servers.start())
	}
	for order, s := range inPhase {
		g.Eventually(func(g Gomega) {
			ring, err := s.Keyring(t.Context())
			if order == 0 {
				g.Expect(err).To(MatchError(ErrNoKey))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(ring.Members).To(Equal(1))
			g.Expect(ring.Shared()).To(Equal(keys.New()))
		}, 30*time.Second, 50*time.Millisecond).Should(Succeed(), "phase %d", order)
	}
	joins := func(a, b int) error { return inPhase[a].client().Agent().Join(inPhase[b].ip, false) }
	for a := range 4 {
		for b := range 4 {
			if a-b > 1 || b-a > 1 {
				g.Expect(joins(a, b)).NotTo(Succeed(), "phases %d and %d", a, b)
			}
		}
	}
	neighborsJoin := func(a, b int) { // they are one cluster afterwards
		g.Expect(joins(a, b)).To(Succeed(), "phases %d and %d", a, b)
		g.Expect(joins(b, a)).To(Succeed(), "phases %d and %d", a, b)
	}
	neighborsJoin(0, 1)
	g.Eventually(func() error { _, err := inPhase[1].Keyring(t.Context()); return err }, 30*time.Second, 50*time.Millisecond).
		Should(And(MatchError(ErrNoKey), MatchError(ContainSubstring("1/2 nodes"))), "one of the members has none")
	neighborsJoin(1, 2)
	neighborsJoin(2, 3)
}

// enterPhase gives a server the key and the configuration of a phase, as its pod would.
func (s *realServer) enterPhase(t *testing.T, phase v1alpha1.GossipPhase, keys resources.GossipKeys) {
	t.Helper()
	g := NewWithT(t)
	s.name = "s-" + strings.ToLower(string(phase))
	s.args[slices.IndexFunc(s.args, func(arg string) bool { return strings.HasPrefix(arg, "-node=") })] = "-node=" + s.name
	cluster := &v1alpha1.ConsulCluster{ObjectMeta: metav1.ObjectMeta{UID: "u", Annotations: map[string]string{
		v1alpha1.AnnotationGossip: string(phase), v1alpha1.AnnotationRecordsOf: "u",
	}}}
	file, err := resources.AgentConfig(cluster)
	g.Expect(err).NotTo(HaveOccurred())
	var config map[string]any
	g.Expect(json.Unmarshal(file, &config)).To(Succeed())
	verify := map[string]any{}
	for name, value := range config {
		if strings.HasPrefix(name, "encrypt_") {
			verify[name] = value
		}
	}
	text, err := json.Marshal(verify)
	g.Expect(err).NotTo(HaveOccurred())
	s.writeSettings(t, string(text))
	if !resources.HasGossipKey(phase) {
		return
	}
	s.giveKeys(t, keys)
}

// giveKeys gives a server the gossip keys that the Secret would hold, as its init container does.
func (s *realServer) giveKeys(t *testing.T, keys resources.GossipKeys) {
	t.Helper()
	g := NewWithT(t)
	secret := resources.GossipSecret(&v1alpha1.ConsulCluster{}, keys)
	serf := filepath.Join(s.dir, "data", "serf")
	g.Expect(os.MkdirAll(serf, 0o700)).To(Succeed())
	g.Expect(os.WriteFile(filepath.Join(serf, "local.keyring"), secret.Data["keyring"], 0o600)).To(Succeed())
}

func TestClientAgents(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	servers := startServers(t, "1.22.7", 1)
	leader := servers.leader()
	g.Expect(leader.ClientAgents(t.Context())).To(BeZero())
	servers.prepare = func(s *realServer) {
		s.writeSettings(t, `{"server": false}`)
		s.joinsOnly()
	}
	client := servers.start()
	name := []string{client.name}
	g.Eventually(func() (ClientAgents, error) { return leader.ClientAgents(t.Context()) }, 30*time.Second, 50*time.Millisecond).
		Should(Equal(ClientAgents{Alive: 1, Names: name}))
	g.Expect(leader.Members(t.Context())).To(HaveLen(1), "it is no server")
	client.kill()
	g.Eventually(func() (int, error) { return client.statusBy(leader) }, 30*time.Second, 50*time.Millisecond).
		Should(Equal(4), "failed")
	g.Expect(leader.ClientAgents(t.Context())).To(Equal(ClientAgents{Names: name, Down: name}), "it may come back")
}

// statusBy is the status of a member in Serf as another one sees it.
func (s *realServer) statusBy(other *realServer) (int, error) {
	members, err := other.client().Agent().Members(false)
	for _, member := range members {
		if member.Name == s.name {
			return member.Status, err
		}
	}
	return 0, err
}
