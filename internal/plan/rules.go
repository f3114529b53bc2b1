// Package plan decides what to do next for a cluster of Consul servers. It is pure: Plan(Observation, now) returns a
// Decision, the same one each time, without a client, a context, a clock or a logger, and it never iterates a map.
// This is the specification of what the operator does; the simulation checks it in millions of states of a model.
//
// # What a decision is
//
// A Decision holds at most one Step, the one action that changes the membership of the cluster or leads to such a
// change, and any number of Upkeep actions, which restore what should be and never change the membership. It always
// carries a reason and a message for people. Progress is in the cluster: an operator that has just started makes the same
// decision.
//
// # Terms
//
// A server is its volume claim; its pod can be created again. A server takes part if Raft or Serf knows it, and is idle
// otherwise. It is current if claim and pod have the wanted revision and nobody deleted the claim, and outdated otherwise.
// It stays unless it is marked as retiring. It is a healthy voter if Raft calls it a voter, autopilot healthy, Serf alive,
// its pod is not terminating, and its own agent answers; it serves if its pod is ready as well. A Raft peer that belongs
// to no server is a stray. The cluster can do without a server if as many serving healthy voters stay as are wanted, and
// the votes that count are a quorum both now and of what remains.
//
// A server is overdue if its pod should have been gone for a minute and its node does not confirm it, and lost if its own
// agent does not answer either. A server that was given up is outdated, and so is a server whose node is cordoned: it is
// drained. "In place" has one meaning: a server gets another revision on the volume it has.
//
// # The rules
//
// The list below is the order in which rules are asked; the first that has something to say decides. Voluntary rules
// wait until the leader has led for leaderStableFor. Each rule is in the file of its name.
//
//  1. AwaitRecords: a record that cannot be read, and without which it is not known which servers may start, stops everything,
//     upkeep included, until a person repairs it.
//  2. AwaitTokens: while the leader refuses the operator's ACL token, nothing is known, and there is a leader: the token is made
//     first. The first leader does not know it yet.
//  3. FoundFromSnapshot: a new cluster that begins with a snapshot has it read first. Its servers have other names than those in
//     it, and none is in the client Service before it is restored.
//  4. Bootstrap: create the first servers with bootstrap_expect, all expecting the number that the first one was given, then
//     record that a leader was seen. Never again. Until then outdated servers are replaced on their claims. The pods of a
//     deleted cluster of the same name have to be gone first: new servers would join the old ones.
//  5. AdoptVolumes: a new cluster takes over the volumes that a former one of its name left behind, if the spec says so. That is
//     recorded first, and then it is a cluster that exists: no server founds another one.
//  6. RevertGossip: a phase of gossip encryption that servers are still getting is taken back when the opposite is asked for,
//     with or without a leader: no server may start in it. Some servers have this phase, and the others the one before.
//  7. RevertTLS: the same for a phase of TLS.
//  8. RevertACLs: the same for a phase of ACLs.
//  9. ReviseStopped: while nobody leads, a server that cannot start with the revision it has gets the wanted one on its
//     volume, so that a correction of the spec arrives. A single server that is updated in place gets it while its process
//     does not run, whatever the cause: it would be the leader.
//  10. RecoverQuorum: a quorum that cannot come back is recovered. No leader can be elected without voters whose volume claim
//     is gone and that no server hears, by the Raft configuration of every server. Where all others answer, this happens by
//     itself if the spec says so; otherwise a person gives up, by name, all servers that do not answer. Voters that were never
//     servers of this cluster may have a leader of their own: only a person gives them up. The recovery is recorded
//     first. Then the given-up servers are fenced: their pods stop, their claims are set aside. Then the others restart and
//     save what they have, and the server with the newest log, as Raft compares logs, restarts last: as the only voter. A
//     given-up server that is back before it was touched, or a leader that does not need the vote of a stopping server,
//     ends the recovery.
//  11. AwaitLeader: without a leader that tells of the cluster nothing is known. Unknown is never healthy and never dead.
//  12. AwaitRestore: while a snapshot is restored, nothing changes that can wait. A ConsulRestore that has ended, or is gone,
//     lets the cluster go on.
//  13. ReviseFollowers: servers of a version that cannot read the leader's log get the wanted revision on their volumes, if that
//     can, one at a time: Consul up to 1.20.1 cannot read the log of a later one. One that retires leaves instead, unless its
//     vote is needed.
//  14. Prune: strays that are dead in Serf are pruned, before they can cost the quorum: force-leave if Serf calls them
//     failed, then remove-peer.
//  15. Retire: a retiring server goes on: out of the Service and the endpoints gone, leadership handed over, leave, gone from
//     Raft, pod, claim. The pod of a lost server is not waited for; the claim of a server that is lost or was given up is set
//     aside and not deleted. A server that is wanted after all stays, and so does a server that the cluster cannot do without
//     any more under a stable leader: otherwise it could deadlock, since no server is created while one is retiring. A server
//     that missed SIGTERM is asked to leave, unless it leads or its vote is needed.
//  16. BeginRestore: the cluster makes way for a ConsulRestore, when no server retires and no rotation of the tokens is under
//     way. That is recorded first. An update goes on afterwards.
//  17. AwaitRelease: a paused cluster, or one whose spec cannot be honored, is left as it is.
//  18. ReplaceIdle: idle outdated servers get the wanted revision, as many as are needed: pod, revision, pod. So a bad spec is
//     rolled back without a person. One that waits for a volume that is not wanted any more is let go.
//  19. TransferOnRequest: a user asked for another leader. The target is recorded, then leadership moves to it, once the
//     leader is stable. An impossible request is dropped; one that cannot be fulfilled yet holds up nothing below.
//  20. YieldLeadership: where servers are drained and no node takes another one, the leader hands over to a server that is
//     not drained.
//  21. Reinstate: a server that was given up, has not begun to retire and serves again is kept.
//  22. GiveUp: a server that is overdue, or a voter that autopilot has called unhealthy for failureReplacement.after, is
//     given up, up to maxPerHour, while fewer than 5 volumes of failed servers are kept: that it failed is recorded. A voter
//     that is alive and lags is given up only while it is the only one: where several lag, the cause is another.
//  23. SnapshotFirst: before the first server of another version is there, a snapshot is taken, if the cluster says where to. One
//     that fails holds the upgrade up until a person says otherwise. Until then no server gets another revision.
//  24. Create: with fewer current servers than wanted, create one, up to replicas + maxSurge, given-up servers not counted.
//  25. RetireNext: an outdated server, or else a surplus one, is marked as retiring if the cluster can do without it. Servers
//     without a vote go first, then unhealthy ones, then followers, the leader last.
//  26. AwaitTransfer: say what a requested transfer of leadership waits for.
//  27. AwaitServers: say which server is not a serving voter yet, and what it waits for.
//  28. AwaitReload: say which server reads its settings again next.
//  29. AwaitCertificate: say which server reads its certificate again next.
//  30. AwaitCatalog: a server is not in the catalog, or the catalog has one that does not exist, as after a restore. The leader
//     puts that right within a minute, unless another node has the name of a server: that one is taken out.
//  31. AwaitFounding: say what the snapshot waits for with which a new cluster begins.
//  32. AwaitStrays: wait for a person to stop a stray that is alive.
//  33. SecureGossip: when nothing else is left to do and the encryption of gossip is not as wanted, it goes one phase on: Off,
//     Accepting, Sending, Required, or back. The phase is part of the revision, and servers of neighboring phases hear each
//     other.
//  34. SecureTLS: when nothing else is left to do and TLS is not as wanted, it goes one phase on: Off, Accepting, Sending,
//     Required, HTTPSOnly, or back.
//  35. SecureACLs: when nothing else is left to do and ACLs are not as wanted, they go one phase on: Off, Allow, Deny, or back.
//     Servers do not deny before the operator has a token.
//  36. RotateGossip: the gossip key is replaced on request, without a restart: all members get the new key, all encrypt
//     with it, all forget the former one. The Secret, from which servers that start take their keys, has both meanwhile.
//     Each step is taken when all members, client agents included, have told that they took the last one. Those that are
//     down are waited for before they could be cut off, and kubelets until they show all pods the Secret as it is.
//  37. RotateTokens: the ACL tokens are replaced on request, or at their age, without a restart: Consul gets new ones
//     beside those that there are, all servers read them, and then the former ones are revoked. The former management token
//     is kept without rights, and deleted when no server runs that was started with it: such a server would make it again.
//  38. AwaitSecrets: say which Secret of a user cannot be used: a new cluster waits for it, a running one goes on.
//  39. AwaitAgents: a phase of either that could cut off client agents waits: for the gossip key, which Consul reports, or for a
//     person's word.
//
// # Updates in place
//
// Where spec.update.type is InPlace no server is added for a new revision. A server that has a future (no deleted claim,
// not given up, its node not drained) counts as current, and is updated on its claim when its turn to retire comes. It is
// marked as retiring in place if all others serve, and Retire takes it along; when it is gone from Raft, its claim gets the
// wanted revision and loses both markers, and it comes back with the same name and id. Until it has left, the marker is
// taken back when nothing asks for the update any more, when a failure or a drain overtakes it, and while the cluster is
// held; afterwards it comes back whatever the spec says, and as it was while the cluster is held. Surplus servers go first,
// those that take no part before those that serve. So a type that changes in the middle of a rollout goes on from there.
//
// A single server has no one to hand over to, and is away for some seconds. It neither leaves nor retires: its claim gets the
// revision, then its pod is deleted; SIGTERM stops it in order, and on its claim it is the one voter as before. There is no
// leader until it is back, so while its process does not run it is corrected by ReviseStopped.
//
// # Upkeep
//
// Whatever the rules decide: a server without a pod gets one, unless its claim is being deleted, it is about to get another
// revision, it is given up in a recovery, or it retires under a leader. A pod that will never run again, and one whose
// claim is gone, are deleted. A new pod permanently avoids the nodes that drain when it is created, so that an evicted
// server can return to its node. An unschedulable pod is recreated if that set has changed and no server is missing. The
// readiness gate opens for a healthy voter that stays, and closes only when a server retires or has no vote. Autopilot's
// min_quorum follows replicas, its other settings follow spec.config. What Consul can change while it runs is no part of a
// revision: servers read it again, those that are not ready at once, the others one at a time, the leader last. The
// leader makes the ACL tokens of the operator and of the servers if they were not made, or if it refuses the operator's. The
// certificate of the servers is replaced when two thirds of its life are over, or servers have other names, and read again
// once kubelets show it to all pods. The authority that issues it is replaced in the same way, by three certificates one
// after the other, when four fifths of its life are over, or on request. Where the status says that there was a leader and
// the record of it is missing, it is written again. The disruption budget asks for all pods there are to be ready, so no
// server can be evicted; where drained servers have nowhere else to go, one at a time can be, while all serve, and never
// the leader.
//
// # Invariants
//
//   - I1: after each voluntary step, the healthy voters are a quorum of the resulting membership.
//   - I2: there are never fewer voters than replicas (in place: replicas - 1), and one server retires at a time. The exceptions
//     are a single server that is updated in place, since there is no other one, and servers that cannot read the leader's log:
//     they take no part in anything.
//   - I3: a leader is never stopped before another server was seen leading, and an upgrade changes leaders once: the leader
//     goes last, to a server that stays.
//   - I4: a member that is alive is never pruned, and the volume of a Raft peer is never deleted, nor set aside while its
//     server goes on running.
//   - I5: nothing is written while all is as wanted.
//   - I7: the desired state is reached once faults stop.
//   - I8: an acknowledged write is never lost, and no second cluster is founded: bootstrap_expect is given to no server of a
//     cluster that has had a leader, and no server becomes the only voter while others could elect a leader, or know more
//     and were not given up by a person.
//   - I9: the client Service sends connections to voters that stay, and to no other server.
//   - I10: no server is started that others cannot hear.
//   - I11: no ACL token loses its rights while a server uses it.
//   - I12: no key or token is in a log, an object but its Secrets, or the arguments of a process.
//   - I13: no server is added, removed or asked to lead, and no key or token is rotated, during a restore.
package plan

