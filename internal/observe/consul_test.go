package observe_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/internal/plan"
)

func TestHealthyCluster(t *testing.T) {
	w := newWorld(t)
	s := w.look()
	w.Expect(s.Raft.Known).To(BeTrue())
	w.Expect(s.Raft.Leader).To(Equal("consul-0"))
	w.Expect(s.Raft.Term).To(Equal(uint64(7)))
	w.Expect(s.Raft.MinQuorum).To(Equal(3))
	w.Expect(s.Raft.Autopilot).To(HaveKeyWithValue("last_contact_threshold", "200ms"))
	w.Expect(s.Spec.Autopilot).To(BeEmpty())
	w.Expect(s.Raft.Peers).To(HaveLen(3))
	w.Expect(s.Raft.Members).To(HaveLen(3))
	w.Expect(s.Raft.Catalog).To(HaveLen(3))
	w.Expect(s.Raft.CatalogTold).To(BeTrue())
	w.Expect(s.Raft.CatalogUnanswered).To(BeFalse())
	w.Expect(names(s.Servers)).To(Equal([]string{"consul-0", "consul-1", "consul-2"}))
	for i, server := range s.Servers {
		w.Expect(server.Agent).To(Equal(plan.Agent{Answered: true, Version: "1.22.7", LastIndex: 100}))
		w.Expect(server.Peer).To(Equal(&plan.Peer{ID: w.agent(i).self.NodeID, Name: server.Name, Voter: true}))
		w.Expect(server.Member).To(Equal(plan.MemberAlive))
		w.Expect(server.Registration).To(Equal(plan.Registered))
		w.Expect(server.Health).To(Equal(plan.HealthHealthy))
	}
}

func TestWhatAutopilotIsToBeTold(t *testing.T) {
	w := newWorld(t)
	w.cluster.Spec.Config = &v1alpha1.Config{Raw: []byte(`{"Autopilot": {"last_contact_threshold": "0.5s"}}`)}
	w.Expect(w.look().Spec.Autopilot).To(Equal(map[string]string{"last_contact_threshold": "500ms"}))
}

// An address may belong to another process by now, whose answer must not be attributed to our server.
func TestAnAgentWithAnotherNodeIDIsNotTheServer(t *testing.T) {
	w := newWorld(t)
	w.agent(1).self.NodeID = "somebody else"
	s := w.look()
	w.Expect(s.Servers[1].Agent).To(Equal(plan.Agent{Silence: plan.SilenceStranger}))
	w.Expect(s.Servers[1].Peer).NotTo(BeNil(), "the leader reasons of the server")

	w = newWorld(t)
	w.agent(0).self.NodeID = "somebody else, who leads" // another cluster
	s = w.look()
	w.Expect(s.Raft.Known).To(BeFalse())
	w.Expect(s.Raft.Unknown).To(Equal("consul-0 not answering (another server answers at its address); " +
		"consul-1, consul-2 answering and not leading"))
}

func TestWhoIsAsked(t *testing.T) {
	w := newWorld(t)
	w.pods[1].Status.PodIP = ""
	w.pods[2].Status.ContainerStatuses = nil
	var mutex sync.Mutex
	asked := map[string]bool{}
	w.asked = func(address string) {
		mutex.Lock()
		defer mutex.Unlock()
		asked[address] = true
	}
	s := w.look()
	w.Expect(asked).To(Equal(map[string]bool{"10.0.0.0:8500": true}), "one without an address or a process is not")
	w.Expect(s.Target("consul-0").Address).To(Equal("10.0.0.0:8500"))
	w.Expect(s.Target("consul-1").Address).To(BeEmpty())
	w.Expect(s.Target("nobody").Address).To(BeEmpty())
	w.Expect(s.Servers[1].Agent.Answered).To(BeFalse())
	w.Expect(s.Servers[2].Agent.Answered).To(BeFalse())
}

