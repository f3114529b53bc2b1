package plan_test

import (
	"fmt"
	"time"

	"github.com/consul-operator/consul-operator/internal/plan"
)

// Three servers run an older revision than the spec wants: a server is added before one of them goes.
func ExamplePlan() {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	o := plan.Observation{
		Spec: plan.Spec{Replicas: 3, MaxSurge: 1, Revision: "new", Bootstrapped: true, NextSerial: 3},
		Raft: plan.Raft{Known: true, Leader: "consul-0", LeaderSince: now.Add(-time.Hour), MinQuorum: 3},
	}
	for serial, name := range []string{"consul-0", "consul-1", "consul-2"} {
		peer := plan.Peer{ID: name, Name: name, Voter: true}
		o.Raft.Peers = append(o.Raft.Peers, peer)
		o.Servers = append(o.Servers, plan.Server{
			Name: name, Serial: serial, ID: name, Revision: "old", Peer: &peer,
			Pod:    &plan.Pod{Revision: "old", Running: true, Ready: true, Serving: true},
			Agent:  plan.Agent{Answered: true},
			Member: plan.MemberAlive, Health: plan.HealthHealthy, Routed: true,
		})
	}
	decision := plan.Plan(o, now)
	fmt.Println(decision.Rule, decision.Reason)
	fmt.Println(decision.Message)
	fmt.Printf("%s %+v\n", plan.NameOf(decision.Step), decision.Step)
	// Output:
	// Create CreatingServer
	// adding a server: 0 of 3 have the wanted revision
	// CreateServer {Serial:3 BootstrapExpect:0}
}

func ExampleRules() {
	for _, rule := range plan.Rules()[:3] {
		fmt.Printf("%s (%s): %s\n", rule.Name, rule.Kind, rule.Why)
	}
	// Output:
	// AwaitRecords (necessary): a record of the operator that is damaged is never guessed at
	// AwaitTokens (necessary): a leader that refuses the operator leads: the cluster is unknown, not leaderless
	// FoundFromSnapshot (necessary): a cluster that begins with a snapshot has one that can be restored
}
