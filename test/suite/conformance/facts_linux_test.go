package conformance

import (
	"fmt"
	"slices"

	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gcustom"
	"github.com/onsi/gomega/types"

	"github.com/consul-operator/consul-operator/test/lib/sim"
)

// facts are what the model and real Consul are both asked.
type facts struct {
	Leads   string              // a server, nobody, or several
	Servers map[string][]string // what is true of each of them, in the words below
}

// Who leads, if not a single server.
const (
	nobody  = "nobody"
	several = "several"
)

// What is true of a server: whether its process runs, its suffrage in Raft, its status in Serf, and, if somebody leads,
// whether it has the session that was opened at it, and autopilot's opinion of a peer.
const (
	up   = "up"
	down = "down"

	noPeer   = "no-peer"
	nonVoter = "nonvoter"
	voter    = "voter"

	absent  = "absent"
	alive   = "alive"
	leaving = "leaving"
	left    = "left"
	failed  = "failed"

	session = "with a session"

	healthy   = "healthy"
	unhealthy = "unhealthy"
)

var suffrages = map[sim.Suffrage]string{sim.NoPeer: noPeer, sim.NonVoter: nonVoter, sim.Voter: voter}

var statuses = map[sim.Serf]string{
	sim.Absent: absent, sim.Alive: alive, sim.LeavingSerf: leaving, sim.Left: left, sim.Failed: failed,
}

// about is what is said of one server.
func about(process, suffrage, serf string, somebodyLeads, isHealthy bool) []string {
	words := []string{process, suffrage, serf}
	switch {
	case suffrage == noPeer || !somebodyLeads:
		return words
	case isHealthy:
		return append(words, healthy)
	default:
		return append(words, unhealthy)
	}
}

// sayOf matches facts in which all the words are true of a server.
func sayOf(server string, words ...string) types.GomegaMatcher {
	return gcustom.MakeMatcher(func(f facts) (bool, error) {
		return !slices.ContainsFunc(words, func(word string) bool {
			return !slices.Contains(f.Servers[server], word)
		}), nil
	}, fmt.Sprintf("say that %s is %v", server, words))
}

// sayLeads matches facts in which one of these leads.
func sayLeads(who ...string) types.GomegaMatcher {
	return gcustom.MakeMatcher(func(f facts) (bool, error) {
		return slices.Contains(who, f.Leads), nil
	}, fmt.Sprintf("say that one of %v leads", who))
}

// sayAs matches equal facts. An election has more than one right result: which voter wins it does not matter.
func sayAs(other facts) types.GomegaMatcher {
	return WithTransform(impersonal, Equal(impersonal(other)))
}

func impersonal(f facts) facts {
	if f.Leads != nobody && f.Leads != several {
		f.Leads = "somebody"
	}
	return f
}
