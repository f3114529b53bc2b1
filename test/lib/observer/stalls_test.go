package observer

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/test/lib/invariant"
)

func TestAMachineThatStandsStillIsAFault(t *testing.T) {
	g := NewWithT(t)
	s := three()
	s.AllowOne()
	s.ran = s.now
	s.runs(s.next())
	g.Expect(s.faulty()).To(BeFalse(), "100 ms late is a busy machine")
	g.Expect(s.timeline(s.now).DisturbedLeadership()).To(BeFalse())
	g.Expect(s.timeline(s.now).Stalls.String()).To(Equal("never for longer than 150 ms"))

	s.now = s.now.Add(2500 * time.Millisecond)
	s.runs(s.now)
	g.Expect(s.faulty()).To(BeTrue())
	s.round("consul-1", 3, s.voters...)
	s.round("consul-2", 4, s.voters...)
	s.quiet(recoveredAfter+time.Second, "consul-2", 4)
	g.Expect(s.faulty()).To(BeFalse())
	seen := s.timeline(s.now)
	g.Expect(seen.Stalls.String()).To(Equal("once, for 2,490 ms; that is a fault, too"))
	g.Expect(seen.Violations).To(BeEmpty(), "nobody has planned what followed")
	g.Expect(seen.DisturbedLeadership()).To(BeTrue())
	g.Expect(seen.HandedOver(0)).To(Succeed())
	g.Expect(seen.HandedOver(2)).To(Succeed())
	g.Expect(seen.HandedOver(3)).NotTo(Succeed(), "they never happened")

	s.round("consul-0", 5, s.voters...)
	g.Expect(s.timeline(s.now).Violations).To(BeEmpty(), "this one was planned")
	s.round("consul-1", 6, s.voters...)
	g.Expect(s.timeline(s.now).Violations).To(ConsistOf(HaveField("Invariant", invariant.I3)), "everything is asserted again")
	g.Expect(s.timeline(s.now).HandedOver(1)).NotTo(Succeed())
}

func TestAStallEndsNoFaultThatLasts(t *testing.T) {
	g := NewWithT(t)
	s := three()
	s.faults, s.ran = true, s.now
	s.now = s.now.Add(time.Second)
	s.runs(s.now)
	s.quiet(2*recoveredAfter, "consul-0", 2)
	g.Expect(s.disturbed()).To(BeFalse())
	g.Expect(s.faulty()).To(BeTrue(), "nobody has called SetFaults(false)")
}
