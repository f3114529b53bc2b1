package plan_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/internal/plan"
)

// How long things take, as measured on real Consul (docs/architecture.md).
const (
	startTakes     = time.Second
	electTakes     = 2 * time.Second
	promotionTakes = 18 * time.Second
	leaveTakes     = 3500 * time.Millisecond
	stopTakes      = 300 * time.Millisecond
	routeTakes     = 100 * time.Millisecond
	suspicionTakes = 6 * time.Second
	graceTakes     = 30 * time.Second
	evictionTakes  = 5 * time.Minute
	aloneTakes     = 7 * time.Second
)

// world is a small model of Consul and Kubernetes with a clock of its own. It does what actions ask for, and asserts
// the invariants at each of them.
type world struct {
	t       *testing.T
	start   time.Time
	now     time.Time
	spec    plan.Spec
	servers []*fake
	raft    plan.Raft
	strays  []*fake
	// broken revisions never start.
	broken map[string]bool
	// minAvailable is what the disruption budget asks for, evictable whether it lets one server go. full is set where no node
	// takes another server.
	minAvailable    int
	evictable, full bool
	// transfers is the number of planned changes of leadership.
	transfers int
	log       strings.Builder
	last      string
}

// fake is a server and what is about to happen to it.
type fake struct {
	plan.Server
	pending []event
	// nodeDead is set when no kubelet looks after its pod any more.
	nodeDead bool
	// cordoned is set when the node of its volume takes no pods.
	cordoned bool
}

type event struct {
	at time.Time
	do func()
}

func newWorld(t *testing.T, spec plan.Spec) *world {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	spec.LeaderStableFor, spec.ReplaceFailedAfter, spec.ReplacementsLeft = 10*time.Second, 5*time.Minute, 3
	return &world{t: t, start: start, now: start, spec: spec, broken: map[string]bool{}}
}

// observe is what the operator sees.
func (w *world) observe() plan.Observation {
	o := plan.Observation{Spec: w.spec, Raft: w.raft, NodesKnown: true, MinAvailable: &w.minAvailable}
	o.Raft.Peers, o.Raft.Members = nil, nil
	for _, s := range append(slices.Clone(w.servers), w.strays...) {
		if s.Peer != nil {
			o.Raft.Peers = append(o.Raft.Peers, *s.Peer)
		}
		if s.Member != plan.MemberAbsent {
			o.Raft.Members = append(o.Raft.Members, plan.Member{ID: s.ID, Name: s.Name, Status: s.Member})
		}
	}
	for _, s := range w.servers {
		seen := s.Server
		if s.Pod != nil {
			pod := *s.Pod
			seen.Pod = &pod
		}
		w.leaderless(&seen)
		o.Servers = append(o.Servers, seen)
	}
	return o
}

// run plans and acts until nothing is left to do, or until the given moment.
func (w *world) run(until func() bool) {
	w.t.Helper()
	for deadline := w.now.Add(10 * time.Minute); w.now.Before(deadline); {
		w.happen()
		if until != nil && until() {
			return
		}
		d := plan.Plan(w.observe(), w.now)
		w.tell(d)
		for _, action := range d.Upkeep {
			w.act(action)
		}
		if d.Step != nil {
			w.act(d.Step)
		}
		if d.Done && len(d.Upkeep) == 0 && until == nil {
			return
		}
		w.now = w.now.Add(100 * time.Millisecond)
	}
	w.t.Fatalf("I7: the desired state is not reached\n%s", w.log.String())
}

func (w *world) setEvictable(evictable bool) {
	switch {
	case evictable && !w.evictable:
		w.note("one server may be evicted")
	case w.evictable && !evictable:
		w.note("no server may be evicted")
	}
	w.evictable = evictable
}

// happen lets the time that has passed take effect.
func (w *world) happen() {
	for _, s := range append(slices.Clone(w.servers), w.strays...) {
		for len(s.pending) > 0 && !w.now.Before(s.pending[0].at) {
			do := s.pending[0].do
			s.pending = s.pending[1:]
			do()
		}
	}
	founders := 0
	for _, s := range w.servers {
		if s.Agent.Answered && s.BootstrapExpect > 0 {
			founders++
		}
	}
	if !w.raft.Known && w.raft.Term == 0 && founders > 0 && founders == w.servers[0].BootstrapExpect {
		for _, s := range w.servers {
			s.Peer, s.Health = &plan.Peer{ID: s.ID, Name: s.Name, Voter: true}, plan.HealthHealthy
			s.Member = plan.MemberAlive
		}
		w.lead(w.servers[0].Name)
	}
}

func (w *world) lead(name string) {
	w.raft = plan.Raft{Known: true, Leader: name, Term: w.raft.Term + 1, LeaderSince: w.now, MinQuorum: w.raft.MinQuorum}
}

func (w *world) tell(d plan.Decision) {
	line := fmt.Sprintf("%s: %s", d.Reason, d.Message)
	if line == w.last {
		return
	}
	w.last = line
	voters := 0
	for _, p := range w.observe().Raft.Peers {
		if p.Voter {
			voters++
		}
	}
	leader := w.raft.Leader
	if leader == "" {
		leader = "-"
	}
	fmt.Fprintf(&w.log, "%6.1fs  %d servers, %d voters, leader %-9s %s\n",
		w.now.Sub(w.start).Seconds(), len(w.servers), voters, leader, line)
}

