package consul

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/internal/resources"
)

// Clusters with a gossip key each do not become one, neither because somebody asks their agents for it, nor because a server
// comes back and remembers an address, and a name, that belong to another cluster by now. Clusters without keys do.
func TestClustersDoNotMerge(t *testing.T) {
	t.Parallel()
	for name, encrypted := range map[string]bool{"without keys": false, "with a key each": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			cluster := func(n int) *realServers {
				servers, keys := newServers(t, "1.22.7", n), resources.NewGossipKeys()
				if encrypted {
					servers.prepare = func(s *realServer) { s.giveKeys(t, keys) }
				}
				return servers
			}
			former := cluster(2)
			former.start()
			back := former.start()
			former.leader()
			for _, server := range former.list {
				server.kill()
			}
			another := cluster(1)
			another.block = former.block
			stranger := another.start()
			g.Expect(stranger.rpc()).To(Equal(former.list[0].rpc()))
			another.leader()
			former.run(back)

			members := func(g Gomega) int {
				all, err := back.client().Agent().Members(false)
				g.Expect(err).NotTo(HaveOccurred())
				return len(all)
			}
			if !encrypted {
				g.Eventually(members, 30*time.Second, 50*time.Millisecond).Should(Equal(2))
				return
			}
			g.Eventually(members, 30*time.Second, 50*time.Millisecond).Should(Equal(1), "it answers")
			g.Expect(back.client().Agent().Join(stranger.ip, false)).NotTo(Succeed())
			g.Expect(stranger.client().Agent().Join(back.ip, false)).NotTo(Succeed())
			g.Expect(members(g)).To(Equal(1))
			g.Expect(stranger.Members(t.Context())).To(HaveLen(1))
			g.Expect(stranger.RaftPeers(t.Context())).To(HaveLen(1))
		})
	}
}
