package sim

import (
	"fmt"
	"strings"

	"github.com/consul-operator/consul-operator/internal/plan"
)

// maxServers is the most servers that are in the model at a time: 5 wanted, 3 of surge, and three that are lost.
const maxServers = 11

// Revision is what a server runs: what users ask for, counted in the order in which they do, and the phases of gossip
// encryption, of TLS and of ACLs.
type Revision struct{ spec, gossip, tls, acls uint8 }

// Of is a revision without encryption, by its number.
func Of(spec uint8) Revision { return Revision{spec: spec} }

// Spec is what users ask for.
func (r Revision) Spec() uint8 { return r.spec }

// Gossip is the phase of gossip encryption.
func (r Revision) Gossip() plan.GossipPhase { return plan.GossipPhase(r.gossip) }

// TLS is the phase of TLS.
func (r Revision) TLS() plan.TLSPhase { return plan.TLSPhase(r.tls) }

// ACLs is the phase of ACLs.
func (r Revision) ACLs() plan.ACLPhase { return plan.ACLPhase(r.acls) }

// withSpec is what users ask for instead, in the same phases.
func (r Revision) withSpec(spec uint8) Revision {
	r.spec = spec
	return r
}

// WithGossip is the same revision in another phase of gossip encryption.
func (r Revision) WithGossip(phase plan.GossipPhase) Revision {
	r.gossip = uint8(phase) //nolint:gosec // 0 to 3
	return r
}

// WithTLS is the same revision in another phase of TLS.
func (r Revision) WithTLS(phase plan.TLSPhase) Revision {
	r.tls = uint8(phase) //nolint:gosec // 0 to 4
	return r
}

// WithACLs is the same revision in another phase of ACLs.
func (r Revision) WithACLs(phase plan.ACLPhase) Revision {
	r.acls = uint8(phase) //nolint:gosec // 0 to 2
	return r
}

// String is r1, or r1 with the phases.
func (r Revision) String() string {
	name := fmt.Sprintf("r%d", r.spec)
	if r.Gossip() != plan.GossipOff {
		name += "-" + r.Gossip().String()
	}
	if r.TLS() != plan.TLSOff {
		name += "-TLS" + r.TLS().String()
	}
	if r.ACLs() != plan.ACLsOff {
		name += "-" + r.ACLs().String()
	}
	return name
}

// Claim is a volume claim.
type Claim uint8

// Without a claim, what is left in Raft or Serf belongs to no server: a stray.
const (
	ClaimNone Claim = iota
	ClaimBound
	ClaimDeleting // deleted by a person; it goes when no pod uses it
)

// Pod is the pod of a server.
type Pod uint8

// The states of a pod.
const (
	PodNone Pod = iota
	PodPending
	PodRunning
	PodTerminating
	PodLost     // its kubelet is dead, maybe with the whole node: the API server still calls it running
	PodStuck    // the same, and it is to be terminated
	PodOverdue  // the same, and it should be gone by now
	PodFinished // its server has left: the kubelet does not start it again
	PodScript   // there is none, and nothing starts or ends the process but a Script
)

// Process is the Consul process in a pod.
type Process uint8

// The states of a process. A hung one holds its sockets and answers nothing.
const (
	Down Process = iota
	Up
	Hung
	Leaving
)

// Rescue is what a pod does for the recovery of a lost quorum before its server starts.
type Rescue uint8

// What a pod does for a recovery.
const (
	NoRescue      Rescue = iota
	Saves                // its data
	SavesAndLeads        // it becomes the only voter as well
)

// Suffrage is a server's place in the Raft configuration.
type Suffrage uint8

// The suffrages.
const (
	NoPeer Suffrage = iota
	NonVoter
	Voter
)

// Serf is a member's state in Serf.
type Serf uint8

// The states in Serf.
const (
	Absent Serf = iota
	Alive
	LeavingSerf
	Left
	Failed
)