// An old leader that was cut off does not know that it was deposed.
func TestTheLeaderOfTheHighestTerm(t *testing.T) {
	for old := range 2 {
		w := newWorld(t)
		w.leads(1)
		w.agent(old).self.Term = 6
		w.agent(old).peers = nil // who knows what it believes
		s := w.look()
		w.Expect(s.Raft.Known).To(BeTrue())
		w.Expect(s.Raft.Leader).To(Equal([]string{"consul-1", "consul-0"}[old]))
		w.Expect(s.Raft.Term).To(Equal(uint64(7)))
		w.Expect(s.Raft.Peers).To(HaveLen(3))
	}
}

func TestNobodyLeads(t *testing.T) {
	for want, change := range map[string]func(w *world){
		"consul-0, consul-1, consul-2 answering and not leading": func(w *world) { w.agent(0).self.Leads = false },
		"consul-0 not answering (a strange answer); consul-1, consul-2 answering and not leading": func(w *world) {
			w.agent(0).silent["self"] = true
		},
		"consul-0, consul-1 answering and not leading; consul-2 not answering": func(w *world) {
			w.agent(0).self.Leads = false
			w.pods = w.pods[:2]
		},
		"consul-0, consul-1, consul-2 not answering (a strange answer)": func(w *world) { w.agents = nil },
		"there is no server": func(w *world) { w.claims = nil },
	} {
		w := newWorld(t)
		change(w)
		s := w.look()
		w.Expect(s.Raft).To(Equal(plan.Raft{Unknown: want, LostSince: now}))
		for _, server := range s.Servers {
			w.Expect(server.Peer).To(BeNil())
			w.Expect(server.Member).To(Equal(plan.MemberAbsent))
			w.Expect(server.Health).To(Equal(plan.HealthUnknown))
		}
	}
}

// An incomplete snapshot counts as unknown: nothing voluntary happens.
func TestALeaderThatDoesNotTellAll(t *testing.T) {
	for _, call := range []string{"peers", "members", "health", "autopilot"} {
		t.Run(call, func(t *testing.T) {
			w := newWorld(t)
			w.agent(0).silent[call] = true
			s := w.look()
			w.Expect(s.Raft).To(Equal(plan.Raft{
				Unknown: "consul-0 leads but did not report the state of the cluster: not today", LostSince: now,
			}))
			w.Expect(s.Servers[0].Agent.Answered).To(BeTrue())
			for _, server := range s.Servers {
				w.Expect(server.Peer).To(BeNil())
				w.Expect(server.Member).To(Equal(plan.MemberAbsent))
			}
		})
	}
}

// The catalog is for display only.
func TestALeaderThatDoesNotTellTheCatalog(t *testing.T) {
	w := newWorld(t)
	w.agent(0).silent["catalog"], w.agent(0).nodes = true, nil
	w.cluster.Status.Servers = []v1alpha1.ServerStatus{{Name: "consul-1", Catalog: v1alpha1.CatalogAbsent}}
	s := w.look()
	w.Expect(s.Raft.Known).To(BeTrue())
	w.Expect(s.Raft.Catalog).To(BeEmpty())
	w.Expect(s.Raft.CatalogTold).To(BeFalse())
	w.Expect(s.Raft.CatalogUnanswered).To(BeTrue())
	w.Expect(s.Servers[0].Registration).To(BeEmpty(), "it was never told")
	w.Expect(s.Servers[1].Registration).To(Equal(plan.NotRegistered), "as it was last known")
}

// What ACLs hide is unknown; what is not hidden is absent, also where the catalog is empty, as after a restore.
func TestAnEmptyCatalog(t *testing.T) {
	w := newWorld(t)
	w.agent(0).nodes = nil
	s := w.look()
	w.Expect(s.Raft.CatalogTold).To(BeTrue())
	w.Expect(s.Servers[1].Registration).To(Equal(plan.NotRegistered))

	w.agent(0).catalog = consul.ErrFiltered
	w.cluster.Status.Servers = []v1alpha1.ServerStatus{{Name: "consul-1", Catalog: v1alpha1.CatalogRegistered}}
	s = w.look()
	w.Expect(s.Raft.CatalogTold).To(BeFalse())
	w.Expect(s.Raft.CatalogUnanswered).To(BeFalse(), "it is not asked for again")
	w.Expect(s.Servers[1].Registration).To(Equal(plan.Registered), "as it was last known")
}

