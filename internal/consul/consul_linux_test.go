package consul

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/uuid"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"

	"github.com/consul-operator/consul-operator/internal/plan"
)

// TestRealConsul follows one cluster from its first leader to the loss of its quorum.
func TestRealConsul(t *testing.T) {
	t.Parallel()
	s := startServers(t, "1.22.7", 3)
	s.leader()
	steps := []struct {
		name string
		run  func(*testing.T, *realServers)
	}{
		{"every server answers", everyServerAnswers},
		{"what is unknown is not found", unknownIsNotFound},
		{"min_quorum changes alone", settingsOfAutopilotChangeAlone},
		{"an idle cluster is left alone", idleIsLeftAlone},
		{"wakes on a transfer from outside", wakesOnTransfer},
		{"wakes when a server joins", wakesOnJoin},
		{"wakes when the leader hangs", wakesOnHungLeader},
		{"wakes when a follower is killed", wakesOnKilledFollower},
		{"a dead server is unhealthy, then pruned", deadIsPruned},
		{"leave is done although it is not answered", leaveIsUnanswered},
		{"wakes when the leader is killed", wakesOnKilledLeader},
		{"without a quorum", withoutQuorum},
		{"started without a leader", startedWithoutLeader},
	}
	for _, step := range steps {
		ok := t.Run(step.name, func(t *testing.T) {
			start := time.Now()
			step.run(t, s)
			t.Logf("took %v", time.Since(start).Round(time.Millisecond))
		})
		if !ok {
			t.FailNow()
		}
	}
}

// A version that users upgrade from gives the same answers.
func TestRealConsul119(t *testing.T) {
	t.Parallel()
	s := startServers(t, "1.19.2", 1)
	s.leader()
	everyServerAnswers(t, s)
	unknownIsNotFound(t, s)
	settingsOfAutopilotChangeAlone(t, s)
	idleIsLeftAlone(t, s)
}

func everyServerAnswers(t *testing.T, s *realServers) {
	g := NewWithT(t)
	leader := s.leader()
	version := s.binary[strings.LastIndex(s.binary, "-")+1:]
	for _, server := range s.list {
		self, err := server.Self(t.Context())
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(self.NodeID).To(Equal(server.id))
		g.Expect(self.Version).To(Equal(version))
		g.Expect(self.LeaderAddr).To(Equal(leader.rpc()))
		g.Expect(self.Leads).To(Equal(server == leader))
		g.Expect(self.Term).To(BeNumerically(">", 0))
		g.Expect(self.LastIndex).To(BeNumerically(">", 0))

		var peers, members, configured []string
		raft, err := server.RaftPeers(t.Context())
		g.Expect(err).NotTo(HaveOccurred())
		for _, p := range raft {
			g.Expect(p.Voter).To(BeTrue())
			peers = append(peers, p.ID+p.Name)
		}
		for _, p := range self.Peers {
			g.Expect(p.Voter).To(BeTrue())
			configured = append(configured, p.ID)
		}
		serf, err := server.Members(t.Context())
		g.Expect(err).NotTo(HaveOccurred())
		for _, m := range serf {
			g.Expect(m.Status).To(Equal(plan.MemberAlive))
			members = append(members, m.ID+m.Name)
		}
		for _, other := range s.list {
			g.Expect(peers).To(ContainElement(other.id + other.name))
			g.Expect(members).To(ContainElement(other.id + other.name))
			g.Expect(configured).To(ContainElement(other.id))
		}
		g.Expect(configured).To(HaveLen(len(s.list)))
		g.Expect(peers).To(HaveLen(len(s.list)))
		g.Expect(members).To(HaveLen(len(s.list)))
	}
	for _, server := range s.list { // registered a moment after they are elected
		g.Eventually(func(g Gomega) {
			nodes, err := server.Catalog(t.Context())
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(nodes).To(HaveLen(len(s.list)))
			for _, other := range s.list {
				g.Expect(nodes).To(ContainElement(plan.Node{ID: other.id, Name: other.name}))
			}
		}, 10*time.Second, 100*time.Millisecond).Should(Succeed())
	}
	for _, server := range s.list { // forwarded, where it is not the leader
		g.Eventually(func(g Gomega) {
			health, err := server.Health(t.Context())
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(health).To(HaveLen(len(s.list)))
			for _, other := range s.list {
				g.Expect(health).To(HaveKeyWithValue(other.id, plan.HealthHealthy))
			}
			leader, err := server.LeaderAddr(t.Context())
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(leader).To(Equal(s.leader().rpc()))
		}, 10*time.Second, 100*time.Millisecond).Should(Succeed())
	}
}

