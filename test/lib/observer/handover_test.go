package observer

import (
	"testing"

	. "github.com/onsi/gomega"
)

func TestOnlyAHandoverThatConsul119LostIsNoChange(t *testing.T) {
	for name, test := range map[string]struct {
		first, second Leadership
		handovers     int
	}{
		"the old leader is elected again": {
			Leadership{Server: "a", Term: 2, Version: "1.19.2"}, Leadership{Server: "a", Term: 4, Version: "1.19.2"}, 0,
		},
		"another old server is elected": {
			Leadership{Server: "a", Term: 2, Version: "1.19.2"}, Leadership{Server: "b", Term: 5, Version: "1.19.2"}, 0,
		},
		"no term was lost between": {
			Leadership{Server: "a", Term: 2, Version: "1.19.2"}, Leadership{Server: "b", Term: 3, Version: "1.19.2"}, 1,
		},
		"a new server is elected": {
			Leadership{Server: "a", Term: 2, Version: "1.19.2"}, Leadership{Server: "b", Term: 5, Version: "1.22.7"}, 1,
		},
		"back to an old server": {
			Leadership{Server: "b", Term: 2, Version: "1.22.7"}, Leadership{Server: "a", Term: 4, Version: "1.19.2"}, 1,
		},
		"Consul 1.22 loses no handover": {
			Leadership{Server: "a", Term: 2, Version: "1.22.0"}, Leadership{Server: "a", Term: 4, Version: "1.22.0"}, 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			test.second.HandoverLost = handoverLost(test.first, test.second)
			seen := Timeline{Leaderships: []Leadership{test.first, test.second}, LeaderChanges: 1}
			g.Expect(seen.HandedOver(test.handovers)).To(Succeed())
			g.Expect(seen.HandedOver(1 - test.handovers)).NotTo(Succeed())
		})
	}
}

func TestALostHandoverIsSeenAndTriedAgain(t *testing.T) {
	g := NewWithT(t)
	s := newStory(3)
	s.version, s.voters = "1.19.2", []string{"consul-0", "consul-1", "consul-2"}
	s.start(s.voters...)
	s.round("consul-0", 2, s.voters...)
	s.AllowOne()
	s.claimSeen(s.next(), "consul-0", true, false)
	s.round("consul-0", 4, s.voters...)
	g.Expect(s.timeline(s.now).LeaderChanges).To(Equal(1))
	g.Expect(s.timeline(s.now).HandedOver(0)).To(Succeed())
	s.version = "1.22.7"
	s.round("consul-2", 5, s.voters...)
	g.Expect(s.timeline(s.now).Violations).To(BeEmpty())
	g.Expect(s.timeline(s.now).HandedOver(1)).To(Succeed())
	s.round("consul-1", 6, s.voters...)
	g.Expect(s.timeline(s.now).Violations).To(ConsistOf(HaveField("Message", Equal("leader change 2, at most 1 were planned: "+
		"consul-0 (term 2) → consul-0 (term 4, as the handover was lost) → consul-2 (term 5) → consul-1 (term 6)"))))
}

func TestAnElectionBeforeAnybodyHandsOverIsAChange(t *testing.T) {
	g := NewWithT(t)
	s := newStory(3)
	s.version, s.voters = "1.19.2", []string{"consul-0", "consul-1", "consul-2"}
	s.start(s.voters...)
	s.round("consul-0", 2, s.voters...)
	s.round("consul-0", 4, s.voters...)
	g.Expect(s.timeline(s.now).HandedOver(0)).NotTo(Succeed(), "consul-0 is not on its way out")
}
