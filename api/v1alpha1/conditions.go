package v1alpha1

// Conditions of a ConsulCluster. Ready, Reconciling and Stalled mean what kstatus says they mean. Their reasons are in package
// api/reason.
const (
	// ConditionReady is True when every wanted server is a healthy voter of the wanted revision that serves, and nothing is
	// left to do. Otherwise its reason and message say what is going on.
	ConditionReady = "Ready"
	// ConditionAvailable is True while there is a leader and a server in the client Service; it stays True
	// through an upgrade.
	ConditionAvailable = "Available"
	// ConditionReconciling is True while the operator works on or waits for something.
	ConditionReconciling = "Reconciling"
	// ConditionSecure is True when servers have a NetworkPolicy, encrypt gossip, take RPC by certificate, serve no plain HTTP,
	// and have ACLs that deny by default. DNS is not encrypted. Otherwise the message names what is missing.
	ConditionSecure = "Secure"
	// ConditionStalled is True when only a person can help: the message says how.
	ConditionStalled = "Stalled"
	// ConditionVolumeSpace is True while less than 80 % of each volume is used, False otherwise, and Unknown where a kubelet does
	// not tell. There is none if the operator does not ask the kubelets.
	ConditionVolumeSpace = "VolumeSpace"
)

// Annotations that a user sets on a ConsulCluster.
const (
	// AnnotationRestartedAt holds a timestamp, or anything else; changing it replaces all servers, as an upgrade does.
	AnnotationRestartedAt = "consuloperator.io/restartedAt"
	// AnnotationTransferLeadership asks for one transfer of leadership, to the server it names or, if empty, to
	// the best one. The operator removes it when done.
	AnnotationTransferLeadership = "consuloperator.io/transfer-leadership"
	// AnnotationAcceptLoss names the servers, separated by commas, that a person gives up for good after they have taken the
	// quorum with them. The others carry on with the data they have. The operator removes it when there is a leader.
	AnnotationAcceptLoss = "consuloperator.io/accept-loss-of"
	// AnnotationAllowDowngrade set to a version allows a downgrade to exactly that version.
	AnnotationAllowDowngrade = "consuloperator.io/allow-downgrade"
	// AnnotationAgentsReady confirms that the client agents are prepared for what it names: a phase of gossip encryption, one of TLS
	// (TLSRequired, TLSOff), or a step of the rotation of the certificate authority (PromoteAuthority, ForgetAuthority). The
	// operator removes it when that begins.
	AnnotationAgentsReady = "consuloperator.io/agents-ready-for"
	// AnnotationSkipSnapshot set to a version lets the upgrade to exactly that version begin without a snapshot.
	AnnotationSkipSnapshot = "consuloperator.io/skip-snapshot"
	// AnnotationRotateGossipKey holds a timestamp, or anything else; changing it replaces the gossip key, without a restart.
	AnnotationRotateGossipKey = "consuloperator.io/rotate-gossip-key"
	// AnnotationRotateAuthority does the same for the certificate authority: servers and clients are to believe the new one beside
	// the present one, it takes its place after spec.tls.caGracePeriod, and then the former one is forgotten.
	AnnotationRotateAuthority = "consuloperator.io/rotate-certificate-authority"
	// AnnotationRotateTokens holds a timestamp, or anything else; changing it replaces the ACL tokens of the operator, of the
	// servers and of management, without a restart.
	AnnotationRotateTokens = "consuloperator.io/rotate-tokens"
)

// Annotations that the operator sets on a ConsulCluster, where neither a lost status nor a crash can lose them.
const (
	// AnnotationBootstrapped holds the time when a leader was first seen. From then on no server is ever started
	// with bootstrap_expect: with an empty disk it would found a second, empty cluster.
	AnnotationBootstrapped = "consuloperator.io/bootstrapped"
	// AnnotationNextSerial is the serial of the next server. It is raised before a server is created, so that no
	// serial is used twice.
	AnnotationNextSerial = "consuloperator.io/next-serial"
	// AnnotationRecovery is the recovery of a lost quorum that is under way, as JSON: id, survivor, lost. On a pod it is the
	// id of the recovery for which it was created.
	AnnotationRecovery = "consuloperator.io/recovery"
	// AnnotationGossip is the phase of gossip encryption that servers have, or are getting: see GossipPhase. It is written before
	// the first server of that phase is created. On a pod it is the phase of its server.
	AnnotationGossip = "consuloperator.io/gossip-encryption"
	// AnnotationTLS is the phase of TLS that servers have, or are getting: see TLSPhase. It is written before the first server of
	// that phase is created. On a pod it is the phase of its server.
	AnnotationTLS = "consuloperator.io/tls"
	// AnnotationACLs is the phase of ACLs that servers have, or are getting: see ACLPhase. It is written before the first server of
	// that phase is created. On a pod it is the phase of its server.
	AnnotationACLs = "consuloperator.io/acls"
	// AnnotationRestoring is the ConsulRestore for which the cluster has made way: its name and its UID, separated by a blank.
	AnnotationRestoring = "consuloperator.io/restoring"
	// AnnotationFounding says that the cluster begins with a snapshot that is not restored yet: no client is to see it so.
	AnnotationFounding = "consuloperator.io/founding"
	// AnnotationIdentity is the UID from which the ids of the servers follow, if that is not the cluster's own: that of the cluster
	// whose volumes it has taken over. On a claim it is the one of its server.
	AnnotationIdentity = "consuloperator.io/identity"
	// AnnotationAdopting is the UID of the former cluster whose volumes are being taken over.
	AnnotationAdopting = "consuloperator.io/adopting"
	// AnnotationRecordsOf is the UID of the ConsulCluster for which these annotations were written. On a copy of it, which has
	// another UID, they do not count.
	AnnotationRecordsOf = "consuloperator.io/records-of"
)

