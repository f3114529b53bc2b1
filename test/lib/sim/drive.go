package sim

import "github.com/consul-operator/consul-operator/internal/plan"

// This file is for those who drive the model from outside, with a clock: test/suite/virtualtime.

// What the fields of a State may hold besides slots and numbers.
const (
	Nobody     = nobody
	NoTransfer = noTransfer
	AnyServer  = anyServer
	MaxServers = maxServers
)

// Happening is something that Consul or Kubernetes may do by themselves in a state.
type Happening struct{ event event }

// Name says what happens; Slot to which server. Whole is true for what happens to the cluster.
func (h Happening) Name() string { return h.event.kind.name }

// Slot is the server that it happens to; 0 for what happens to the cluster.
func (h Happening) Slot() int { return h.event.slot }

// Whole says whether it happens to the cluster and not to one server.
func (h Happening) Whole() bool { return h.event.kind.whole }

// Unreliable says whether it may never happen.
func (h Happening) Unreliable() bool { return h.event.kind.unreliable }

// Happen changes a state; it returns the violation that the happening itself is, if it is one.
func (h Happening) Happen(s *State) *Violation { return h.event.kind.do(s, h.event.slot) }

// Progress is all that may happen next, faults aside.
func Progress(s *State) []Happening {
	var all []Happening
	for _, e := range enabled(s, progress, nil) {
		all = append(all, Happening{e})
	}
	return all
}

// Check says which invariant an action breaks if it is done in this state. Servers are called by Name.
func Check(action plan.Action, s *State) *Violation { return check(action, s) }

// Name of the server in a slot, in actions.
func Name(slot int) string { return names[slot] }

// NewState is before the first server.
func NewState(replicas, surge uint8) State {
	s := empty(replicas, surge)
	s.Handoffs, s.Returns = unlimited, true
	return s
}

// Free is a slot for a new server, cleared. A slot is free when nothing is left of the server that was in it.
func (s *State) Free() int {
	for i := range s.slots() {
		x := &s.Servers[i]
		if x.Claim == ClaimNone && x.Pod == PodNone && x.Process == Down && x.Peer == NoPeer && (x.Serf == Absent || x.Serf == Left) {
			*x = Server{}
			return i
		}
	}
	if s.N == maxServers {
		panic("more servers than the model has room for")
	}
	s.N++
	return int(s.N) - 1
}

// Works says whether the leader can commit.
func (s *State) Works() bool { return s.works() }

// Ready is the Ready condition of a pod.
func (s *State) Ready(slot int) bool { return s.ready(&s.Servers[slot]) }

// DeletePod is what the kubelet is told when a pod is deleted.
func (s *State) DeletePod(slot int) { deletePod(s, s, slot) }

// SetGate sets the readiness gate of a pod.
func (s *State) SetGate(slot int, serving bool) { gate(&s.Servers[slot], serving) }

// TransferLeadership is the call of this name; it says whether Consul does it.
func (s *State) TransferLeadership(to int) bool { return transfer(s, to) }

// LeaveCluster is PUT /v1/agent/leave.
func (s *State) LeaveCluster(slot int) { leave(s, slot) }

// ForceLeave is PUT /v1/agent/force-leave.
func (s *State) ForceLeave(slot int) { forceLeave(s, slot) }

// RemovePeer is DELETE /v1/operator/raft/peer.
func (s *State) RemovePeer(slot int) { removeByOperator(s, slot) }

// KillNode is the end of a server's node: Kubernetes calls the pod running until it is deleted.
func (s *State) KillNode(slot int) { nodeDies(s, slot) }

// SetAside is what becomes of a server whose volume is no server's any more.
func (s *State) SetAside(slot int) { setAside(&s.Servers[slot]) }

// Lose is the loss of a node with the only volume: claim and pod are gone without a word.
func (s *State) Lose(slot int) { loseAll(s, slot) }