func (w *world) note(format string, args ...any) {
	fmt.Fprintf(&w.log, "%6.1fs  == %s\n", w.now.Sub(w.start).Seconds(), fmt.Sprintf(format, args...))
}

func (w *world) find(name string) *fake {
	i := slices.IndexFunc(w.servers, func(s *fake) bool { return s.Name == name })
	if i < 0 {
		w.t.Fatalf("there is no server %s\n%s", name, w.log.String())
	}
	return w.servers[i]
}

func (w *world) after(s *fake, d time.Duration, do func()) {
	s.pending = append(s.pending, event{w.now.Add(d), do})
	slices.SortStableFunc(s.pending, func(a, b event) int { return a.at.Compare(b.at) })
}

func (w *world) healthyVoters() int {
	n := 0
	for _, s := range w.servers {
		if s.Peer != nil && s.Peer.Voter && s.Member == plan.MemberAlive {
			n++
		}
	}
	return n
}

func (w *world) act(action plan.Action) {
	if plan.NameOf(action) == "" {
		w.t.Fatalf("%T has no name", action)
	}
	w.t.Helper()
	switch a := action.(type) {
	case plan.CreateServer:
		name := fmt.Sprintf("consul-%d", a.Serial)
		if a.BootstrapExpect > 0 && w.spec.Bootstrapped {
			w.t.Errorf("%s would found a second cluster", name)
		}
		w.servers = append(w.servers, &fake{Server: plan.Server{
			Name: name, Serial: a.Serial, ID: "id-" + name, Revision: w.spec.Revision, BootstrapExpect: a.BootstrapExpect,
		}})
		w.spec.NextSerial = a.Serial + 1
	case plan.RecordBootstrapped:
		w.spec.Bootstrapped = true
	case plan.SetMinQuorum:
		w.raft.MinQuorum = a.Servers
	case plan.SetAutopilot:
		w.raft.Autopilot = a.Settings
	case plan.SetMinAvailable:
		w.minAvailable = a.Pods
		w.setEvictable(a.Because != "")
	case plan.FinishTransfer:
		w.spec.Transfer = nil
	case plan.NameTransferTarget:
		w.spec.Transfer = &plan.TransferRequest{To: a.To}
	case plan.ForceLeave:
		s := w.dead(a.Node)
		s.Member, s.Peer = plan.MemberLeft, nil
	case plan.RemovePeer:
		w.dead(a.Name).Peer = nil
	default:
		if !w.actOnRecovery(action) {
			w.actOnServer(action)
		}
	}
}

// dead finds who is to be pruned, and asserts that it is.
func (w *world) dead(name string) *fake {
	for _, s := range append(slices.Clone(w.strays), w.servers...) {
		if s.Name == name {
			if s.Member == plan.MemberAlive || s.Member == plan.MemberLeaving {
				w.t.Errorf("I4: %s is pruned and alive", name)
			}
			return s
		}
	}
	w.t.Fatalf("there is no peer %s", name)
	return nil
}

func (w *world) actOnServer(action plan.Action) {
	switch a := action.(type) {
	case plan.CreatePod:
		s := w.find(a.Server)
		w.startPod(s)
		s.Pod.Avoids = a.Avoid
	case plan.DeletePod:
		w.stopPod(w.find(a.Server))
	case plan.SetRevision:
		s := w.find(a.Server)
		s.Revision, s.Retiring, s.InPlace = w.spec.Revision, false, false
	case plan.MarkRetiring:
		for _, s := range w.servers {
			if s.Retiring {
				w.t.Errorf("I2: %s and %s retire at the same time", s.Name, a.Server)
			}
		}
		s := w.find(a.Server)
		s.Retiring, s.InPlace = true, a.InPlace
	case plan.UnmarkRetiring:
		s := w.find(a.Server)
		s.Retiring, s.InPlace = false, false
	case plan.MarkFailed:
		w.find(a.Server).Failed = true
	case plan.UnmarkFailed:
		w.find(a.Server).Failed = false
	case plan.StartServing:
		s := w.find(a.Server)
		s.Pod.Serving, s.Pod.Ready, s.Routed = true, true, true
	case plan.StopServing:
		s := w.find(a.Server)
		s.Pod.Serving, s.Pod.Ready, s.Pod.ServingFrom = false, false, w.now
		w.after(s, routeTakes, func() { s.Routed = false })
	case plan.TransferLeadership:
		to := w.find(a.To)
		if to.Peer == nil || !to.Peer.Voter || to.Health != plan.HealthHealthy {
			w.t.Errorf("leadership is handed to %s, which is no healthy voter", a.To)
		}
		w.transfers++
		w.lead(a.To)
	case plan.Leave:
		w.leave(w.find(a.Server))
	case plan.ReleaseClaim:
		s := w.find(a.Server)
		if s.Peer != nil {
			w.t.Errorf("I4: the claim of %s is released while it is a Raft peer", s.Name)
		}
		w.servers = slices.DeleteFunc(w.servers, func(x *fake) bool { return x == s })
	case plan.QuarantineClaim:
		s := w.find(a.Server)
		if s.Peer != nil {
			w.t.Errorf("I4: the claim of %s is set aside while it is a Raft peer", s.Name)
		}
		w.servers = slices.DeleteFunc(w.servers, func(x *fake) bool { return x == s })
	default:
		w.t.Fatalf("no effect for %T", action)
	}
}

