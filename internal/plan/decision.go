package plan

import "time"

// Decision is what to do now, and why.
type Decision struct {
	// Upkeep restores what should be. None of it changes the membership.
	Upkeep []Action
	// Step is the one action that changes the membership or leads to it; nil to wait or when all is done.
	Step Action
	// Reason and Message say why this step is taken, or what is waited for.
	Reason  Reason
	Message string
	// Done is true when nothing is left to do.
	Done bool
	// LookAgain is when to observe again if nothing wakes the operator earlier; 0 for never.
	LookAgain time.Duration
}

// Action is one effect on Kubernetes or on Consul.
type Action interface{ action() }

// The actions. Names are names of servers, ids are Raft ids.
type (
	// CreateServer creates the claim of a new server; its pod is upkeep.
	CreateServer struct {
		Serial          int
		BootstrapExpect int
	}
	// RecordBootstrapped writes down that the cluster has had a leader.
	RecordBootstrapped struct{}
	// CreatePod creates the missing pod of a server, for any node but those to avoid.
	CreatePod struct {
		Server string
		Avoid  []string
	}
	// DeletePod deletes the pod of a server.
	DeletePod struct{ Server string }
	// DeleteOrphan deletes a pod that belongs to no server.
	DeleteOrphan struct{ Pod string }
	// SetRevision makes a server one of the wanted revision, and one that stays: one that takes no part, or the only one.
	SetRevision struct{ Server string }
	// MarkFailed writes down that a server is given up.
	MarkFailed struct{ Server string }
	// MarkRetiring writes down that a server is on its way out, and whether it comes back on its volume.
	MarkRetiring struct {
		Server  string
		InPlace bool
	}
	// UnmarkRetiring takes that back.
	UnmarkRetiring struct{ Server string }
	// StartServing puts a server into the client Service.
	StartServing struct{ Server string }
	// StopServing takes a server out of the client Service.
	StopServing struct{ Server string }
	// TransferLeadership hands leadership over.
	TransferLeadership struct{ From, To string }
	// Leave makes a server leave the cluster.
	Leave struct{ Server string }
	// ForceLeave makes Serf call a dead member left, upon which the leader removes it from Raft.
	ForceLeave struct{ Node string }
	// RemovePeer removes a dead peer from the Raft configuration.
	RemovePeer struct{ ID, Name string }
	// ReleaseClaim deletes or retains the claim of a server that is gone.
	ReleaseClaim struct{ Server string }
	// QuarantineClaim sets the claim of a server aside that was given up: it is kept, and no server uses it again.
	QuarantineClaim struct{ Server string }
	// AllowEviction lets one server be evicted, as long as all others serve.
	AllowEviction struct{}
	// ForbidEviction lets none be evicted: the operator replaces the servers of a node that is drained.
	ForbidEviction struct{}
	// SetMinQuorum tells autopilot how few servers its own cleanup may leave.
	SetMinQuorum struct{ Servers int }
	// NameTransferTarget writes down to whom leadership is going to be handed, so that a crash does not move it twice.
	NameTransferTarget struct{ To string }
	// FinishTransfer removes a person's request, and tells why.
	FinishTransfer struct{ Because string }
	// BeginRecovery writes down with whom a cluster that has lost its quorum for good carries on, and without whom.
	BeginRecovery struct {
		Survivor string
		Lost     []string
	}
	// CancelRecovery removes that record, and tells why.
	CancelRecovery struct{ Because string }
	// FinishRecovery removes that record and a person's word on it, and tells why.
	FinishRecovery struct{ Because string }
)

func (CreateServer) action()       {}
func (RecordBootstrapped) action() {}
func (CreatePod) action()          {}
func (DeletePod) action()          {}
func (DeleteOrphan) action()       {}
func (SetRevision) action()        {}
func (MarkFailed) action()         {}
func (MarkRetiring) action()       {}
func (UnmarkRetiring) action()     {}
func (StartServing) action()       {}
func (StopServing) action()        {}
func (TransferLeadership) action() {}
func (Leave) action()              {}
func (ForceLeave) action()         {}
func (RemovePeer) action()         {}
func (ReleaseClaim) action()       {}
func (QuarantineClaim) action()    {}
func (AllowEviction) action()      {}
func (ForbidEviction) action()     {}
func (SetMinQuorum) action()       {}
func (NameTransferTarget) action() {}
func (FinishTransfer) action()     {}
func (BeginRecovery) action()      {}
func (CancelRecovery) action()     {}
func (FinishRecovery) action()     {}

