package integration

import (
	"encoding/base64"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// A cluster that serves gets its gossip encrypted, in three rolling updates. A Secret that is lost afterwards is written again.
// Then it goes back, in three more.
func TestGossipEncryption(t *testing.T) {
	long(t)
	s := begin(t, shared, "encrypted-later", func(spec *v1alpha1.ConsulClusterSpec) {
		soonVoters(spec)
		spec.Update.MaxSurge, spec.GossipEncryption.Enabled, spec.TLS.Enabled = 3, new(false), new(false)
	})
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

	s.Observer.AllowLeaderChanges(3) // from now on
	s.patch(func(c *v1alpha1.ConsulCluster) { c.Spec.GossipEncryption.Enabled = new(false) })
	for _, phase := range []v1alpha1.GossipPhase{v1alpha1.GossipSending, v1alpha1.GossipAccepting, v1alpha1.GossipOff} {
		s.until("gossip encryption is "+string(phase), inGossipPhase(phase))
	}
	s.reach("not encrypted", 2*time.Minute)
	s.end(6)
}

// The gossip key is replaced without a restart and without another leader. A rollout that is asked for in the middle goes
// first, and its servers start with the keys that the others have by then.
func TestRotateTheGossipKey(t *testing.T) {
	t.Parallel()
	s := begin(t, shared, "rotated", soonVoters)
	s.Observer.AllowLeaderChanges(0)
	former, before := string(s.gossipSecret().Data["key"]), s.processes()
	s.rotate(func(c *v1alpha1.ConsulCluster) { c.Annotations[v1alpha1.AnnotationRotateGossipKey] = "now" })
	s.rotatedFrom(former)
	s.reach("rotated", 2*time.Minute)
	s.Expect(s.processes()).To(Equal(before), "no server was replaced, or started again")
	s.expectEncryptedGossip()

	s.Observer.AllowLeaderChanges(1)
	former = string(s.gossipSecret().Data["key"])
	theirs := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.Key.Namespace, Name: s.Key.Name + "-theirs"},
		StringData: map[string]string{"key": base64.StdEncoding.EncodeToString([]byte("sixteen bytes...")) + "\n"},
	}
	s.Expect(s.Client.Create(t.Context(), theirs)).To(Succeed())
	s.rotate(func(c *v1alpha1.ConsulCluster) {
		c.Spec.GossipEncryption.SecretRef = &v1alpha1.SecretKey{Name: theirs.Name}
	})
	s.patch(toVersion(newest))
	s.reach("upgraded", 3*time.Minute)
	s.rotatedFrom(former)
	s.reach("rotated and upgraded", 2*time.Minute)
	s.Expect(string(s.gossipSecret().Data["key"])+"\n").To(Equal(string(theirs.Data["key"])), "a user has provided it")
	s.expectEncryptedGossip()
	s.end(1)
}

func (s *story) rotate(ask func(*v1alpha1.ConsulCluster)) {
	s.t.Helper()
	s.patch(ask)
	s.Eventually(func() map[string][]byte { return s.gossipSecret().Data }, time.Minute, 50*time.Millisecond).
		Should(HaveKey("next"), "the rotation begins")
}

// rotatedFrom waits until all servers have another key and no other: an annotation is no new generation, so Ready may be of the
// time before it.
func (s *story) rotatedFrom(former string) {
	s.t.Helper()
	s.Eventually(func(g Gomega) {
		secret := s.gossipSecret()
		g.Expect(string(secret.Data["key"])).NotTo(Equal(former))
		g.Expect(resources.GossipStageOf(secret)).To(Equal(resources.GossipSettled))
	}, 2*time.Minute, 50*time.Millisecond).Should(Succeed(), "the rotation ends")
}

// processes are the pods of the servers, and how often each was started.
func (s *story) processes() map[string]string {
	s.t.Helper()
	pods, err := s.Pods(s.t.Context())
	s.Expect(err).NotTo(HaveOccurred())
	return pods
}

func inGossipPhase(phase v1alpha1.GossipPhase) func(*v1alpha1.ConsulCluster) bool {
	return func(c *v1alpha1.ConsulCluster) bool { return c.Status.GossipEncryption == phase }
}

func (s *story) gossipSecret() *corev1.Secret {
	s.t.Helper()
	return s.secret(resources.GossipSecretName(s.Key.Name))
}

// expectEncryptedGossip asks each server for the keys of all.
func (s *story) expectEncryptedGossip() {
	s.t.Helper()
	servers, key := s.cluster().Status.Servers, string(s.gossipSecret().Data["key"])
	for _, server := range servers {
		agent := s.agent(server.Address)
		s.Eventually(func(g Gomega) {
			ring, err := agent.Keyring(s.t.Context())
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(ring.Members).To(Equal(len(servers)))
			g.Expect(ring.Shared()).To(Equal(key), "all have the key of the Secret")
		}, time.Minute, 100*time.Millisecond).Should(Succeed(), server.Name)
	}
}
