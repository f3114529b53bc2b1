package plan

import (
	"time"

	"github.com/consul-operator/consul-operator/api/reason"
)

// Rule is one decision of the operator. The first rule of the list that has something to say decides.
type Rule struct {
	// Name is the name of the function that decides, and of its file.
	Name string
	// Why says in a line what the rule is for.
	Why string
	// Voluntary rules change a cluster that works. They wait until the leader is stable: a cluster that has just lost a leader
	// is not asked for more.
	Voluntary bool

	decide func(view) *Decision
}

// rules is the specification of the operator: all its decisions, in order.
var rules = []Rule{
	{
		Name: "AwaitRecords", decide: awaitRecords,
		Why: "a record of the operator that is damaged is never guessed",
	}, {
		Name: "Bootstrap", decide: bootstrap,
		Why: "a cluster is founded once: bootstrap_expect with an empty disk would found a second, empty one",
	}, {
		Name: "RecoverQuorum", decide: recoverQuorum,
		Why: "a quorum that is lost for good comes back with the newest data there is, once nobody else can",
	}, {
		Name: "ReviseSingle", decide: reviseSingle,
		Why: "a single server that does not run is corrected without a leader, since it would be the leader",
	}, {
		Name: "AwaitLeader", decide: awaitLeader,
		Why: "without a leader nothing is known: unknown is never healthy and never dead",
	}, {
		Name: "Prune", decide: prune,
		Why: "dead strays go before they cost the quorum",
	}, {
		Name: "Retire", decide: retire,
		Why: "a server that has begun to retire goes on, or stays, before anything else changes",
	}, {
		Name: "AwaitRelease", decide: awaitRelease,
		Why: "a cluster that is paused, or whose spec cannot be honoured, is left as it is",
	}, {
		Name: "ReplaceIdle", decide: replaceIdle,
		Why: "a bad spec is corrected without a person: servers that take no part get the wanted revision",
	}, {
		Name: "TransferOnRequest", decide: transferOnRequest,
		Why: "a user asked for another leader",
	}, {
		Name: "YieldLeadership", decide: yieldLeadership, Voluntary: true,
		Why: "a leader that has to be evicted, since no other node takes a server, hands over first",
	}, {
		Name: "GiveUp", decide: giveUp, Voluntary: true,
		Why: "a server that failed for good is replaced, and the record of it outlasts its leader",
	}, {
		Name: "Create", decide: create, Voluntary: true,
		Why: "new servers come before old ones go",
	}, {
		Name: "RetireNext", decide: retireNext, Voluntary: true,
		Why: "outdated and surplus servers go one at a time, the leader last",
	}, {
		Name: "AwaitTransfer", decide: awaitTransfer,
		Why: "a user who asked for another leader learns what the transfer waits for",
	}, {
		Name: "AwaitServers", decide: awaitServers,
		Why: "a cluster is done when all its servers are voters that serve",
	}, {
		Name: "AwaitStrays", decide: awaitStrays,
		Why: "a cluster that counts on a peer that is not ours is not healthy",
	},
}

// Rules returns the list of rules, in the order in which they decide.
func Rules() []Rule { return append([]Rule(nil), rules...) }

// Plan decides what to do next.
func Plan(o Observation, now time.Time) Decision {
	v := view{Observation: o, now: now}
	decision := decide(v)
	decision.Upkeep = upkeep(v)
	if o.Refused != nil {
		decision.report(*o.Refused)
	}
	if decision.RequeueAfter == 0 {
		decision.RequeueAfter = v.nextLook(decision)
	}
	return decision
}

// decide asks the rules.
func decide(v view) Decision {
	for _, rule := range rules {
		d := rule.decide(v)
		if d == nil {
			continue
		}
		if rule.Voluntary && !v.leaderIsStable() {
			d = v.awaitStableLeader()
		}
		d.Rule = rule.Name
		return *d
	}
	return Decision{Done: true, Reason: reason.Healthy, Message: "all servers are healthy voters and serve"}
}

// report tells users what the API server refused. What was decided is tried again.
func (d *Decision) report(refused Problem) {
	d.Done, d.Reason, d.Message, d.RequeueAfter = false, refused.Reason, refused.Message, afterRefusal
}

// nextLook is when to observe a cluster again that waits for nothing.
func (v view) nextLook(d Decision) time.Duration {
	switch {
	case len(d.Upkeep) > 0:
		return soon
	case v.Raft.CatalogUnanswered:
		return forPeople
	}
	return 0
}

func (v view) awaitStableLeader() *Decision {
	return wait(min(v.stableAt().Sub(v.now), steadily), reason.LeaderNotStable,
		"%s became leader only recently; the next step waits until it has led for %s", v.Raft.Leader, v.Spec.LeaderStableFor)
}