// Server is a slot: a claim and all that is known of the server that lives, or lived, on it.
type Server struct {
	Claim    Claim
	Revision Revision
	Founder  bool // bootstrap_expect
	Retiring bool // the marker on the claim
	InPlace  bool // beside it: it comes back on its claim
	Failed   bool // another marker on the claim: it was given up
	Astray   bool // its volume is of another storage class than is wanted
	Lost     bool // the record of the recovery says that it is given up
	Accepted bool // a person says so
	Former   bool // it is a deleted cluster's of the same name, of which nothing but the pod and the process is in the model

	Pod         Pod
	PodRevision Revision
	Cordoned    bool   // the node that it runs on, or that its volume is on, takes no more pods
	Avoids      uint16 // the slots whose nodes the pod is kept from, a bit for each
	PodFounder  bool   // the pod was started with bootstrap_expect
	PodRescue   Rescue
	Serving     bool // the readiness gate
	Settled     bool // out of the Service for long enough
	Routed      bool // the client Service sends connections here

	Process Process
	// MissedSIGTERM is set if only the end of the grace period ends the process.
	MissedSIGTERM bool
	Alone         bool // it and the other servers do not hear each other; the operator hears all
	Data          bool // its disk holds the Raft log
	Behind        bool // it misses entries that were committed
	Rescued       bool // its disk says that it has taken part in this recovery
	Peer          Suffrage
	Serf          Serf
	Healthy       bool // autopilot's opinion, which is late
	Long          bool // it has been unhealthy for longer than failureReplacement.after
	Session       bool // an application has opened a session at it
	Ring          Ring // the gossip keys on its disk
	UsesFormer    bool // it uses the ACL tokens from before a rotation
	GivenFormer   bool // its pod may have been given them
}

// State of a cluster and of what surrounds it.
type State struct {
	Servers [maxServers]Server
	N       uint8 // slots in use

	// The spec and the cluster's own record.
	Replicas, Surge uint8
	InPlace         bool // servers are updated on the claims they have
	Wanted          Revision
	Bad             uint8 // what users asked for and what never starts; 0 for none
	Format          uint8 // from this spec on, servers write a log that those of an earlier one cannot read; 0 for none
	Mute            bool  // while nothing can be committed, servers of that spec and later ones do not answer for themselves
	Gossip          uint8 // the phase of gossip encryption that is wanted in the end
	TLS             uint8 // the phase of TLS that is wanted in the end
	ACLs            uint8 // the phase of ACLs that is wanted in the end
	Restarts        uint8 // what users asked for of an operator that had servers that left started again; 0 for none
	BadGossip       uint8 // a phase of gossip encryption in which no server starts; 0 for none
	BadTLS          uint8 // a phase of TLS in which no server starts; 0 for none
	BadACLs         uint8 // a phase of ACLs in which no server starts; 0 for none
	TokensMade      bool  // the record that the ACL tokens of the operator and of the servers were made
	TokensKnown     bool  // Consul knows them
	Tokens          uint8 // how far the rotation of the tokens is, in the Secret
	TokensShown     bool  // kubelets show all pods the Secret as it is
	AskTokens       bool  // a person asks for others
	Keys            uint8 // how far the rotation of the gossip key is, in the Secret
	KeysShown       bool  // kubelets show all pods the Secret as it is
	KeysLate        bool  // some may still show it as it was two changes ago
	Rotate          bool  // a person asks for another key
	Restore         uint8 // how far a ConsulRestore is; 0 for none
	Saves           bool  // there is a destination for snapshots
	Snapshot        uint8 // how far the ConsulSnapshot before an upgrade is; 0 for none
	SnapshotOf      uint8 // the spec before which it was taken
	Founding        uint8 // how far the foundation with a snapshot is; 0 for none
	Paused          bool
	Replace         bool  // failureReplacement is on
	Full            bool  // no node takes a server that is new
	MinAvailable    uint8 // how many ready pods the disruption budget asks for
	Bootstrapped    bool
	Transfer        int8 // noTransfer, anyServer, or a slot
	Automatic       bool // a quorum that is lost for good is recovered without a person
	Survivor        int8 // of the recovery that is under way: a slot, nowhere if it is gone, or nobody

	// Raft.
	Founded   bool
	Expect    uint8 // bootstrap_expect of the founders
	Leader    int8  // a slot, or nobody
	Stable    bool  // it has led for long enough
	MinQuorum uint8

	// Returns is true where dead nodes and hung agents come back sooner or later.
	Returns bool
	// What may still happen.
	Faults, Changes uint8
	// Handoffs is how many planned changes of leadership are still allowed (I3).
	Handoffs uint8
}

