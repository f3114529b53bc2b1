// Package reason names why the operator does something or waits, and says what each reason means to a person. It depends
// on nothing, so that clients, dashboards and the planner can all import it.
package reason

// Reason is the reason of a condition: one CamelCase word, which is part of the API.
type Reason string

// A field of the spec or a record of the operator needs a person.
const (
	InvalidSpec      Reason = "InvalidSpec"
	VersionDowngrade Reason = "VersionDowngrade"
	DamagedRecord    Reason = "DamagedRecord"
	NameTaken        Reason = "NameTaken"
)

// Something outside the operator is in the way.
const (
	ServerCannotStart      Reason = "ServerCannotStart"
	QuorumLost             Reason = "QuorumLost"
	StrayPeer              Reason = "StrayPeer"
	NoLeader               Reason = "NoLeader"
	NoServingServer        Reason = "NoServingServer"
	NothingIsWritten       Reason = "NothingIsWritten"
	Unschedulable          Reason = "Unschedulable"
	UnhealthyServer        Reason = "UnhealthyServer"
	NotEnoughHealthyVoters Reason = "NotEnoughHealthyVoters"
	FormerClusterStopping  Reason = "FormerClusterStopping"
	Paused                 Reason = "Paused"
	WaitingForAgents       Reason = "WaitingForAgents"
	WaitingForMembers      Reason = "WaitingForMembers"
	SnapshotNeeded         Reason = "SnapshotNeeded"
)

// Somebody refuses what the operator does, or does not answer.
const (
	QuotaExceeded        Reason = "QuotaExceeded"
	AdmissionDenied      Reason = "AdmissionDenied"
	MissingPermission    Reason = "MissingPermission"
	VolumeCannotGrow     Reason = "VolumeCannotGrow"
	ConsulRefuses        Reason = "ConsulRefuses"
	ConsulUnreachable    Reason = "ConsulUnreachable"
	WebhookUnavailable   Reason = "WebhookUnavailable"
	APIServerUnavailable Reason = "APIServerUnavailable"
	AttemptFails         Reason = "AttemptFails"
)

// The operator works, or waits for what takes seconds.
const (
	Bootstrapping               Reason = "Bootstrapping"
	CreatingServer              Reason = "CreatingServer"
	WaitingForServer            Reason = "WaitingForServer"
	WaitingForVoter             Reason = "WaitingForVoter"
	WaitingForReady             Reason = "WaitingForReady"
	LeaderNotStable             Reason = "LeaderNotStable"
	RetiringServer              Reason = "RetiringServer"
	WaitingForEndpoints         Reason = "WaitingForEndpoints"
	TransferringLeadership      Reason = "TransferringLeadership"
	Leaving                     Reason = "Leaving"
	RemovingServer              Reason = "RemovingServer"
	KeepingServer               Reason = "KeepingServer"
	ReplacingIdleServer         Reason = "ReplacingIdleServer"
	ReplacingFailedServer       Reason = "ReplacingFailedServer"
	RecoveringQuorum            Reason = "RecoveringQuorum"
	UpdatingInPlace             Reason = "UpdatingInPlace"
	ReloadingSettings           Reason = "ReloadingSettings"
	SecuringGossip              Reason = "SecuringGossip"
	SecuringTLS                 Reason = "SecuringTLS"
	SecuringACLs                Reason = "SecuringACLs"
	MakingTokens                Reason = "MakingTokens"
	RotatingGossipKey           Reason = "RotatingGossipKey"
	RotatingTokens              Reason = "RotatingTokens"
	Restoring                   Reason = "Restoring"
	WaitingForCatalog           Reason = "WaitingForCatalog"
	RenewingCertificate         Reason = "RenewingCertificate"
	NodeDraining                Reason = "NodeDraining"
	PruningDeadPeer             Reason = "PruningDeadPeer"
	LeadershipTransferRequested Reason = "LeadershipTransferRequested"
	Healthy                     Reason = "Healthy"
	Available                   Reason = "Available"
	Secured                     Reason = "Secured"
	Unsecured                   Reason = "Unsecured"
	EnoughSpace                 Reason = "EnoughSpace"
	VolumesFillUp               Reason = "VolumesFillUp"
	VolumeUsageUnknown          Reason = "VolumeUsageUnknown"
)

// A ConsulSnapshot, a ConsulSnapshotSchedule or a ConsulRestore.
const (
	ClusterMissing     Reason = "ClusterMissing"
	NoDestination      Reason = "NoDestination"
	JobRefused         Reason = "JobRefused"
	JobCannotStart     Reason = "JobCannotStart"
	StoreRefuses       Reason = "StoreRefuses"
	StoreUnreachable   Reason = "StoreUnreachable"
	SnapshotDamaged    Reason = "SnapshotDamaged"
	SnapshotKeyMissing Reason = "SnapshotKeyMissing"
	SnapshotMissing    Reason = "SnapshotMissing"
	SnapshotUnfit      Reason = "SnapshotUnfit"
	SnapshotFails      Reason = "SnapshotFails"
	RestoreIncomplete  Reason = "RestoreIncomplete"
	SnapshotQueued     Reason = "SnapshotQueued"
	SavingSnapshot     Reason = "SavingSnapshot"
	SnapshotSaved      Reason = "SnapshotSaved"
	InspectingSnapshot Reason = "InspectingSnapshot"
	RestoreQueued      Reason = "RestoreQueued"
	Restored           Reason = "Restored"
	Scheduled          Reason = "Scheduled"
	Suspended          Reason = "Suspended"
)

// Attention is what a reason asks of a person.
type Attention string

const (
	// NoAttention is for what ends by itself.
	NoAttention Attention = ""
	// AttentionIfItLasts is for what may end by itself, and what a person can end sooner.
	AttentionIfItLasts Attention = "IfItLasts"
	// AttentionNow is for what only a person can end: condition Stalled is True.
	AttentionNow Attention = "Now"
)

// Info says what a reason means to a person.
type Info struct {
	Reason    Reason
	Attention Attention
	// Means says in a line what is the case.
	Means string
	// Act says what a person can do, as Markdown with links relative to docs/; empty if nothing.
	Act string
	// Runbook is the page to follow, relative to docs/; empty if there is none.
	Runbook string
}

// Of returns what is known of a reason, and false if it is none of the operator's.
func Of(r Reason) (Info, bool) {
	for _, info := range all {
		if info.Reason == r {
			return info, true
		}
	}
	return Info{}, false
}

// All returns what is known of every reason, the most urgent ones first.
func All() []Info { return append([]Info(nil), all...) }

// Stalls reports whether only a person can end what the reason stands for.
func (r Reason) Stalls() bool {
	info, _ := Of(r)
	return info.Attention == AttentionNow
}
