package consul

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// A rotation of the gossip key, step by step, in a cluster of several versions. After each step a server starts with what
// the Secret holds by then: it is always heard, and hears the others.
func TestGossipKeyRotation(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	first := resources.NewGossipKeys()
	coming := first.WithNext(resources.NewGossipKeys())
	going := coming.WithNewFirst()
	former, key := first.New(), coming.New()
	keys := first
	servers := newServers(t, "1.22.7", 3)
	servers.prepare = func(s *realServer) { s.giveKeys(t, keys) }
	for _, version := range []string{"1.19.2", "1.22.0", "1.22.7"} {
		servers.binary = filepath.Join(filepath.Dir(servers.binary), "consul-"+version)
		servers.start()
	}
	leader := servers.leader()
	// have waits until all members have told that so many have and use each key.
	have := func(members int, has, uses map[string]int) {
		t.Helper()
		g.Eventually(func(g Gomega) {
			ring, err := leader.Keyring(t.Context())
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(ring).To(Equal(Keyring{Members: members, Keys: has, Primary: uses}), "keys that nobody else has")
		}, 30*time.Second, 100*time.Millisecond).Should(Succeed())
	}
	// do repeats a step until all members have told in time that they took it, as the operator does.
	do := func(step func(context.Context, string) error, key, why string) {
		t.Helper()
		g.Eventually(func() error { return step(t.Context(), key) }, 30*time.Second, 100*time.Millisecond).Should(Succeed(), why)
	}
	joins := func() {
		t.Helper()
		joined := servers.start()
		g.Eventually(func() (int, error) { return joined.statusBy(leader) }, 30*time.Second, 50*time.Millisecond).
			Should(Equal(1), "alive")
	}
	answers := func(s *realServer) {
		t.Helper()
		g.Eventually(func() error { _, err := s.Self(t.Context()); return err }, 30*time.Second, 50*time.Millisecond).Should(Succeed())
	}
	have(3, map[string]int{former: 3}, map[string]int{former: 3})

	keys = coming
	joins()
	have(4, map[string]int{former: 4, key: 1}, map[string]int{former: 4})
	do(leader.InstallGossipKey, key, "for the first time")
	do(leader.InstallGossipKey, key, "once more")
	have(4, map[string]int{former: 4, key: 4}, map[string]int{former: 4})

	keys = going
	joins()
	have(5, map[string]int{former: 5, key: 5}, map[string]int{former: 4, key: 1})
	do(leader.UseGossipKey, key, "all have it")
	have(5, map[string]int{former: 5, key: 5}, map[string]int{key: 5})

	keys = going.Removing()
	joins()
	have(6, map[string]int{former: 5, key: 6}, map[string]int{key: 6})
	do(leader.RemoveGossipKey, former, "those that do not have it do not mind")
	have(6, map[string]int{key: 6}, map[string]int{key: 6})

	// Members that join within seconds get to hear of it as well, so what Consul refuses comes last.
	other := resources.NewGossipKeys().New()
	g.Eventually(func() error { return leader.UseGossipKey(t.Context(), other) }, 30*time.Second, 100*time.Millisecond).
		Should(MatchError(And(ContainSubstring("6/6 nodes reported failure"), Not(ContainSubstring(other)))), "nobody has it")
	g.Expect(leader.RemoveGossipKey(t.Context(), key)).NotTo(Succeed(), "all encrypt with it")
	have(6, map[string]int{key: 6}, map[string]int{key: 6})

	again := servers.follower()
	again.kill()
	servers.run(again)
	g.Eventually(func() ([]plan.Member, error) { return again.Members(t.Context()) }, 30*time.Second, 50*time.Millisecond).
		Should(HaveLen(6)) // before that, a question for keys could crash it: see Agent
	have(6, map[string]int{key: 6}, map[string]int{key: 6})

	keys = first
	late := servers.start()
	answers(late)
	g.Expect(late.client().Agent().Join(leader.ip, false)).NotTo(Succeed(), "it has the former key alone")
}
