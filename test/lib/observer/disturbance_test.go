package observer

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/test/lib/invariant"
)

// quiet lets everybody answer for a while.
func (s *story) quiet(duration time.Duration, leader string, term uint64) {
	for end := s.now.Add(duration); s.now.Before(end); {
		s.round(leader, term, s.voters...)
	}
}

func TestAFaultIsInEffectUntilTheClusterHasRecovered(t *testing.T) {
	g := NewWithT(t)
	s := three()
	s.disturb(s.now)
	s.unreachable(s.next(), "consul-0", "uid-consul-0")
	s.voters = []string{"consul-1", "consul-2"}
	s.round("", 0, s.voters...)
	s.quiet(2*recoveredAfter, "consul-2", 3)
	g.Expect(s.faulty()).To(BeTrue(), "two of three vote")
	g.Expect(s.whole(s.now)).To(BeFalse())

	s.voters = []string{"consul-0", "consul-1", "consul-2"}
	s.quiet(time.Second, "consul-2", 3)
	g.Expect(s.whole(s.now)).To(BeTrue())
	g.Expect(s.faulty()).To(BeTrue(), "it may not last")
	s.quiet(recoveredAfter, "consul-2", 3)
	g.Expect(s.faulty()).To(BeFalse())
	g.Expect(s.timeline(s.now).Violations).To(BeEmpty())
	g.Expect(s.timeline(s.now).Disturbed).To(BeNumerically("~", 3*recoveredAfter+time.Second, time.Second))

	s.voters = s.voters[:2]
	s.round("consul-2", 3, "consul-2")
	g.Expect(s.timeline(s.now).Violations).To(ConsistOf(HaveField("Invariant", invariant.I2)), "everything is asserted again")
}

func TestAForfeitedClaimIsNobodysFault(t *testing.T) {
	g := NewWithT(t)
	s := three()
	s.server("consul-1").claimForfeited = true
	for _, name := range []string{"consul-1", "consul-2"} {
		s.claimSeen(s.next(), name, false, true)
	}
	s.now = s.next()
	s.round("consul-0", 2, "consul-0")
	g.Expect(s.whole(s.now)).To(BeFalse(), "its disk is going")
	g.Expect(s.timeline(s.now).Violations).To(ConsistOf(HaveField("Message", ContainSubstring("claim of consul-2 was"))))
}

func TestWhileFaultsAreInEffectOnlyTheSparedAreKnownToBePrunedAlive(t *testing.T) {
	g := NewWithT(t)
	s := three()
	s.disturb(s.now)
	s.unreachable(s.next(), "consul-1", "uid-consul-1")
	s.round("consul-0", 2, s.voters...)
	viewed := s.now
	s.quiet(time.Second, "consul-0", 2)
	s.aliveAfterRemoval(s.now, "consul-1", viewed.Add(-time.Second)) // It was down then.
	g.Expect(s.timeline(s.now).Violations).To(BeEmpty())
	s.aliveAfterRemoval(s.now, "consul-2", viewed)
	g.Expect(s.timeline(s.now).Violations).To(ConsistOf(HaveField("Invariant", invariant.I4)))
}
