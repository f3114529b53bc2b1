// Package consul is a narrow client of Consul servers: the calls that the operator makes to an agent, in the operator's own
// types, and the errors it can act on. Nothing else in the product imports hashicorp/consul/api.
//
// Every call goes to the one agent it names and takes at most Options.Timeout. A change that was sent but not answered may or
// may not have been applied: ErrUnanswered reports that, and only a new observation of the cluster tells.
//
// The comments state facts about Consul. Where they say "measured", it was on Consul 1.22.7 and 1.19.2, three servers
// on one machine, raft_multiplier 1; the tests of this package repeat the measurements that can be repeated.
package consul
