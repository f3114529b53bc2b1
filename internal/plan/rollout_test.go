package plan_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/internal/plan"
)

var update = flag.Bool("update", false, "write the golden files anew")

// founded is a world with a cluster that is up.
func founded(t *testing.T, replicas, surge int) *world {
	w := newWorld(t, plan.Spec{Replicas: replicas, MaxSurge: surge, Revision: "old", Object: "consul -n default"})
	w.run(nil)
	w.log.Reset()
	w.last = ""
	w.start = w.now
	return w
}

func (w *world) upgradeTo(revision string) {
	w.note("the wanted revision becomes %s", revision)
	w.spec.Revision = revision
}

func (w *world) updated(n int) func() bool {
	return func() bool {
		count := 0
		for _, s := range w.servers {
			if s.Revision == w.spec.Revision && s.Peer != nil && s.Peer.Voter {
				count++
			}
		}
		return count == n
	}
}

// Each scenario is a whole story; its log is kept, so that a reviewer sees what a change of a rule does to users.
func TestRollouts(t *testing.T) {
	expectGolden(t, map[string]func(t *testing.T) *world{
		"bootstrap-3": func(t *testing.T) *world {
			w := newWorld(t, plan.Spec{Replicas: 3, MaxSurge: 1, Revision: "old"})
			w.run(nil)
			return w
		},
		"upgrade-3-surge-1": func(t *testing.T) *world { return upgrade(t, 3, 1) },
		"upgrade-3-surge-3": func(t *testing.T) *world { return upgrade(t, 3, 3) },
		"upgrade-1":         func(t *testing.T) *world { return upgrade(t, 1, 1) },
		"upgrade-5-surge-2": func(t *testing.T) *world { return upgrade(t, 5, 2) },
		"rollback-in-the-middle": func(t *testing.T) *world {
			w := founded(t, 3, 1)
			w.upgradeTo("new")
			w.run(w.updated(2))
			w.upgradeTo("old")
			w.run(nil)
			expectTransfers(t, w, 0)
			return w
		},
		"bad-revision-then-fixed": func(t *testing.T) *world {
			w := founded(t, 3, 1)
			w.broken["bad"] = true
			w.upgradeTo("bad")
			w.run(func() bool { return len(w.servers) == 4 && w.servers[3].Pod != nil })
			w.run(func() bool { return w.now.Sub(w.start).Seconds() > 20 })
			w.upgradeTo("good")
			w.run(nil)
			expectTransfers(t, w, 1)
			return w
		},
		"bad-first-revision-then-fixed": func(t *testing.T) *world {
			w := newWorld(t, plan.Spec{Replicas: 3, MaxSurge: 1, Revision: "bad"})
			w.broken["bad"] = true
			w.run(func() bool { return w.now.Sub(w.start).Seconds() > 5 })
			w.upgradeTo("good")
			w.run(nil)
			return w
		},
		"scale-3-5-3-1": func(t *testing.T) *world {
			w := founded(t, 3, 1)
			for _, replicas := range []int{5, 3, 1} {
				w.note("replicas become %d", replicas)
				w.spec.Replicas = replicas
				w.run(nil)
			}
			expectTransfers(t, w, 0)
			return w
		},
		"follower-lost-for-good": func(t *testing.T) *world {
			w := founded(t, 3, 1)
			w.note("consul-1 is deleted without a leave")
			w.lose("consul-1")
			w.run(nil)
			return w
		},
		"leader-lost-during-upgrade": func(t *testing.T) *world {
			w := founded(t, 3, 1)
			w.upgradeTo("new")
			w.run(w.updated(1))
			w.note("the leader %s is deleted without a leave", w.raft.Leader)
			w.lose(w.raft.Leader)
			w.run(nil)
			return w
		},
		"node-lost-for-good": func(t *testing.T) *world {
			w := founded(t, 3, 1)
			w.note("the node of consul-1 dies, for good")
			w.killNode("consul-1")
			w.run(nil)
			expectTransfers(t, w, 0)
			return w
		},
		"node-lost-during-upgrade": func(t *testing.T) *world {
			w := founded(t, 3, 1)
			w.upgradeTo("new")
			w.run(w.updated(1))
			w.note("the node of the new consul-3 dies, for good")
			w.killNode("consul-3")
			w.run(nil)
			expectTransfers(t, w, 1)
			return w
		},
		"quorum-lost-and-recovered": func(t *testing.T) *world {
			w := founded(t, 3, 1)
			after := 30 * time.Second
			w.spec.RecoverAfter = &after
			w.note("consul-0 and consul-1 are lost with their volumes; spec.recovery.mode is Automatic")
			w.loseQuorum("consul-0", "consul-1")
			w.run(nil)
			return w
		},
		"quorum-lost-during-upgrade-and-given-up": func(t *testing.T) *world {
			w := founded(t, 5, 1)
			w.upgradeTo("new")
			w.run(w.updated(2))
			w.note("consul-2, consul-3 and consul-4 are lost with their volumes; spec.recovery.mode is Manual")
			w.loseQuorum("consul-2", "consul-3", "consul-4")
			until := w.now.Add(20 * time.Second)
			w.run(func() bool { return w.now.After(until) })
			w.note("a person gives them up")
			w.spec.AcceptedLoss = []string{"consul-2", "consul-3", "consul-4"}
			w.run(nil)
			return w
		},
		"node-drained": func(t *testing.T) *world {
			w := founded(t, 3, 1)
			w.run(func() bool { return w.now.Sub(w.start) > 10*time.Second })
			w.note("the node of the leader, %s, is drained", w.raft.Leader)
			w.cordon(w.raft.Leader)
			w.run(nil)
			expectTransfers(t, w, 1)
			return w
		},
		"node-drained-and-nowhere-to-go": func(t *testing.T) *world {
			w := founded(t, 3, 1)
			w.full = true
			w.run(func() bool { return w.now.Sub(w.start) > 10*time.Second })
			w.note("the node of the leader, %s, is drained, and no other node takes a server", w.raft.Leader)
			w.cordon("consul-0")
			w.run(func() bool { return w.evictable })
			w.note("the drain evicts consul-0")
			w.stopPod(w.find("consul-0"))
			w.run(func() bool { pod := w.find("consul-0").Pod; return pod != nil && !pod.Terminating && !w.evictable })
			w.note("the node takes pods again")
			w.uncordon("consul-0")
			w.run(nil)
			expectTransfers(t, w, 1)
			return w
		},
		"paused-during-upgrade": func(t *testing.T) *world {
			w := founded(t, 3, 1)
			w.upgradeTo("new")
			w.run(w.updated(1))
			w.note("paused")
			w.spec.Paused = true
			until := w.now.Add(leaveTakes)
			w.run(func() bool { return w.now.After(until) })
			w.note("no longer paused")
			w.spec.Paused = false
			w.run(nil)
			expectTransfers(t, w, 1)
			return w
		},
		"leadership-on-request": func(t *testing.T) *world {
			w := founded(t, 3, 1)
			w.note("a person asks for a transfer")
			w.spec.Transfer = &plan.TransferRequest{}
			w.run(func() bool { return w.spec.Transfer == nil })
			w.run(nil)
			expectTransfers(t, w, 1)
			return w
		},
	})
}