const (
	nobody     = -1
	noTransfer = -1
	anyServer  = -2
)

func (s *State) slots() []Server { return s.Servers[:s.N] }

// voters is the number of voters in the Raft configuration.
func (s *State) voters() int {
	return s.count(func(x *Server) bool { return x.Peer == Voter })
}

func (s *State) quorum() int { return s.voters()/2 + 1 }

func (s *State) count(is func(*Server) bool) int {
	n := 0
	for i := range s.slots() {
		if is(&s.Servers[i]) {
			n++
		}
	}
	return n
}

// votes says whether a server takes part in elections and acknowledges writes.
func (x *Server) votes() bool {
	return x.Peer == Voter && (x.Process == Up || x.Process == Leaving) && !x.Alone
}

// heard says whether the other servers hear a server.
func (x *Server) heard() bool { return x.Process == Up && !x.Alone }

// reads says whether a server can read what the leader writes.
func (s *State) reads(x *Server) bool {
	return s.Leader == nobody || x.PodRevision.spec >= s.Format || s.Servers[s.Leader].PodRevision.spec < s.Format
}

// outlives says whether a process goes on although its pod is gone: the pod of a node that is not heard of was deleted by
// force. The volume is still there, so another pod for it does not start.
func (x *Server) outlives() bool {
	return x.Process != Down && (x.Pod == PodNone || x.Pod == PodPending)
}

// isCounted says whether a disruption budget counts a pod, and isUnclaimed whether that pod is no server's.
func (x *Server) isCounted() bool {
	return x.Pod == PodPending || x.Pod == PodRunning || x.Pod == PodLost || x.Pod == PodFinished
}
func (x *Server) isUnclaimed() bool { return x.Claim == ClaimNone && x.isCounted() }

// cutOff says whether no kubelet looks after a pod any more.
func (x *Server) cutOff() bool { return x.Pod == PodLost || x.Pod == PodStuck || x.Pod == PodOverdue }

// givenUp says whether a server may be replaced because it has failed.
func (s *State) givenUp(x *Server) bool {
	return x.Failed || s.Replace && (x.Pod == PodOverdue || x.Peer == Voter && !x.Healthy && x.Long)
}

// remains says whether a slot is only a pod on a dead node, which nobody but the node can remove.
func (x *Server) remains() bool {
	return x.Claim == ClaimNone && x.Peer == NoPeer && x.cutOff() && (x.Serf == Left || x.Serf == Absent)
}

// hasQuorum says whether enough voters are up to elect a leader, and to keep it.
func (s *State) hasQuorum() bool { return s.count((*Server).votes) >= s.quorum() }

// readable says whether the operator can learn how the cluster is: somebody leads, and its agent answers. A leader that
// was cut off from the others answers, too, until its lease ends.
func (s *State) readable() bool {
	return s.Leader != nobody && s.Servers[s.Leader].Process == Up && !s.Servers[s.Leader].outlives()
}

// ready is a pod's Ready condition: the probe, which asks for a leader, and the gate.
func (s *State) ready(x *Server) bool {
	return x.Serving && x.Pod == PodRunning && x.heard() && s.Leader != nobody
}