func unknownIsNotFound(t *testing.T, s *realServers) {
	g := NewWithT(t)
	leader := s.leader()
	g.Expect(leader.TransferLeadership(t.Context(), uuid.NewString())).To(MatchError(ErrNotFound))
	g.Expect(leader.RemovePeer(t.Context(), uuid.NewString())).To(MatchError(ErrNotFound))
	g.Expect(leader.ForceLeave(t.Context(), "nobody")).To(MatchError(ErrNotFound))
}

func settingsOfAutopilotChangeAlone(t *testing.T, s *realServers) {
	g := NewWithT(t)
	leader := s.leader()
	before, _ := autopilotOf(t, leader)
	g.Expect(leader.SetAutopilot(t.Context(), minQuorum3)).To(Succeed())
	g.Expect(leader.Autopilot(t.Context())).To(And(
		HaveKeyWithValue("min_quorum", "3"), HaveKeyWithValue("cleanup_dead_servers", "false"),
		HaveKeyWithValue("last_contact_threshold", "200ms")))
	after, index := autopilotOf(t, leader)
	g.Expect(strings.ReplaceAll(after, `"MinQuorum":3`, `"MinQuorum":0`)).To(Equal(before))
	g.Expect(after).To(ContainSubstring(`"CleanupDeadServers":false`))

	g.Expect(leader.SetAutopilot(t.Context(), minQuorum3)).To(Succeed())
	_, again := autopilotOf(t, leader)
	g.Expect(again).To(Equal(index), "nothing is written where nothing changes")

	changes := map[string]string{"last_contact_threshold": "300ms", "max_trailing_logs": "300", "server_stabilization_time": "5s"}
	g.Expect(leader.SetAutopilot(t.Context(), changes)).To(Succeed())
	for name, value := range changes {
		g.Expect(leader.Autopilot(t.Context())).To(HaveKeyWithValue(name, value))
	}
	g.Expect(leader.Autopilot(t.Context())).To(HaveKeyWithValue("min_quorum", "3"))
}

// autopilotOf returns the autopilot configuration and its indexes.
func autopilotOf(t *testing.T, server *realServer) (fields, indexes string) {
	t.Helper()
	g := NewWithT(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
		"http://"+server.http()+"/v1/operator/autopilot/configuration", nil)
	g.Expect(err).NotTo(HaveOccurred())
	resp, err := http.DefaultClient.Do(req)
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	g.Expect(err).NotTo(HaveOccurred())
	fields, indexes, ok := strings.Cut(string(body), `,"CreateIndex"`)
	g.Expect(ok).To(BeTrue(), string(body))
	return fields, indexes
}

// watched is a Watcher that follows a cluster, its wakes, and the calls it made.
type watched struct {
	wakes chan time.Time
	mu    sync.Mutex
	calls int
}

func (w *watched) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls
}

type counted struct {
	*agent
	w *watched
}

func (c counted) WatchServers(ctx context.Context, index uint64, wait time.Duration) func() (uint64, error) {
	c.w.add()
	return c.agent.WatchServers(ctx, index, wait)
}

func (c counted) WatchLeader(ctx context.Context) func(func()) error {
	c.w.add()
	return c.agent.WatchLeader(ctx)
}

func (c counted) Self(ctx context.Context) (Self, error) {
	c.w.add()
	return c.agent.Self(ctx)
}

func (w *watched) add() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls++
}

// watch follows the cluster and consumes the wake that comes with the start.
func watch(t *testing.T, s *realServers) *watched {
	t.Helper()
	w := &watched{wakes: make(chan time.Time, 1000)}
	dial := func(to Target) Agent { return counted{s.dial(to).(*agent), w} }
	watcher := NewWatcher(dial, func(types.NamespacedName) { w.wakes <- time.Now() }, logr.Discard())
	t.Cleanup(watcher.Close)
	watcher.Follow(types.NamespacedName{Name: "consul"}, Target{Address: s.leader().http()}, s.targets())
	NewWithT(t).Eventually(w.wakes, 2*time.Second).Should(Receive())
	return w
}

