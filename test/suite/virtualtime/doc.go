// Package virtualtime runs the whole operator, as it is in production, against a simulated API server and a simulated Consul,
// in virtual time. Package sim proves the planner in all states of a model; this package proves what is around it: that
// the reconciler, the observer and the executor survive a death at any moment, caches that lag, and errors of any call.
//
//   - apiserver.go: the fake client of controller-runtime, with what it lacks: UIDs, preconditions, graceful deletion,
//     garbage collection. It remembers all versions of all objects.
//   - cache.go: the informers' view of that, as late as a test wants it.
//   - world.go, kubelet.go: timed.Cluster, which is sim.State with a clock, is the truth about servers, pods and claims. What
//     it says is written to the API server as kubelet and controllers would.
//   - agent.go: the HTTP API of each server.
//   - operator.go: a process of the operator, which can be killed at each of its calls.
//   - judge.go: which invariant each effect has to keep, asked of package sim.
//   - run.go, scenario.go, outcome.go: a story, and what came of it.
//
// An effect is a write to the API server or a call to Consul that changes something. All is deterministic: the same
// story has the same effects in the same order, so that the k-th of them can be chosen to go wrong.
package virtualtime
