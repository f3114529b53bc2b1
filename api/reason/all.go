package reason

var all = []Info{
	{
		Reason: InvalidSpec, Attention: AttentionNow,
		Means: "a field that the message names cannot be honoured; the servers are left alone",
		Act: "correct the field. If the message begins with `the API server refuses`, correct what it names, or the cause of it " +
			"(quota, PriorityClass, StorageClass)",
	},
	{
		Reason: VersionDowngrade, Attention: AttentionNow,
		Means: "`spec.version` is a minor or major release below the one that runs",
		Act:   "set it back, or [allow the downgrade](upgrade.md#downgrade)",
	},
	{
		Reason: DamagedRecord, Attention: AttentionNow,
		Means: "an annotation in which the operator keeps a record cannot be read; the servers are left alone",
		Act:   "restore the annotation, or do what the message says",
	},
	{
		Reason: ServerCannotStart, Attention: AttentionNow,
		Means: "the image cannot be pulled, or Consul exits; the message has its last words",
		Act:   "correct version, image or config. A new server that never joined is replaced once the spec is corrected",
	},
	{
		Reason: QuorumLost, Attention: AttentionNow,
		Means:   "so many voters are gone with their volumes that no leader can be elected",
		Act:     "decide whether the missing servers are lost for good, and run the command of the message",
		Runbook: "runbooks/lost-quorum.md",
	},
	{
		Reason: StrayPeer, Attention: AttentionIfItLasts,
		Means:   "a Raft peer that is alive is no server of this cluster",
		Act:     "if it goes on running, stop it where it runs",
		Runbook: "runbooks/stray-peers.md",
	},
	{
		Reason: NoLeader, Attention: AttentionIfItLasts,
		Means:   "no leader is known; the message names the servers that do not answer",
		Act:     "after a minute, look at the servers that the message names. Once a quorum of them runs, this ends by itself",
		Runbook: "runbooks/no-leader.md",
	},
	{
		Reason: NoServingServer, Attention: AttentionIfItLasts,
		Means: "a leader leads, and no server is in the client Service (condition `Available`)",
		Act:   "find out why the pods are not ready",
	},
	{
		Reason: Unschedulable, Attention: AttentionIfItLasts,
		Means: "no node takes a server; the message is the scheduler's. No server retires meanwhile",
		Act:   "add a node, uncordon one, or relax the scheduling rules",
	},
	{
		Reason: UnhealthyServer, Attention: AttentionIfItLasts,
		Means:   "Serf or autopilot calls a voter unhealthy; the message says when it will be replaced",
		Act:     "look at its logs and its disk",
		Runbook: "runbooks/disk-full.md",
	},
	{
		Reason: NotEnoughHealthyVoters, Attention: AttentionIfItLasts,
		Means: "a server has to go, and too few healthy voters would be left",
		Act:   "find the server that is not `Serving` with `kubectl describe`, and look at its logs",
	},
	{
		Reason: FormerClusterStopping, Attention: AttentionIfItLasts,
		Means:   "servers of a deleted cluster of the same name are still stopping, which takes up to 30 s",
		Act:     "if their node is lost, delete their pods by force",
		Runbook: "runbooks/stuck-terminating.md",
	},
	{
		Reason: Paused, Attention: AttentionIfItLasts,
		Means: "`spec.paused` is set",
		Act:   "set it to false",
	},
	{Reason: Bootstrapping, Means: "the first servers are being created, or are electing their first leader"},
	{Reason: CreatingServer, Means: "a server is being added"},
	{
		Reason: WaitingForServer, Means: "a server is starting, or its agent does not answer yet",
		Act: "after minutes, look at its logs", Runbook: "runbooks/rejoin-age.md",
	},
	{Reason: WaitingForVoter, Means: "a server runs; autopilot gives it a vote after 10 to 20 s"},
	{Reason: WaitingForReady, Means: "a server is a voter, and its pod is not ready yet"},
	{Reason: LeaderNotStable, Means: "the leader is new; the next step waits for `spec.update.leaderStableFor`"},
	{Reason: RetiringServer, Means: "a server is about to leave the cluster for good"},
	{Reason: WaitingForEndpoints, Means: "a retiring server still receives connections from the client Service"},
	{Reason: TransferringLeadership, Means: "a retiring server leads, and hands leadership over first"},
	{Reason: Leaving, Means: "a retiring server is leaving Consul"},
	{
		Reason: RemovingServer, Means: "a server has left, and its pod and volume are being removed",
		Act: "after a minute, look whether its node answers", Runbook: "runbooks/stuck-terminating.md",
	},
	{Reason: KeepingServer, Means: "a retiring server stays after all: it is wanted again, or needed"},
	{Reason: ReplacingIdleServer, Means: "a server that never joined gets the corrected spec"},
	{Reason: ReplacingFailedServer, Means: "a server is given up, and another one takes its place"},
	{Reason: RecoveringQuorum, Means: "a quorum that was lost for good is being recovered, or will be at the time that the message gives"},
	{
		Reason: UpdatingInPlace,
		Means:  "a server leaves, and comes back on its volume with the wanted revision. Three servers tolerate no failure meanwhile",
	},
	{Reason: NodeDraining, Means: "a server moves away from a cordoned node"},
	{Reason: PruningDeadPeer, Means: "a dead peer is being removed from Serf and Raft"},
	{
		Reason: LeadershipTransferRequested, Means: "a transfer of leadership was [requested](operate.md#hand-leadership-over)",
		Act: "if it lasts, the target is no healthy voter",
	},
	{Reason: Healthy, Means: "everything is as wanted"},
	{Reason: Available, Means: "a leader leads, and servers serve (condition `Available`)"},
}
