package integration

import (
	"net"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// A cluster that serves gets its gossip encrypted, in three rolling updates. A Secret that is lost afterwards is written again.
func TestGossipEncryption(t *testing.T) {
	t.Parallel()
	s := begin(t, shared, "encrypted-later", soonVoters)
	s.Observer.AllowLeaderChanges(3)
	s.patch(func(c *v1alpha1.ConsulCluster) { c.Spec.GossipEncryption.Enabled = new(true) })
	s.until("the servers have the key", inGossipPhase(v1alpha1.GossipAccepting))
	s.until("they send encrypted", inGossipPhase(v1alpha1.GossipSending))
	s.until("they accept nothing else", inGossipPhase(v1alpha1.GossipRequired))
	s.reach("encrypted", 2*time.Minute)
	s.expectEncryptedGossip()

	secret := s.gossipSecret()
	key := string(secret.Data["key"])
	s.Expect(s.Client.Delete(t.Context(), secret)).To(Succeed())
	s.Eventually(func(g Gomega) {
		again := &corev1.Secret{}
		g.Expect(s.Client.Get(t.Context(), client.ObjectKeyFromObject(secret), again)).To(Succeed())
		g.Expect(string(again.Data["key"])).To(Equal(key), "servers that start later need the key of those that run")
	}, time.Minute, 100*time.Millisecond).Should(Succeed())
	s.end(3)
}

func inGossipPhase(phase v1alpha1.GossipPhase) func(*v1alpha1.ConsulCluster) bool {
	return func(c *v1alpha1.ConsulCluster) bool { return c.Status.GossipEncryption == phase }
}

func (s *story) gossipSecret() *corev1.Secret {
	s.t.Helper()
	secret := &corev1.Secret{}
	key := client.ObjectKey{Namespace: s.Key.Namespace, Name: resources.GossipSecretName(s.Key.Name)}
	s.Expect(s.Client.Get(s.t.Context(), key, secret)).To(Succeed())
	return secret
}

// expectEncryptedGossip asks each server for the keys of all.
func (s *story) expectEncryptedGossip() {
	s.t.Helper()
	servers, key := s.cluster().Status.Servers, string(s.gossipSecret().Data["key"])
	for _, server := range servers {
		agent := consul.NewDialer(0)(consul.Target{Address: net.JoinHostPort(server.Address, "8500")})
		s.Eventually(func(g Gomega) {
			ring, err := agent.Keyring(s.t.Context())
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(ring.Members).To(Equal(len(servers)))
			g.Expect(ring.Shared()).To(Equal(key), "all have the key of the Secret")
		}, time.Minute, 100*time.Millisecond).Should(Succeed(), server.Name)
	}
}