// settled waits until the catalog no longer changes: servers are registered shortly after an election, and report their own
// metadata some seconds later.
func settled(t *testing.T, server *realServer) (index uint64) {
	t.Helper()
	g := NewWithT(t)
	g.Eventually(func(g Gomega) {
		var err error
		index, err = server.WatchServers(t.Context(), 0, 0)()
		g.Expect(err).NotTo(HaveOccurred())
		start := time.Now()
		g.Expect(server.WatchServers(t.Context(), index, 2*time.Second)()).To(Equal(index))
		g.Expect(time.Since(start)).To(BeNumerically(">=", 2*time.Second))
	}, 20*time.Second, 10*time.Millisecond).Should(Succeed())
	return index
}

func idleIsLeftAlone(t *testing.T, s *realServers) {
	g := NewWithT(t)
	for range 4 { // something may really have happened: a late registration, an election on a busy machine
		index, before := settled(t, s.leader()), termOf(t, s)
		w := watch(t, s)
		// The absence of wakes cannot be awaited, only watched for a while: first until all wakes of the start have come.
		time.Sleep(ringEvery + ringAfter)
		for len(w.wakes) > 0 { // of the start
			<-w.wakes
		}
		time.Sleep(3 * time.Second)
		woken, calls := len(w.wakes), w.count()
		now, err := s.leader().WatchServers(t.Context(), 0, 0)()
		g.Expect(err).NotTo(HaveOccurred())
		if now == index && termOf(t, s) == before {
			g.Expect(woken).To(BeZero(), "nothing is going on")
			g.Expect(calls).To(Equal(3))
			return
		}
		t.Logf("not idle: catalog %d to %d, term %d to %d", index, now, before, termOf(t, s))
	}
	t.Fatal("never idle")
}

func termOf(t *testing.T, s *realServers) uint64 {
	t.Helper()
	self, err := s.leader().Self(t.Context())
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return self.Term
}

// wakes is how long after the cause the wake came.
func wakes(t *testing.T, s *realServers, within time.Duration, cause func()) {
	t.Helper()
	w := watch(t, s)
	time.Sleep(ringEvery) // what belongs to the start rings within this time, or not at all: there is nothing to await
	for len(w.wakes) > 0 {
		<-w.wakes
	}
	start := time.Now()
	cause()
	done := time.Now()
	var woken time.Time
	NewWithT(t).Eventually(w.wakes, within).Should(Receive(&woken))
	t.Logf("woken %v after the start of the cause, which took %v", woken.Sub(start), done.Sub(start))
	NewWithT(t).Expect(w.count()).To(BeNumerically("<=", 10), "calls")
}

func wakesOnTransfer(t *testing.T, s *realServers) {
	g := NewWithT(t)
	leader, target := s.leader(), s.follower()
	wakes(t, s, 2*time.Second, func() {
		g.Expect(leader.TransferLeadership(t.Context(), target.id)).To(Succeed())
	})
	g.Expect(s.leader()).To(Equal(target))
}

func wakesOnJoin(t *testing.T, s *realServers) {
	g := NewWithT(t)
	leader := s.leader()
	var joined *realServer
	wakes(t, s, 10*time.Second, func() { joined = s.start() })
	g.Eventually(func(g Gomega) {
		peers, err := leader.RaftPeers(t.Context())
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(peers).To(ContainElement(And(HaveField("ID", joined.id), HaveField("Voter", false))))
	}, 10*time.Second, 100*time.Millisecond).Should(Succeed())
}

// A leader that hangs keeps its connections, so the blocking query on it says nothing.
func wakesOnHungLeader(t *testing.T, s *realServers) {
	g := NewWithT(t)
	leader := s.leader()
	wakes(t, s, 5*time.Second, func() { g.Expect(leader.process.Signal(syscall.SIGSTOP)).To(Succeed()) })
	start := time.Now()
	_, err := leader.Self(t.Context())
	g.Expect(err).To(MatchError(ErrUnanswered))
	g.Expect(time.Since(start)).To(BeNumerically("<", DefaultTimeout+500*time.Millisecond))
	g.Expect(leader.process.Signal(syscall.SIGCONT)).To(Succeed())
	g.Expect(s.leader()).NotTo(Equal(leader))
}

func wakesOnKilledFollower(t *testing.T, s *realServers) {
	wakes(t, s, 10*time.Second, s.list[3].kill)
}

