// Package sim explores the states that a model of Consul and Kubernetes can reach under the operator's actions, faults
// and changes of the spec, and asserts the invariants on the way. Each scenario is explored to the end, or to its limit
// with the nearest states first.
//
// # The model
//
// A State is a value without pointers, so that states can be compared and counted. It has no clock: what takes time in
// reality (a promotion, an election, an endpoint that goes, a leader that becomes stable) is an event that may happen
// at any moment once it is possible, in any order. What holds for every order holds for every timing.
//
//   - state.go: what there is. Servers are kept by serial; a serial is the position, so that histories that differ in
//     nothing but old names count once.
//   - consul.go: what Consul does by itself. Each behavior is compared with real Consul in test/suite/conformance.
//   - kube.go: what the API server, the kubelet and the endpoints controller do.
//   - observe.go: what the operator sees of a state.
//   - act.go: what the operator's actions do, with the preconditions that internal/execute gives them.
//   - fault.go: what goes wrong, and what users ask for. Both are bounded by a budget that is part of the state.
//
// # The proof
//
//   - explore.go visits states breadth first, so that a trace to a violation is the shortest there is. The planner is
//     asked in every one of them. Its actions are applied completely, up to each of them (the operator was killed), to the
//     states one event later (the world moved between the look and the act), and once more by an operator whose cache does
//     not show yet what happened.
//   - invariants.go says which invariant each action must keep (I1 to I4, I8, I9); kube.go and keys.go assert I10.
//   - converge.go follows each state on a fair run without further faults until nothing is left to do, and some of them on
//     another one, in the opposite order (I5, I7).
//
// docs/architecture.md lists what the model leaves out. script.go and drive.go are for those who drive the model from
// outside: test/suite/conformance and test/suite/virtualtime.
package sim