func (w *world) startPod(s *fake) {
	s.Pod = &plan.Pod{Revision: s.Revision}
	if w.spec.Recovery != nil {
		s.Pod.Recovery = w.spec.Recovery.ID
	}
	if w.broken[s.Revision] {
		s.Pod.Problem = plan.Problem{Reason: reason.ServerCannotStart, Message: "image cannot be pulled"}
		return
	}
	if w.full && (s.cordoned || s.Member == plan.MemberAbsent) && w.raft.Known {
		s.Pod.Problem = plan.Problem{Reason: reason.Unschedulable, Message: "0/3 nodes are available"}
		return
	}
	w.after(s, startTakes, func() {
		s.Pod.Running, s.Agent.Answered = true, true
		w.startAlone(s)
		if s.Peer != nil && len(w.servers)+len(w.strays) == 1 { // the only one: it has its log, and its own vote
			w.after(s, electTakes, func() {
				s.Member = plan.MemberAlive
				w.lead(s.Name)
			})
			return
		}
		if !w.raft.Known {
			return
		}
		w.join(s)
	})
}

// join makes the leader add a server to Raft; autopilot promotes it later.
func (w *world) join(s *fake) {
	s.Member, s.Health, s.Peer = plan.MemberAlive, plan.HealthHealthy, &plan.Peer{ID: s.ID, Name: s.Name}
	w.after(s, promotionTakes, func() {
		if s.Peer != nil {
			s.Peer.Voter = true
		}
	})
}

// stopPod sends SIGTERM: a server that takes part leaves.
func (w *world) stopPod(s *fake) {
	s.Pod.Terminating, s.Pod.StopBy, s.Pod.Ready, s.Routed = true, w.now.Add(graceTakes), false, false
	s.pending = nil
	if s.nodeDead {
		return
	}
	w.after(s, stopTakes, func() {
		s.Pod, s.Agent.Answered = nil, false
		switch { // who leads and is the only one stays a peer
		case !w.raft.Known:
		case s.Name == w.raft.Leader:
			w.raft.Known, w.raft.Leader, w.raft.Unknown = false, "", s.Name+" not answering"
		default:
			s.Peer = nil
		}
		if s.Member != plan.MemberAbsent {
			s.Member = plan.MemberLeft
		}
	})
}

func (w *world) leave(s *fake) {
	if s.Name == w.raft.Leader {
		w.t.Errorf("I3: the leader %s is stopped", s.Name)
	}
	wasVoter, mustStay := s.Peer != nil && s.Peer.Voter, w.spec.Replicas
	if s.InPlace {
		mustStay--
	}
	s.Member = plan.MemberLeaving
	if wasVoter && w.healthyVoters() < mustStay {
		w.t.Errorf("I2: only %d voters stay when %s leaves", w.healthyVoters(), s.Name)
	}
	w.after(s, leaveTakes, func() {
		s.Member, s.Peer, s.Agent.Answered, s.Pod.Running = plan.MemberLeft, nil, false, false
	})
}

// cordon is the beginning of a drain: the node of a server takes no more pods.
func (w *world) cordon(name string) {
	s := w.find(name)
	s.cordoned, s.Pod.Cordoned, s.Pod.Node = true, true, "node-of-"+name
}

// uncordon lets a server that was evicted come back.
func (w *world) uncordon(name string) {
	s := w.find(name)
	s.cordoned = false
	w.startPod(s)
}

// killNode is the end of a follower's node: Kubernetes deletes its pod after a while, which nobody confirms.
func (w *world) killNode(name string) {
	s := w.find(name)
	s.nodeDead, s.Agent.Answered, s.Pod.Ready, s.Routed = true, false, false, false
	w.after(s, suspicionTakes, func() {
		s.Member, s.Health, s.UnhealthySince = plan.MemberFailed, plan.HealthUnhealthy, w.now
	})
	w.after(s, evictionTakes, func() { w.stopPod(s) })
}

// lose deletes a server without a leave: its claim and its pod are gone.
func (w *world) lose(name string) {
	s := w.find(name)
	w.servers = slices.DeleteFunc(w.servers, func(x *fake) bool { return x == s })
	w.strays = append(w.strays, s)
	w.after(s, suspicionTakes, func() { s.Member = plan.MemberFailed })
	if w.raft.Leader != name || len(w.servers) == 0 {
		return
	}
	w.raft.Known, w.raft.Leader, w.raft.Unknown = false, "", "nobody leads"
	next := w.servers[0]
	w.after(next, suspicionTakes, func() { w.lead(next.Name) })
}
