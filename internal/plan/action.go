package plan

// Action is one effect on Kubernetes or on Consul. The types below are all there are: a switch that forgets one fails the
// linter.
//
//sumtype:decl
type Action interface{ name() string }

// NameOf returns the name of an action in events and logs. It is part of the API, whatever the type is called.
func NameOf(a Action) string { return a.name() }

// The actions. Server, From, To, Survivor and Lost are names of servers; ID is a Raft id; Node is a name in Serf.
type (
	// CreateServer creates the claim of a new server; its pod is upkeep.
	CreateServer struct {
		Serial          int
		BootstrapExpect int
	}
	// RecordBootstrapped records that the cluster has had a leader.
	RecordBootstrapped struct{}
	// CreatePod creates the missing pod of a server, which is not scheduled to the nodes in Avoid.
	CreatePod struct {
		Server string
		Avoid  []string
	}
	// DeletePod deletes the pod of a server.
	DeletePod struct{ Server string }
	// DeleteOrphan deletes a pod that belongs to no server.
	DeleteOrphan struct{ Pod string }
	// SetRevision gives the wanted revision to a server that takes no part, that comes back on its volume, or that is the only
	// one. A retiring server stays then.
	SetRevision struct{ Server string }
	// MarkFailed records that a server is given up.
	MarkFailed struct{ Server string }
	// UnmarkFailed removes the record of MarkFailed.
	UnmarkFailed struct{ Server string }
	// MarkRetiring records that a server retires, and whether it comes back on its volume.
	MarkRetiring struct {
		Server  string
		InPlace bool
	}
	// UnmarkRetiring removes the record of MarkRetiring.
	UnmarkRetiring struct{ Server string }
	// StartServing puts a server into the client Service.
	StartServing struct{ Server string }
	// StopServing takes a server out of the client Service.
	StopServing struct{ Server string }
	// TransferLeadership hands leadership over.
	TransferLeadership struct{ From, To string }
	// Leave makes a server leave the cluster.
	Leave struct{ Server string }
	// ForceLeave makes Serf call a dead member left; the leader then removes it from Raft.
	ForceLeave struct{ Node string }
	// RemovePeer removes a dead peer from the Raft configuration.
	RemovePeer struct{ ID, Name string }
	// ReleaseClaim deletes or retains the claim of a server that has left, as spec.storage.retention says.
	ReleaseClaim struct{ Server string }
	// QuarantineClaim sets aside the claim of a server that was given up: it is kept, and no server uses it again.
	QuarantineClaim struct{ Server string }
	// GrowVolume has a volume grow to a size.
	GrowVolume struct {
		Server string
		Bytes  int64
	}
	// RecordVersion records the Consul version that runs on a volume.
	RecordVersion struct{ Server, Version string }
	// SetMinAvailable sets how many ready pods the disruption budget asks for. Because is empty if no server may be evicted.
	SetMinAvailable struct {
		Pods    int
		Because string
	}
	// SetMinQuorum tells autopilot how few servers its cleanup of dead servers may leave.
	SetMinQuorum struct{ Servers int }
	// SetAutopilot changes settings of autopilot, by name.
	SetAutopilot struct{ Settings map[string]string }
	// SetGossip records a phase of gossip encryption, which is part of the wanted revision.
	SetGossip struct{ Phase GossipPhase }
	// SetTLS records a phase of TLS, which is part of the wanted revision.
	SetTLS struct{ Phase TLSPhase }
	// SetACLs records a phase of ACLs, which is part of the wanted revision.
	SetACLs struct{ Phase ACLPhase }
	// MakeTokens makes the ACL tokens of the operator and of the servers in Consul.
	MakeTokens struct{ Leader string }
	// GrantDNS gives those who have no token the right to look up services and nodes, or takes it.
	GrantDNS struct{ Granted bool }
	// Deregister takes a node out of the catalog that has the name of a server of ours, and another id.
	Deregister struct{ Node, ID string }
	// BeginAdoption records that the volumes of a former cluster are taken over.
	BeginAdoption struct{ Of, Identity string }
	// EndAdoption records that all are.
	EndAdoption struct{}
	// AdoptVolume makes the volume claim of a former cluster one of a server.
	AdoptVolume struct{ Server string }
	// BeginFounding records that a new cluster begins with a snapshot.
	BeginFounding struct{}
	// EndFounding removes the record.
	EndFounding struct{}
	// AskRestore creates the ConsulRestore with which a new cluster begins.
	AskRestore struct{ Name string }
	// TakeSnapshot creates a ConsulSnapshot.
	TakeSnapshot struct{ Name string }
	// BeginRestore records that the cluster makes way for a ConsulRestore.
	BeginRestore struct{ Name, UID string }
	// EndRestore removes the record.
	EndRestore struct{}
	// RotateTokens takes a step of the rotation of the ACL tokens.
	RotateTokens struct{ Step TokenStep }
	// ReadTokens makes a server read its ACL tokens again.
	ReadTokens struct{ Server string }
	// IssueCertificate replaces the certificate of the servers.
	IssueCertificate struct{ Because string }
	// ReadCertificate makes a server read its certificate again.
	ReadCertificate struct{ Server string }
	// RotateAuthority takes a step of the rotation of the certificate authority.
	RotateAuthority struct {
		Step    AuthorityStep
		Because string
	}
	// RotateGossip takes a step of the rotation of the gossip key.
	RotateGossip struct{ Step KeyStep }
	// GiveSettings writes the wanted settings into the file of a server.
	GiveSettings struct{ Server string }
	// Reload makes a server read its settings again.
	Reload struct{ Server string }
	// NameTransferTarget records the server to which leadership will be handed, so that a crash does not move it twice.
	NameTransferTarget struct{ To string }
	// FinishTransfer removes a user's request for a transfer.
	FinishTransfer struct{ Because string }
	// BeginRecovery records the server with which a cluster that lost its quorum for good carries on, and the servers that it
	// gives up.
	BeginRecovery struct {
		Survivor string
		Lost     []string
	}
	// CancelRecovery removes the record of a recovery.
	CancelRecovery struct{ Because string }
	// FinishRecovery removes the record of a recovery, and the user's acceptance of a loss.
	FinishRecovery struct{ Because string }
)