// expectGolden tells stories and compares their logs with the ones that are kept.
func expectGolden(t *testing.T, stories map[string]func(t *testing.T) *world) {
	t.Helper()
	for name, tell := range stories {
		t.Run(name, func(t *testing.T) {
			w := tell(t)
			file := filepath.Join("testdata", "rollouts", name+".golden")
			if *update {
				NewWithT(t).Expect(os.MkdirAll(filepath.Dir(file), 0o750)).To(Succeed())
				NewWithT(t).Expect(os.WriteFile(file, []byte(w.log.String()), 0o600)).To(Succeed())
			}
			golden, err := os.ReadFile(file) //nolint:gosec // our own file
			NewWithT(t).Expect(err).NotTo(HaveOccurred(), "run with -update to write it")
			NewWithT(t).Expect(w.log.String()).To(Equal(string(golden)), "run with -update if this is what users should see")
		})
	}
}

// upgrade is a whole upgrade without faults: one planned change of leadership (I3).
func upgrade(t *testing.T, replicas, surge int) *world {
	w := founded(t, replicas, surge)
	w.upgradeTo("new")
	w.run(nil)
	expectTransfers(t, w, 1)
	for _, s := range w.servers {
		NewWithT(t).Expect(s.Revision).To(Equal("new"))
	}
	NewWithT(t).Expect(w.servers).To(HaveLen(replicas))
	return w
}

func expectTransfers(t *testing.T, w *world, n int) {
	t.Helper()
	NewWithT(t).Expect(w.transfers).To(Equal(n), "I3: planned changes of leadership\n"+w.log.String())
}
