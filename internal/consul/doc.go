// Package consul is the narrow client of Consul servers: what the operator asks of an agent, in the operator's own
// words, and the errors it can act on. Nothing else in the product imports hashicorp/consul/api.
//
// Every call goes to the one agent it names and costs at most Options.Timeout. An effect that was sent and not
// answered is neither done nor undone: ErrUnanswered says so, and only another look at the cluster tells.
//
// The comments state facts about Consul. Where they say "measured", it was on Consul 1.22.7 and 1.19.2, three servers
// on one machine, raft_multiplier 1; the tests of this package repeat the measurements that can be repeated.
package consul