func (CreateServer) name() string       { return "CreateServer" }
func (RecordBootstrapped) name() string { return "RecordBootstrapped" }
func (CreatePod) name() string          { return "CreatePod" }
func (DeletePod) name() string          { return "DeletePod" }
func (DeleteOrphan) name() string       { return "DeleteOrphan" }
func (SetRevision) name() string        { return "SetRevision" }
func (MarkFailed) name() string         { return "MarkFailed" }
func (UnmarkFailed) name() string       { return "UnmarkFailed" }
func (MarkRetiring) name() string       { return "MarkRetiring" }
func (UnmarkRetiring) name() string     { return "UnmarkRetiring" }
func (StartServing) name() string       { return "StartServing" }
func (StopServing) name() string        { return "StopServing" }
func (TransferLeadership) name() string { return "TransferLeadership" }
func (Leave) name() string              { return "Leave" }
func (ForceLeave) name() string         { return "ForceLeave" }
func (RemovePeer) name() string         { return "RemovePeer" }
func (ReleaseClaim) name() string       { return "ReleaseClaim" }
func (QuarantineClaim) name() string    { return "QuarantineClaim" }
func (GrowVolume) name() string         { return "GrowVolume" }
func (RecordVersion) name() string      { return "RecordVersion" }
func (SetMinAvailable) name() string    { return "SetMinAvailable" }
func (SetMinQuorum) name() string       { return "SetMinQuorum" }
func (SetAutopilot) name() string       { return "SetAutopilot" }
func (SetGossip) name() string          { return "SetGossip" }
func (SetTLS) name() string             { return "SetTLS" }
func (SetACLs) name() string            { return "SetACLs" }
func (MakeTokens) name() string         { return "MakeTokens" }
func (GrantDNS) name() string           { return "GrantDNS" }
func (Deregister) name() string         { return "Deregister" }
func (BeginAdoption) name() string      { return "BeginAdoption" }
func (EndAdoption) name() string        { return "EndAdoption" }
func (AdoptVolume) name() string        { return "AdoptVolume" }
func (BeginFounding) name() string      { return "BeginFounding" }
func (EndFounding) name() string        { return "EndFounding" }
func (AskRestore) name() string         { return "AskRestore" }
func (TakeSnapshot) name() string       { return "TakeSnapshot" }
func (BeginRestore) name() string       { return "BeginRestore" }
func (EndRestore) name() string         { return "EndRestore" }
func (RotateTokens) name() string       { return "RotateTokens" }
func (ReadTokens) name() string         { return "ReadTokens" }
func (IssueCertificate) name() string   { return "IssueCertificate" }
func (ReadCertificate) name() string    { return "ReadCertificate" }
func (RotateAuthority) name() string    { return "RotateAuthority" }
func (RotateGossip) name() string       { return "RotateGossip" }
func (GiveSettings) name() string       { return "GiveSettings" }
func (Reload) name() string             { return "Reload" }
func (NameTransferTarget) name() string { return "NameTransferTarget" }
func (FinishTransfer) name() string     { return "FinishTransfer" }
func (BeginRecovery) name() string      { return "BeginRecovery" }
func (CancelRecovery) name() string     { return "CancelRecovery" }
func (FinishRecovery) name() string     { return "FinishRecovery" }
