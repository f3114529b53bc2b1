package observer

import (
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/test/lib/invariant"
)

// story drives a model: each step happens 100 ms after the one before.
type story struct {
	*model
	now     time.Time
	voters  []string
	version string
}

func newStory(wanted int) *story {
	start := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	return &story{model: newModel(start, wanted), now: start, version: "1.22.0"}
}

func (s *story) next() time.Time {
	s.now = s.now.Add(100 * time.Millisecond)
	return s.now
}

func (s *story) start(names ...string) {
	for _, name := range names {
		s.claimSeen(s.next(), name, false, false)
		s.podSeen(s.next(), name, "uid-"+name, []string{"127.1.0." + fmt.Sprint(serial(name))}, false)
	}
}

// round lets every named server answer, in the order given, with the same leader and term.
func (s *story) round(leader string, term uint64, answering ...string) {
	for _, name := range answering {
		v := view{started: s.now, at: s.next(), leader: leader, term: term, peers: map[string]peer{}}
		if name != leader {
			v.term = 0
		}
		for _, voter := range s.voters {
			v.peers[voter] = peer{id: "id-" + voter, voter: true}
		}
		s.answer(name, "uid-"+name, s.version, v)
	}
}

func (s *story) stateOf(name string) State { return s.state(s.servers[name], s.now) }

// three is a story whose cluster of three stands, led by consul-0 in term 2, and serves.
func three() *story {
	s := newStory(3)
	s.voters = []string{"consul-0", "consul-1", "consul-2"}
	s.start(s.voters...)
	s.round("consul-0", 2, s.voters...)
	s.endpoints(s.next(), "consul-abc", []string{"127.1.0.0", "127.1.0.1", "127.1.0.2"})
	return s
}

func TestAReplacementIsToldFromStartToGone(t *testing.T) {
	g := NewWithT(t)
	s := three()
	s.start("consul-3")
	g.Expect(s.stateOf("consul-3")).To(Equal(Starting))
	s.round("consul-0", 2, "consul-0", "consul-3")
	g.Expect(s.stateOf("consul-3")).To(Equal(Joining))
	s.voters = append(s.voters, "consul-3")
	s.round("consul-0", 2, s.voters...)
	g.Expect(s.stateOf("consul-3")).To(Equal(Voting))
	s.endpoints(s.next(), "consul-abc", []string{"127.1.0.0", "127.1.0.2", "127.1.0.3"})
	g.Expect(s.stateOf("consul-3")).To(Equal(Serving))

	s.claimSeen(s.next(), "consul-1", true, false)
	g.Expect(s.stateOf("consul-1")).To(Equal(Retiring))
	s.voters = []string{"consul-0", "consul-2", "consul-3"}
	s.round("consul-0", 2, s.voters...)
	g.Expect(s.stateOf("consul-1")).To(Equal(Leaving))
	s.podSeen(s.next(), "consul-1", "uid-consul-1", []string{"127.1.0.1"}, true)
	s.podGone(s.next(), "consul-1", "uid-consul-1")
	s.claimGone(s.next(), "consul-1")
	s.round("consul-0", 2, s.voters...)

	timeline := s.timeline(s.now)
	g.Expect(timeline.Violations).To(BeEmpty())
	g.Expect(timeline.FewestVoters).To(Equal(3))
	g.Expect(timeline.LeaderChanges).To(BeZero())
	states := []State{}
	for _, span := range timeline.Servers[1].Spans {
		states = append(states, span.State)
	}
	g.Expect(states).To(Equal([]State{Starting, Voting, Serving, Voting, Retiring, Leaving, Gone}))
}

func TestLeadershipsFollowOneAnotherByTerm(t *testing.T) {
	g := NewWithT(t)
	s := three()
	s.AllowOne()
	s.round("consul-2", 3, "consul-2", "consul-1")
	s.round("consul-0", 2, "consul-0") // It does not know yet that it was succeeded.
	s.round("consul-2", 3, "consul-0", "consul-1", "consul-2")

	timeline := s.timeline(s.now)
	g.Expect(timeline.LeaderChanges).To(Equal(1))
	g.Expect(timeline.Leaderships).To(HaveLen(2))
	g.Expect(timeline.Leaderships[0]).To(And(HaveField("Server", "consul-0"), HaveField("To.IsZero()", false)))
	g.Expect(timeline.Leaderships[1]).To(And(HaveField("Server", "consul-2"), HaveField("Term", uint64(3))))
	g.Expect(timeline.Violations).To(BeEmpty())

	s.round("consul-2", 5, "consul-2") // Lost and won again between two questions.
	g.Expect(s.timeline(s.now).LeaderChanges).To(Equal(2))
	g.Expect(s.timeline(s.now).Violations).To(ConsistOf(HaveField("Invariant", invariant.I3)))
}

func (s *story) AllowOne() { s.allowedChanges, s.changesBefore = 1, s.handovers() }

func TestFewerVotersThanWantedIsOneViolation(t *testing.T) {
	g := NewWithT(t)
	s := three()
	s.voters = s.voters[:2]
	s.round("consul-0", 2, "consul-0", "consul-1", "consul-0", "consul-1")
	s.voters = append(s.voters, "consul-2")
	s.round("consul-0", 2, s.voters...)
	s.round("consul-0", 2, s.voters...)

	g.Expect(s.timeline(s.now).Violations).To(ConsistOf(And(
		HaveField("Invariant", invariant.I2), HaveField("Message", "2 voters, 3 are wanted"), HaveField("For", BeNumerically(">", 0)))))
	g.Expect(s.timeline(s.now).FewestVoters).To(Equal(2))
}

