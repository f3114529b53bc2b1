// Package plan decides what to do next for a cluster of Consul servers. It is pure: Plan(Observation, now) gives a
// Decision, the same one each time, without a client, a context, a clock or a logger, and it never iterates a map.
//
// # What a decision is
//
// A Decision holds at most one Step, the one action that changes the membership of the cluster or leads to such a
// change, and any number of Upkeep actions, which restore what should be (a pod for a claim, the readiness gate, the
// autopilot's minimum) and never change the membership. It always carries a reason and a message for people.
//
// # The order of decisions
//
// The rules are tried in the order of the list in plan.go; the first that has something to say decides.
//
//  1. A cluster that is being deleted is left to garbage collection.
//  2. Not bootstrapped yet: create the first servers with bootstrap_expect, then record that it happened. Never again.
//  3. Without a leader whose own agent answers nothing is known: wait. Unknown is never healthy and never dead.
//  4. Raft peers that belong to no server of ours and are dead in Serf are pruned, before they can cost the quorum.
//  5. A server on its way out goes on: out of the Service, leadership handed over, leave, gone from Raft, pod, claim.
//  6. A paused cluster, or one whose spec cannot be honoured, is left as it is.
//  7. Outdated servers that take no part in the cluster are replaced in place: a bad spec is rolled back without a human.
//  8. A transfer of leadership that a person asked for.
//  9. Nothing else starts until the leader has led for a while.
//  10. Fewer current servers than wanted: create one, up to replicas + maxSurge.
//  11. Outdated or surplus servers: retire one, if as many healthy voters as wanted stay. The leader last.
//  12. Wait for the servers that are not serving voters yet, and say what they wait for.
//
// # What always holds
//
//   - I1: after each voluntary step the healthy voters are at least a quorum of the resulting membership.
//   - I2: voters never drop below replicas; one server retires at a time.
//   - I3: a leader is never stopped before another server was seen leading, and the leader goes last, to a server that
//     stays: one change of leadership in a whole upgrade.
//   - I4: a member that is alive is never pruned; a claim is never deleted while its server is a Raft peer.
package plan