// Labels and annotations of the objects that belong to a cluster.
const (
	// LabelCluster is the name of the ConsulCluster.
	LabelCluster = "consuloperator.io/cluster"
	// LabelClusterUID is its UID: objects of a deleted cluster of the same name are not ours.
	LabelClusterUID = "consuloperator.io/cluster-uid"
	// LabelSnapshotsOf is on the pods of the Jobs that save and restore snapshots: the name of the ConsulCluster.
	LabelSnapshotsOf = "consuloperator.io/snapshots-of"
	// LabelSchedule on a ConsulSnapshot is the name of the ConsulSnapshotSchedule that it is of, and AnnotationScheduledAt the time
	// for which it was taken.
	LabelSchedule         = "consuloperator.io/schedule"
	AnnotationScheduledAt = "consuloperator.io/scheduled-at"
	// AnnotationReplaced on a ConsulSnapshot says that another run of its schedule takes its place.
	AnnotationReplaced = "consuloperator.io/replaced"
	// AnnotationCompleted on a ConsulRestore is when it was completed. A backup that brings it back without its status does not have
	// it happen again.
	AnnotationCompleted = "consuloperator.io/completed"
	// AnnotationOwn on a ServiceAccount names the annotations that the operator has given it, separated by blanks.
	AnnotationOwn = "consuloperator.io/own-annotations"
	// AnnotationStore of such a Job is where the snapshots are, and AnnotationObjects their names there, separated by blanks.
	AnnotationStore   = "consuloperator.io/store"
	AnnotationObjects = "consuloperator.io/objects"
	// LabelServer is the name of the server, on its claim and its pod.
	LabelServer = "consuloperator.io/server"
	// LabelRevision is the revision of a pod, and of the Secret that holds it.
	LabelRevision = "consuloperator.io/revision"
	// AnnotationAvoidNodes of a pod names the nodes that were draining when it was created. It is not scheduled to them.
	AnnotationAvoidNodes = "consuloperator.io/avoid-nodes"
	// AnnotationSettings of a pod are the settings that its server reads again while it runs: the kubelet writes them into a
	// file. AnnotationSettingsGiven says when they were changed.
	AnnotationSettings      = "consuloperator.io/settings"
	AnnotationSettingsGiven = "consuloperator.io/settings-given"
	// NodeMetaSettings is the key of a Consul node's metadata that shows which settings its agent has read.
	NodeMetaSettings = "operator-settings"
	// LabelRetired marks the claim of a server that is gone and whose volume is kept: because volumes are retained, or
	// because the server had failed. No server uses it again.
	LabelRetired = "consuloperator.io/retired"
	// RetiredGracefully and RetiredFailed are the values of LabelRetired.
	RetiredGracefully = "true"
	RetiredFailed     = "failed"
	// AnnotationStorageSize on a claim is the size that the spec asked for when the operator created the volume, or let it grow.
	AnnotationStorageSize = "consuloperator.io/storage-size"
	// AnnotationVersion on a claim is the Consul version that ran last on its volume: an older one may not read what it has written.
	AnnotationVersion = "consuloperator.io/version"
	// AnnotationRevision on a claim is the revision that the server is to run.
	AnnotationRevision = "consuloperator.io/revision"
	// AnnotationRotatedFor on the Secret of the gossip keys is the value of AnnotationRotateGossipKey for which it got its newest
	// key, on that of the authority the value of AnnotationRotateAuthority, on that of the ACL tokens the value of
	// AnnotationRotateTokens. AnnotationKeysChanged says when its keys were changed last.
	AnnotationRotatedFor  = "consuloperator.io/rotated-for"
	AnnotationKeysChanged = "consuloperator.io/keys-changed"
	// AnnotationTokensMade on the Secret of the ACL tokens says when they were made in Consul.
	AnnotationTokensMade = "consuloperator.io/tokens-made"
	// AnnotationDNSGranted says that those who have no token may look up services and nodes.
	AnnotationDNSGranted = "consuloperator.io/dns-granted"
	// AnnotationTokensRevoked is the Raft term in which the former ones were revoked last, after a rotation.
	AnnotationTokensRevoked = "consuloperator.io/tokens-revoked"
	// AnnotationManagementTokenID on both Secrets of the ACL tokens identifies the management tokens in them.
	AnnotationManagementTokenID = "consuloperator.io/management-token-id"
	// AnnotationBootstrapExpect on a claim makes its server one of the first: its value is bootstrap_expect.
	AnnotationBootstrapExpect = "consuloperator.io/bootstrap-expect"
	// AnnotationRetiring on a claim says since when the server retires. It is written before the first step that cannot be
	// undone.
	AnnotationRetiring = "consuloperator.io/retiring"
	// AnnotationInPlace on a claim, beside AnnotationRetiring, says that the server comes back on it with another revision.
	// Once the server has left it holds, whatever becomes of spec.update.type.
	AnnotationInPlace = "consuloperator.io/in-place"
	// AnnotationFailed on a claim says when its server was given up.
	AnnotationFailed = "consuloperator.io/failed"
	// GateServing is the readiness gate of the servers' pods: True for healthy voters that are not retiring.
	GateServing = "consuloperator.io/serving"
)