func TestAScaleUpViolatesNothing(t *testing.T) {
	g := NewWithT(t)
	s := three()
	s.wanted = 5
	s.start("consul-3", "consul-4")
	s.voters = append(s.voters, "consul-3")
	s.round("consul-0", 2, s.voters...)
	s.voters = append(s.voters, "consul-4")
	s.round("consul-0", 2, s.voters...)
	g.Expect(s.violations.list).To(BeEmpty())
	s.voters = s.voters[:4]
	s.round("consul-0", 2, s.voters...)
	g.Expect(s.violations.list).To(HaveLen(1), "five were reached")
}

func TestTwoRetiringAtATime(t *testing.T) {
	g := NewWithT(t)
	s := three()
	s.claimSeen(s.next(), "consul-1", true, false)
	s.round("consul-0", 2, s.voters...)
	g.Expect(s.violations.list).To(BeEmpty())
	s.claimSeen(s.next(), "consul-2", true, false)
	s.next()
	s.round("consul-0", 2, s.voters...)
	g.Expect(s.violations.list).To(ConsistOf(HaveField("Message", "consul-1 and consul-2 are retiring at the same time")))
}

// A user deletes the volume claim of a server that retires, and with it the marker. The server is a Raft peer for a moment
// longer, and the next one may retire. If nobody but the operator can have deleted the claim, both count.
func TestTheClaimOfARetiringServerIsDeleted(t *testing.T) {
	for name, byUser := range map[string]bool{"by a user": true, "by the operator": false} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			s := three()
			s.claimSeen(s.next(), "consul-1", true, false)
			s.server("consul-1").claimForfeited = byUser
			s.claimGone(s.next(), "consul-1")
			s.claimSeen(s.next(), "consul-2", true, false)
			s.next()
			s.round("consul-0", 2, s.voters...)
			if byUser {
				g.Expect(s.violations.list).To(BeEmpty())
				return
			}
			g.Expect(s.violations.list).To(ContainElement(
				HaveField("Message", "consul-1 and consul-2 are retiring at the same time")))
		})
	}
}

func TestQuorumIsOfThoseWhoAnswer(t *testing.T) {
	g := NewWithT(t)
	s := three()
	s.now = s.now.Add(answersWithin)
	s.round("consul-0", 2, "consul-0", "consul-1")
	g.Expect(s.violations.list).To(ConsistOf(HaveField("Invariant", invariant.I1)), "until the second answered there was one")
	s.now = s.now.Add(answersWithin + time.Second)
	s.changed(s.now)
	g.Expect(s.violations.list).To(HaveLen(2))
	g.Expect(s.violations.list[1].Message).To(ContainSubstring("0 of 3 voters"))

	s = three()
	s.faults = true
	s.now = s.now.Add(answersWithin + time.Second)
	s.changed(s.now)
	g.Expect(s.violations.list).To(BeEmpty())
}

func TestALeaderIsNotStopped(t *testing.T) {
	g := NewWithT(t)
	s := three()
	s.podSeen(s.next(), "consul-1", "uid-consul-1", []string{"127.1.0.1"}, true)
	g.Expect(s.violations.list).To(BeEmpty())
	s.podSeen(s.next(), "consul-0", "uid-consul-0", []string{"127.1.0.0"}, true)
	s.podSeen(s.next(), "consul-0", "uid-consul-0", []string{"127.1.0.0"}, true)
	g.Expect(s.violations.list).To(ConsistOf(HaveField("Invariant", invariant.I3)))
}

func TestAClaimOutlivesItsPeer(t *testing.T) {
	g := NewWithT(t)
	s := three()
	s.claimSeen(s.next(), "consul-1", true, true)
	g.Expect(s.violations.list).To(BeEmpty(), "an older view proves nothing")
	s.next()
	s.round("consul-0", 2, s.voters...)
	g.Expect(s.violations.list).To(ConsistOf(HaveField("Invariant", invariant.I4)))

	s = three()
	s.voters = []string{"consul-0", "consul-2"}
	s.wanted, s.floor = 1, 1
	s.claimGone(s.next(), "consul-1")
	s.next()
	s.round("consul-0", 2, s.voters...)
	g.Expect(s.violations.list).To(BeEmpty())
}

func TestRemovedPeers(t *testing.T) {
	g := NewWithT(t)
	before := view{peers: map[string]peer{"a": {id: "1"}, "b": {id: "2"}}}
	g.Expect(removedPeers(before, view{peers: map[string]peer{"a": {id: "1"}}})).To(Equal(map[string]peer{"b": {id: "2"}}))
	g.Expect(removedPeers(before, view{})).To(BeEmpty(), "an empty answer removes nobody")
}

func TestAProcessThatIsGoneSaysNothing(t *testing.T) {
	g := NewWithT(t)
	s := three()
	s.podSeen(s.next(), "consul-1", "uid-of-the-next", []string{"127.1.0.9"}, false)
	g.Expect(s.stateOf("consul-1")).To(Equal(Starting))
	s.round("consul-0", 2, "consul-1")
	g.Expect(s.stateOf("consul-1")).To(Equal(Starting))
	s.podGone(s.next(), "consul-1", "uid-consul-1")
	g.Expect(s.stateOf("consul-1")).To(Equal(Starting), "its predecessor is gone, not it")
}

func TestServersAreSortedBySerial(t *testing.T) {
	g := NewWithT(t)
	s := newStory(1)
	s.start("consul-10", "consul-9", "consul-2")
	names := []string{}
	for _, server := range s.snapshot(s.now).Servers {
		names = append(names, server.Name)
	}
	g.Expect(names).To(Equal([]string{"consul-2", "consul-9", "consul-10"}))
}