// Reason is why a step is taken or what is waited for, in one word; it becomes the reason of conditions.
type Reason string

// The reasons.
const (
	// ReasonDeleting : the ConsulCluster is being deleted.
	ReasonDeleting Reason = "Deleting"
	// ReasonBootstrapping : the first servers are created, or have not elected a leader yet.
	ReasonBootstrapping Reason = "Bootstrapping"
	// ReasonFormerCluster : servers of a deleted cluster of the same name still run; new ones would join them.
	ReasonFormerCluster Reason = "FormerClusterStopping"
	// ReasonNoLeader : no leader is known; nothing is changed until there is one.
	ReasonNoLeader Reason = "NoLeader"
	// ReasonQuorumLost : so many voters are lost for good that no leader can be elected; a person has to decide.
	ReasonQuorumLost Reason = "QuorumLost"
	// ReasonRecovering : a quorum that was lost for good is recovered, or is about to be.
	ReasonRecovering Reason = "RecoveringQuorum"
	// ReasonPruning : a dead Raft peer or Serf member of no server of ours is removed.
	ReasonPruning Reason = "PruningDeadPeer"
	// ReasonPaused : spec.paused is set and there is something to do.
	ReasonPaused Reason = "Paused"
	// ReasonReplacingIdle : an outdated server that takes no part is replaced in place.
	ReasonReplacingIdle Reason = "ReplacingIdleServer"
	// ReasonTransferRequested : a person asked for a transfer of leadership.
	ReasonTransferRequested Reason = "LeadershipTransferRequested"
	// ReasonLeaderNotStable : the leader has not led for spec.update.leaderStableFor yet.
	ReasonLeaderNotStable Reason = "LeaderNotStable"
	// ReasonCreatingServer : a server is added.
	ReasonCreatingServer Reason = "CreatingServer"
	// ReasonReplacingFailed : a server is given up, or another one is added in its place.
	ReasonReplacingFailed Reason = "ReplacingFailedServer"
	// ReasonDraining : a server's node is drained, and the server moves.
	ReasonDraining Reason = "NodeDraining"
	// ReasonRetiringServer : a server is on its way out.
	ReasonRetiringServer Reason = "RetiringServer"
	// ReasonUpdatingInPlace : a server is given the wanted revision on the volume it has.
	ReasonUpdatingInPlace Reason = "UpdatingInPlace"
	// ReasonKeepingServer : a server is not to retire after all.
	ReasonKeepingServer Reason = "KeepingServer"
	// ReasonWaitingForEndpoints : a retiring server still receives connections from the client Service.
	ReasonWaitingForEndpoints Reason = "WaitingForEndpoints"
	// ReasonTransferringLeadership : the retiring server leads; leadership is handed over first.
	ReasonTransferringLeadership Reason = "TransferringLeadership"
	// ReasonLeaving : a server leaves the cluster.
	ReasonLeaving Reason = "Leaving"
	// ReasonRemovingServer : a server has left; its pod and claim are removed.
	ReasonRemovingServer Reason = "RemovingServer"
	// ReasonNotEnoughVoters : retiring a server would leave fewer healthy voters than wanted.
	ReasonNotEnoughVoters Reason = "NotEnoughHealthyVoters"
	// ReasonUnschedulable : no node takes a server's pod; the message is the scheduler's.
	ReasonUnschedulable Reason = "Unschedulable"
	// ReasonServerCannotStart : a server's process does not start; the message says why.
	ReasonServerCannotStart Reason = "ServerCannotStart"
	// ReasonWaitingForServer : a server's process is about to start or does not answer.
	ReasonWaitingForServer Reason = "WaitingForServer"
	// ReasonWaitingForVoter : a server runs and is not a voter yet.
	ReasonWaitingForVoter Reason = "WaitingForVoter"
	// ReasonUnhealthyServer : a voter is not healthy.
	ReasonUnhealthyServer Reason = "UnhealthyServer"
	// ReasonWaitingForReady : a healthy voter is not in the client Service yet.
	ReasonWaitingForReady Reason = "WaitingForReady"
	// ReasonStrayPeer : a Raft peer that is alive is none of our servers.
	ReasonStrayPeer Reason = "StrayPeer"
	// ReasonHealthy : all is as wanted.
	ReasonHealthy Reason = "Healthy"
)