func deadIsPruned(t *testing.T, s *realServers) {
	g := NewWithT(t)
	leader, dead := s.leader(), s.list[3]
	g.Eventually(func(g Gomega) {
		health, err := leader.Health(t.Context())
		g.Expect(err).NotTo(HaveOccurred(), "a 429 is an answer")
		g.Expect(health).To(HaveKeyWithValue(dead.id, plan.HealthUnhealthy), "it is not healthy")
		members, err := leader.Members(t.Context())
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(members).To(ContainElement(And(HaveField("ID", dead.id), HaveField("Status", plan.MemberFailed))))
	}, 5*time.Second, 50*time.Millisecond).Should(Succeed())
	_, err := dead.Self(t.Context())
	g.Expect(err).To(MatchError(ErrUnreachable))
	node := plan.Node{ID: dead.id, Name: dead.name}
	g.Expect(leader.Catalog(t.Context())).To(ContainElement(node), "a server that has failed stays registered")

	g.Expect(leader.ForceLeave(t.Context(), dead.name)).To(Succeed())
	g.Expect(leader.RemovePeer(t.Context(), dead.id)).To(Or(Succeed(), MatchError(ErrNotFound)))
	g.Eventually(func(g Gomega) {
		members, err := leader.Members(t.Context())
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(members).To(ContainElement(And(HaveField("ID", dead.id), HaveField("Status", plan.MemberLeft))))
		peers, err := leader.RaftPeers(t.Context())
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(peers).To(HaveLen(3))
		g.Expect(leader.Catalog(t.Context())).NotTo(ContainElement(node))
	}, 5*time.Second, 50*time.Millisecond).Should(Succeed())
}

func leaveIsUnanswered(t *testing.T, s *realServers) {
	g := NewWithT(t)
	leaving := s.follower()
	start := time.Now()
	g.Expect(leaving.Leave(t.Context())).To(MatchError(ErrUnanswered))
	g.Expect(time.Since(start)).To(BeNumerically("~", DefaultTimeout, 500*time.Millisecond))
	self, err := leaving.Self(t.Context())
	g.Expect(err).NotTo(HaveOccurred(), "a leaving server answers for itself")
	g.Expect(self.NodeID).To(Equal(leaving.id))
	g.Eventually(leaving.exited, 10*time.Second).Should(BeClosed())
	g.Expect(leaving.state.ExitCode()).To(BeZero())
	t.Logf("exited %v after leave", time.Since(start))
	peers, err := s.leader().RaftPeers(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(peers).To(HaveLen(2))
}

func wakesOnKilledLeader(t *testing.T, s *realServers) {
	wakes(t, s, 2*time.Second, s.leader().kill)
}

func withoutQuorum(t *testing.T, s *realServers) {
	g := NewWithT(t)
	last := s.running()[0]
	g.Eventually(func(g Gomega) {
		self, err := last.Self(t.Context())
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(self.LeaderAddr).To(BeEmpty())
		g.Expect(self.Leads).To(BeFalse())
	}, 5*time.Second, 50*time.Millisecond).Should(Succeed())
	peers, err := last.RaftPeers(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(peers).To(HaveLen(2))

	_, err = last.Health(t.Context())
	g.Expect(err).To(Or(MatchError(ErrNoLeader), MatchError(ErrUnanswered)))
	start := time.Now()
	patient := NewDialer(30 * time.Second)(Target{Address: last.http()})
	err = patient.RemovePeer(t.Context(), last.id)
	g.Expect(err).To(MatchError(ErrNoLeader))
	t.Logf("it reported no leader after %v", time.Since(start))
}

// A server that started without a leader knows the Raft configuration, but does not answer RaftPeers.
func startedWithoutLeader(t *testing.T, s *realServers) {
	g := NewWithT(t)
	last := s.running()[0]
	before, err := last.Self(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	last.kill()
	s.run(last)
	g.Eventually(func(g Gomega) {
		self, err := last.Self(t.Context())
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(self.Peers).To(Equal(before.Peers))
	}, 10*time.Second, 50*time.Millisecond).Should(Succeed())
	g.Expect(before.Peers).To(HaveLen(2))
	_, err = last.RaftPeers(t.Context())
	g.Expect(err).To(Or(MatchError(ErrNoLeader), MatchError(ErrUnanswered)))
}
