// Package plan decides what to do next for a cluster of Consul servers. It is pure: Plan(Observation, now) gives a
// Decision, the same one each time, without a client, a context, a clock or a logger, and it never iterates a map.
// This is the specification of what the operator does; test/sim checks it in millions of states of a model.
//
// # What a decision is
//
// A Decision holds at most one Step, the one action that changes the membership of the cluster or leads to such a
// change, and any number of Upkeep actions, which restore what should be and never change the membership. It always
// carries a reason and a message for people. Progress is in the cluster: the same decision comes out of an operator
// that has just started.
//
// # Words
//
// A server is its volume claim; its pod can be made anew. It takes part if Raft or Serf know it, and is idle otherwise.
// It is current if claim and pod have the wanted revision and nobody deleted the claim, and outdated otherwise. It
// stays unless it is marked as retiring. It is a healthy voter if Raft calls it a voter, autopilot healthy, Serf alive,
// its pod is not terminating, and its own agent answers; it serves if its pod is ready as well. A Raft peer that belongs
// to no server is a stray. The cluster can do without a server if as many serving healthy voters stay as are wanted, and
// the votes that count are a quorum now and of what remains.
//
// A server is overdue if its pod should be gone for a minute and its node does not say so, and lost if its own agent is
// silent too. One that was given up is outdated, and so is one whose node is cordoned: it is drained.
//
// # The order of decisions
//
// The rules are tried in the order of the list in plan.go; the first that has something to say decides.
//
//  1. A cluster that is being deleted is left to garbage collection.
//  2. Not bootstrapped yet: create the first servers with bootstrap_expect, all expecting the number that the first one
//     was given, then record that a leader was seen. Never again. Until then outdated servers are replaced in place.
//     The pods of a deleted cluster of the same name have to be gone first: new servers would join the old ones.
//  3. A quorum that cannot come back is recovered: no leader can be elected without voters whose volume claim is gone and
//     whom nobody hears, in the eyes of every server. Where all others answer, it is done by itself if the spec says so;
//     otherwise a person gives up, by name, all who do not answer. That is written down first. Then those are fenced:
//     their pods stop, their claims are set aside. Then the others start anew and save what they have, and the one
//     with the newest log, as Raft compares logs, last: as the only voter. Whoever is back before it was touched, or
//     leads without the vote of one that stops, ends the recovery.
//  4. Without a leader whose own agent answers nothing is known: wait. Unknown is never healthy and never dead.
//  5. Strays that are dead in Serf are pruned, before they can cost the quorum: force-leave if Serf calls them failed,
//     then remove-peer.
//  6. A server on its way out goes on: out of the Service and the endpoints gone, leadership handed over, leave, gone
//     from Raft, pod, claim. Nobody waits for the pod of one that is lost; its claim, and that of one that was given up,
//     is set aside and not deleted. One that is wanted after all, or that the cluster cannot do without any more under a leader
//     that is stable, stays: it may wait for a server that nobody would create as long as it retires.
//  7. A paused cluster, or one whose spec cannot be honored, is left as it is.
//  8. Idle outdated servers are replaced in place, as many as are needed: pod, revision, pod. A bad spec is rolled back
//     without a human.
//  9. A transfer of leadership that a person asked for: the target is written down, then leadership moves to it, once
//     the leader has led for a while. One that is impossible for good is dropped; one that is impossible now holds up
//     nothing below.
//  10. Nothing else starts until the leader has led for leaderStableFor.
//  11. Where servers are drained and no node takes another one, the leader is handed to one that is not drained.
//  12. A server that is overdue, or a voter that autopilot has called unhealthy for failureReplacement.after, is given up,
//     up to maxPerHour: that it failed is written down.
//  13. Fewer current servers than wanted: create one, up to replicas + maxSurge, those that were given up not counted.
//  14. Outdated servers, or else surplus ones: mark one as retiring, if the cluster can do without it. Servers without a
//     vote go first, then the sick, then followers, the leader last.
//  15. Wait for what a person asked for, for servers that are not serving voters yet, and for strays that are alive to
//     stop, and say what they wait for.
//
// # Updates in place
//
// Where spec.update.type is InPlace nobody is added for a new revision: a server that has a future (no deleted claim, not
// given up, its node not drained) counts as one that is there, and is updated on its claim when its turn to retire comes.
// It is marked as retiring in place if all others serve, and goes as in 5; when it is gone from Raft, its claim gets the
// wanted revision and loses both markers, and it comes back by the same name and id. Until it has left the marker is taken
// back when nothing asks for it any more, when it is overtaken by a failure or a drain, and while the cluster is paused;
// afterwards it comes back whatever the spec says, and as it was while the cluster is paused. Who is too many goes first:
// servers that take no part before those that serve. So a type that changes in the middle of a rollout goes on from there.
//
// A single server has nobody to hand over to, and is away for some seconds. It does not leave, nor retire: its claim gets
// the revision, then its pod is deleted; SIGTERM stops it in order, and on its claim it is the one voter as before. There
// is no leader until it is back, so while its process does not run it is corrected without one, before 3.
//
// # Upkeep
//
// Whatever the rules say: a server without a pod gets one, unless its claim is being deleted, it is about to be replaced
// in place, or it retires under a leader. A pod that will never run again, and one whose claim is gone, are deleted.
// A new pod is kept from the nodes that are drained, for good: who is evicted comes back there. One that no node takes is
// made anew where these are others by now and nobody is missing.
// The readiness gate goes on for a healthy voter that stays, and off only when a server retires or has no vote.
// Autopilot's min_quorum follows replicas. No server can be evicted, but where drained ones have nowhere else to go: then
// one at a time, while all serve, and never the leader.
//
// # What always holds
//
//   - I1: after each voluntary step the healthy voters are at least a quorum of the resulting membership.
//   - I2: voters never drop below replicas, nor below replicas - 1 where servers are updated in place; one server retires
//     at a time. A single server that is updated in place is no exception but for itself: there is no other one.
//   - I3: a leader is never stopped before another server was seen leading, and the leader goes last, to a server that
//     stays: one change of leadership in a whole upgrade.
//   - I4: a member that is alive is never pruned; a claim is never deleted while its server is a Raft peer, nor set aside
//     while its server goes on running.
//   - I5: where all is as wanted there is no action.
//   - I7: from every state the wanted one is reached once faults stop.
//   - I8: bootstrap_expect is given to no server of a cluster that has had a leader; nobody becomes the only voter while
//     others could elect a leader, or know more and were not given up by a person.
//   - I9: a server leaves only when the client Service sends it nothing any more, and serves only with a vote.
package plan