func TestSinceWhenALeaderLeads(t *testing.T) {
	since := metav1.NewTime(now.Add(-time.Hour))
	for name, test := range map[string]struct {
		change func(w *world)
		want   time.Time
	}{
		"the same in the same term": {func(*world) {}, since.Time},
		"the same in another term":  {func(w *world) { w.agent(0).self.Term = 8 }, now},
		"another one":               {func(w *world) { w.cluster.Status.Leader = "consul-1" }, now},
		"the status does not say":   {func(w *world) { w.cluster.Status.LeaderSince = nil }, now},
		"nothing was ever written":  {func(w *world) { w.cluster.Status.Leader, w.cluster.Status.Term = "", 0 }, now},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.cluster.Status.Leader, w.cluster.Status.Term, w.cluster.Status.LeaderSince = "consul-0", 7, &since
			test.change(w)
			w.Expect(w.look().Raft.LeaderSince).To(Equal(test.want))
		})
	}
}

func TestWhatTheLeaderSaysOfAServer(t *testing.T) {
	w := newWorld(t)
	leader := w.agent(0)
	leader.peers[1].Voter, leader.peers[1].Name = false, "" // Serf does not know it
	leader.serf[1].Status = plan.MemberFailed
	leader.votes[w.agent(1).self.NodeID] = plan.HealthUnhealthy
	leader.peers, leader.serf, leader.nodes = leader.peers[:2], leader.serf[:2], leader.nodes[:2]
	delete(leader.votes, w.agent(2).self.NodeID)
	leader.peers = append(leader.peers, plan.Peer{ID: "x", Name: "stray", Voter: true})
	leader.serf = append(leader.serf, plan.Member{ID: "x", Name: "stray", Status: plan.MemberLeft})
	s := w.look()

	sick := s.Servers[1]
	w.Expect(sick.Peer).To(Equal(&plan.Peer{ID: sick.ID, Name: "consul-1"}), "the name is known from the claim")
	w.Expect(sick.Member).To(Equal(plan.MemberFailed))
	w.Expect(sick.Health).To(Equal(plan.HealthUnhealthy))
	w.Expect(sick.UnhealthySince).To(Equal(now), "it is seen for the first time")

	unknown := s.Servers[2]
	w.Expect(unknown.Peer).To(BeNil())
	w.Expect(unknown.Member).To(Equal(plan.MemberAbsent))
	w.Expect(unknown.Registration).To(Equal(plan.NotRegistered))
	w.Expect(unknown.Health).To(Equal(plan.HealthUnknown))
	w.Expect(unknown.Agent.Answered).To(BeTrue())

	w.Expect(s.Raft.Peers).To(ContainElement(plan.Peer{ID: "x", Name: "stray", Voter: true}))
	w.Expect(s.Raft.Members).To(ContainElement(plan.Member{ID: "x", Name: "stray", Status: plan.MemberLeft}))
}

// Autopilot's stable_since is when it first heard of a server. Based on it, a server that hung for a moment after hours of
// health was given up.
func TestSinceWhenAServerIsUnhealthy(t *testing.T) {
	led, since := metav1.NewTime(now.Add(-time.Hour)), metav1.NewTime(now.Add(-time.Minute))
	for name, test := range map[string]struct {
		change func(w *world)
		want   time.Time
	}{
		"it was before":               {func(*world) {}, since.Time},
		"it was not before":           {func(w *world) { w.cluster.Status.Servers[0].UnhealthySince = nil }, now},
		"it is new":                   {func(w *world) { w.cluster.Status.Servers = nil }, now},
		"another leader says so":      {func(w *world) { w.cluster.Status.Leader = "consul-2" }, now},
		"there was no leader":         {func(w *world) { w.cluster.Status.Leader, w.cluster.Status.LeaderSince = "", nil }, now},
		"it is healthy by now":        {func(w *world) { w.agent(0).votes[w.agent(1).self.NodeID] = plan.HealthHealthy }, time.Time{}},
		"autopilot reasons not of it": {func(w *world) { w.agent(0).votes = nil }, time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.agent(0).votes[w.agent(1).self.NodeID] = plan.HealthUnhealthy
			w.cluster.Status.Leader, w.cluster.Status.Term, w.cluster.Status.LeaderSince = "consul-0", 7, &led
			w.cluster.Status.Servers = []v1alpha1.ServerStatus{{Name: "consul-1", UnhealthySince: &since}}
			test.change(w)
			w.Expect(w.look().Servers[1].UnhealthySince).To(Equal(test.want))
		})
	}
}