// Rule is one decision of the operator. The first rule of the list that has something to say decides.
type Rule struct {
	// Name is the name of the function that decides, and of its file.
	Name   string
	decide func(view) *Decision
	Kind   Kind
	// Why says in a line what the rule is for.
	Why string
}

// Kind is whether a rule can wait.
type Kind string

const (
	// Voluntary rules change a cluster that works. They wait until the leader is stable: a cluster that has just lost a leader
	// is not asked for more.
	Voluntary Kind = "voluntary"
	// Necessary rules repair, go on with what was begun, do what a person asked for, or only wait.
	Necessary Kind = "necessary"
)

// rules is the specification of the operator: all its decisions, in order.
var rules = []Rule{
	{"AwaitRecords", awaitRecords, Necessary, "a record of the operator that is damaged is never guessed at"},
	{"AwaitTokens", awaitTokens, Necessary, "a leader that refuses the operator leads: the cluster is unknown, not leaderless"},
	{"FoundFromSnapshot", foundFromSnapshot, Necessary, "a cluster that begins with a snapshot has one that can be restored"},
	{"Bootstrap", bootstrap, Necessary, "a cluster is founded once: bootstrap_expect with an empty disk founds a second, empty one"},
	{"AdoptVolumes", adoptVolumes, Necessary, "data that is there is not lost with the object that named it"},
	{"RevertGossip", revertGossip, Necessary, "a phase in which servers do not start can be taken back"},
	{"RevertTLS", revertTLS, Necessary, "a phase in which servers do not start can be taken back"},
	{"RevertACLs", revertACLs, Necessary, "a phase in which servers do not start can be taken back"},
	{"ReviseStopped", reviseStopped, Necessary, "a spec that keeps servers from running is corrected without a leader"},
	{"RecoverQuorum", recoverQuorum, Necessary, "a quorum that is lost for good comes back with the newest data there is"},
	{"AwaitLeader", awaitLeader, Necessary, "without a leader nothing is known: unknown is never healthy and never dead"},
	{"AwaitRestore", awaitRestore, Necessary, "a cluster whose data is being replaced is left as it is"},
	{"ReviseFollowers", reviseFollowers, Necessary, "a server that cannot read the leader's log gets the wanted revision"},
	{"Prune", prune, Necessary, "dead strays go before they cost the quorum"},
	{"Retire", retire, Necessary, "a server that has begun to retire goes on, or stays, before anything else changes"},
	{"BeginRestore", beginRestore, Voluntary, "data is replaced while no server comes or goes"},
	{"AwaitRelease", awaitRelease, Necessary, "a cluster that is paused, or whose spec cannot be honored, is left as it is"},
	{"ReplaceIdle", replaceIdle, Necessary, "a bad spec is corrected without a person, on servers that take no part"},
	{"TransferOnRequest", transferOnRequest, Necessary, "a user asked for another leader"},
	{"YieldLeadership", yieldLeadership, Voluntary, "a leader that has to be evicted hands over first"},
	{"Reinstate", reinstate, Voluntary, "a server that recovers before it is replaced is worth more than an empty one"},
	{"GiveUp", giveUp, Voluntary, "a server that failed for good is replaced, and the record of it outlasts its leader"},
	{"SnapshotFirst", snapshotFirst, Necessary, "an older version may not read what a newer one has written"},
	{"Create", create, Voluntary, "new servers come before old ones go"},
	{"RetireNext", retireNext, Voluntary, "outdated and surplus servers go one at a time, the leader last"},
	{"AwaitTransfer", awaitTransfer, Necessary, "a user who asked for another leader learns what the transfer waits for"},
	{"AwaitServers", awaitServers, Necessary, "a cluster is done when all its servers are voters that serve"},
	{"AwaitReload", awaitReload, Necessary, "a setting that changes while servers run stops at the first one that it harms"},
	{"AwaitCertificate", awaitCertificate, Necessary, "a certificate that servers do not present yet is not taken for renewed"},
	{"AwaitCatalog", awaitCatalog, Necessary, "a cluster that clients do not find in its own catalog is not healthy"},
	{"AwaitFounding", awaitFounding, Necessary, "no client sees a cluster without the data with which it begins"},
	{"AwaitStrays", awaitStrays, Necessary, "a cluster that counts on a peer that is not ours is not healthy"},
	{"SecureGossip", secureGossip, Voluntary, "servers that encrypt and servers that do not never meet"},
	{"SecureTLS", secureTLS, Voluntary, "servers that need certificates and servers that have none never meet"},
	{"SecureACLs", secureACLs, Voluntary, "servers deny only when a person has said so and the operator has a token"},
	{"RotateGossip", rotateGossip, Voluntary, "a key is not kept for ever, and nobody is cut off when it is replaced"},
	{"RotateTokens", rotateTokens, Voluntary, "tokens are not kept for ever, and no server loses one before it has the next"},
	{"AwaitSecrets", awaitSecrets, Necessary, "a Secret that a user takes away again takes nothing else with it"},
	{"AwaitAgents", awaitAgents, Necessary, "a phase that would cut client agents off waits until somebody has prepared them"},
}

// Rules returns the list of rules, in the order in which they decide.
func Rules() []Rule { return append([]Rule(nil), rules...) }