// remove takes a slot out and moves the later ones up.
func (s *State) remove(i int) {
	copy(s.Servers[i:], s.Servers[i+1:s.N])
	s.N--
	s.Servers[s.N] = Server{}
	for j := range s.slots() {
		below := uint16(1)<<i - 1
		s.Servers[j].Avoids = s.Servers[j].Avoids&below | s.Servers[j].Avoids>>1&^below
	}
	s.Leader = moved(s.Leader, i)
	if s.Transfer == int8(i) { //nolint:gosec // at most maxServers
		s.Transfer = nowhere
	} else {
		s.Transfer = moved(s.Transfer, i)
	}
	if s.Survivor == int8(i) { //nolint:gosec // at most maxServers
		s.Survivor = nowhere
	} else {
		s.Survivor = moved(s.Survivor, i)
	}
}

// nowhere is the slot of a server that is gone.
const nowhere = maxServers

func moved(slot int8, gone int) int8 {
	if int(slot) > gone && slot != nowhere {
		return slot - 1
	}
	return slot
}

// String is a state for people, one line.
func (s *State) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "wants %d of %s", s.Replicas, s.Wanted)
	if s.Paused {
		b.WriteString(" paused")
	}
	if s.InPlace {
		b.WriteString(" in place")
	}
	b.WriteString([...]string{"", " to be restored", " restoring", " restored", " half restored", " to be done again"}[s.Restore])
	b.WriteString([...]string{"", " being saved", " saved", " not saved"}[s.Snapshot])
	b.WriteString([...]string{"", " from a snapshot", " recorded", " reading it", " having read it", " having it"}[s.Founding])
	leader := "nobody"
	if s.Leader != nobody {
		leader = fmt.Sprintf("#%d", s.Leader)
		if !s.Stable {
			leader += " (new)"
		}
	}
	fmt.Fprintf(&b, ", leader %s:", leader)
	for i := range s.slots() {
		fmt.Fprintf(&b, " #%d[%s]", i, &s.Servers[i])
	}
	return b.String()
}

func (x *Server) String() string {
	words := []string{x.Revision.String()}
	add := func(is bool, word string) {
		if is {
			words = append(words, word)
		}
	}
	add(x.Claim == ClaimNone && !x.Former, "stray")
	add(x.Former, "of-a-former-cluster")
	add(x.Claim == ClaimDeleting, "claim-deleting")
	add(x.Retiring, "retiring")
	add(x.InPlace, "in-place")
	add(x.Failed, "given-up")
	add(x.Astray, "on-another-storage-class")
	add(x.Lost, "lost")
	add(x.PodRescue == Saves, "saves")
	add(x.PodRescue == SavesAndLeads, "saves-and-leads")
	words = append(words,
		[...]string{
			"no-pod", "pending", "", "terminating", "node-dead", "node-dead terminating", "node-dead overdue", "finished", "",
		}[x.Pod],
		[...]string{"down", "", "hung", "leaving"}[x.Process],
		[...]string{"no-peer", "nonvoter", "voter"}[x.Peer],
		[...]string{"absent", "", "serf-leaving", "left", "failed"}[x.Serf])
	add(x.MissedSIGTERM, "missed-sigterm")
	add(x.Behind, "behind")
	add(x.Alone, "cut-off-from-the-others")
	add(x.Peer != NoPeer && !x.Healthy && !x.Long, "unhealthy")
	add(x.Long, "unhealthy-for-long")
	add(x.Session, "session")
	add(x.Ring&HasB != 0, "has-new-key")
	add(x.Ring&UsesB != 0, "uses-new-key")
	add(x.Ring != 0 && x.Ring&HasA == 0, "forgot-former-key")
	add(x.UsesFormer, "uses-former-tokens")
	add(x.GivenFormer, "given-former-tokens")
	add(x.Serving, "gate")
	add(x.Routed, "routed")
	add(x.Cordoned, "cordoned")
	kept := words[:0]
	for _, word := range words {
		if word != "" {
			kept = append(kept, word)
		}
	}
	return strings.Join(kept, " ")
}