// Why an agent does not answer is told apart: a person has to look elsewhere each time.
func TestWhyAnAgentIsSilent(t *testing.T) {
	for want, err := range map[plan.Silence]error{
		plan.SilenceForbidden:  fmt.Errorf("self: %w", consul.ErrForbidden),
		plan.SilenceRefused:    fmt.Errorf("self: %w: %w", consul.ErrUnreachable, syscall.ECONNREFUSED),
		plan.SilenceNoRoute:    fmt.Errorf("self: %w: %w", consul.ErrUnreachable, context.DeadlineExceeded),
		plan.SilenceUnanswered: fmt.Errorf("self: %w", consul.ErrUnanswered),
		plan.SilenceStrange:    errors.New("no JSON"),
	} {
		w := newWorld(t)
		w.agent(1).fails = err
		s := w.look()
		w.Expect(s.Servers[1].Agent).To(Equal(plan.Agent{Silence: want}))
		w.Expect(s.Servers[2].Agent.Silence).To(BeEmpty())
	}
}

// A leader that cannot commit does not answer for itself, and tells everything else.
func TestALeaderThatDoesNotAnswerForItself(t *testing.T) {
	const addr = "10.0.0.0:8300"
	mute := func(w *world) {
		leader := w.agent(0)
		leader.mute, leader.self.LeaderAddr = true, addr
		for i := range leader.serf {
			leader.serf[i].Version = "1.20.1+ent"
		}
		w.agent(1).self.LeaderAddr, w.agent(1).self.Term = "10.0.0.2:8300", 6 // it has not heard of the election
		w.agent(2).self.LeaderAddr = addr
	}
	w := newWorld(t)
	mute(w)
	s := w.look()
	w.Expect(s.Raft).To(And(HaveField("Known", true), HaveField("Leader", "consul-0"), HaveField("Term", uint64(7))))
	w.Expect(s.Raft.Peers).To(HaveLen(3))
	w.Expect(s.Servers[0].Agent).To(Equal(plan.Agent{
		Silence: plan.SilenceUnanswered, Version: "1.20.1+ent", ReadsOnlyOldLogs: true,
	}))

	for what, change := range map[string]func(*world){
		"it follows another one by now":  func(w *world) { w.agent(0).self.LeaderAddr = "10.0.0.1:8300" },
		"it knows no leader any more":    func(w *world) { w.agent(0).self.LeaderAddr = "" },
		"nobody names it":                func(w *world) { w.agent(2).self.LeaderAddr = "" },
		"the highest term is another's":  func(w *world) { w.agent(1).self.Term = 8 },
		"it answers nothing":             func(w *world) { w.agent(0).fails = consul.ErrUnanswered },
		"it tells nothing else":          func(w *world) { w.agent(0).silent["members"] = true },
		"another server has its address": func(w *world) { w.agent(0).mute, w.agent(0).self = false, consul.Self{NodeID: "x"} },
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			mute(w)
			change(w)
			w.Expect(w.look().Raft.Known).To(BeFalse())
		})
	}
}

// I4: ACLs filter lists without a word. A leader that does not find itself in them does not know who else is missing.
func TestALeaderThatLeavesItselfOut(t *testing.T) {
	for what, filter := range map[string]func(*agent){
		"no member":     func(a *agent) { a.serf = nil },
		"other members": func(a *agent) { a.serf = a.serf[1:] },
		"other peers":   func(a *agent) { a.peers = a.peers[1:] },
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			filter(w.agent(0))
			s := w.look()
			w.Expect(s.Raft.Known).To(BeFalse())
			w.Expect(s.Raft.Unknown).To(ContainSubstring("leaves itself out"))
			w.Expect(s.Servers[1].Member).To(Equal(plan.MemberAbsent))
			w.Expect(s.Servers[1].Peer).To(BeNil())
		})
	}
}
