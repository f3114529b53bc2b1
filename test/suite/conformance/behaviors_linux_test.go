// Package conformance compares the model of Consul in test/lib/sim with Consul itself: the same scripts are played in both,
// and both are asked the same facts. What it proves is as much about the model as the model proves about the planner.
//
// It asks for whatever a step leads to, and for how it is in the end. How long Consul takes is in the log (go test -v)
// and is not asserted: the model has no clock.
package conformance

import (
	"testing"

	"github.com/consul-operator/consul-operator/test/lib/sim"
)

func TestTheModelBehavesLikeConsul(t *testing.T) {
	t.Parallel()
	for _, s := range scripts {
		t.Run(s.behavior, func(t *testing.T) {
			t.Parallel()
			s.play(t)
		})
	}
}

// This one takes more than a minute. As a test of its own it begins with the others, whatever their order.
func TestTheModelAddsARemovedPeerThatIsAliveBackLikeConsul(t *testing.T) {
	t.Parallel()
	s := script{steps: []step{
		founded(3),
		does(sim.RemovePeer, second), until(second, noPeer, alive, up),
		until(second, nonVoter), until(second, voter), same(),
	}}
	s.play(t)
}

var scripts = []script{
	{
		behavior: "a failed server is cleaned up once there is a replacement",
		steps: []step{
			founded(3),
			does(sim.Kill, first), leads(second, third), until(first, voter, failed, down), stays(),
			newcomerStarts(0), until(newcomer, voter),
			until(first, noPeer, left), same(),
		},
	},
	{
		behavior: "cleanup stops at min_quorum",
		steps: []step{
			founded(3),
			does(sim.Kill, second), until(second, voter, failed, down), stays(),
			minQuorum(2), until(second, noPeer, left), same(),
		},
	},
	{
		behavior: "a failed non-voter is cleaned up whatever min_quorum is",
		steps: []step{
			founded(3),
			newcomerStarts(0), until(newcomer, nonVoter, alive),
			does(sim.Kill, newcomer), until(newcomer, noPeer, left, down), same(),
		},
	},
	{
		behavior: "leadership handed to a non-voter is nobody's for a while",
		settings: settings{stabilization: "10s"},
		steps: []step{
			founded(3),
			newcomerStarts(0), until(newcomer, nonVoter, alive),
			does(sim.Transfer, newcomer), leads(nobody), leads(first, second, third),
			until(newcomer, voter), same(),
		},
	},
	{
		behavior: "a server that leaves while nobody leads stays a peer until somebody does",
		settings: settings{minQuorum: 4},
		steps: []step{
			founded(4),
			// Frozen and not killed: a server that starts anew never learns of one that has left.
			does(sim.Freeze, first), does(sim.Freeze, second), leads(nobody),
			does(sim.Leave, third), until(third, voter, left, down),
			does(sim.Thaw, first), does(sim.Thaw, second), leads(first, second, fourth),
			until(third, noPeer, left), same(),
		},
	},
	{
		behavior: "a session ends when its server fails",
		steps: []step{
			founded(3),
			does(sim.OpenSession, second), does(sim.OpenSession, third), until(second, session),
			does(sim.Kill, second), until(second, failed), same(),
			does(sim.StartAgain, second), until(second, alive), same(),
		},
	},
	{
		behavior: "a session ends when its server leaves, and nobody else's does",
		steps: []step{
			founded(3),
			does(sim.OpenSession, first), does(sim.OpenSession, second),
			until(first, session), until(second, session),
			does(sim.Leave, first), leads(second, third), until(first, noPeer, left, down), stays(),
		},
	},
	{
		behavior: "a session outlasts a new leader and a restart that is over before anybody notices",
		steps: []step{
			founded(3),
			does(sim.OpenSession, second), until(second, session),
			does(sim.Transfer, third), leads(third), same(),
			does(sim.Kill, second), does(sim.StartAgain, second), stays(),
		},
	},
	{
		behavior: "servers found a cluster",
		steps:    []step{founded(3), same()},
	},
	{
		behavior: "a new server is promoted later",
		steps: []step{
			founded(3),
			newcomerStarts(0), until(newcomer, nonVoter), until(newcomer, voter), same(),
		},
	},
	{
		behavior: "leadership is handed to a voter",
		steps:    []step{founded(3), does(sim.Transfer, second), leads(second), same()},
	},
	{
		behavior: "leadership is not handed to a server that is no peer",
		steps: []step{
			founded(3),
			does(sim.Leave, second), until(second, noPeer, down),
			refuses(sim.Transfer, second), same(),
		},
	},
	{
		behavior: "a server that left and is started again is a new one",
		steps: []step{
			founded(3),
			does(sim.Leave, second), until(second, noPeer, left, down), same(),
			does(sim.StartAgain, second), until(second, nonVoter, alive, up), until(second, voter), same(),
		},
	},
	{
		behavior: "a leader leaves",
		steps: []step{
			founded(3),
			does(sim.Leave, first), leads(second, third), until(first, noPeer, left, down), same(),
		},
	},
	{
		behavior: "the leader of two leaves",
		settings: settings{minQuorum: 2},
		steps: []step{
			founded(2),
			does(sim.Leave, first), leads(second), until(first, noPeer, left, down), same(),
		},
	},
	{
		behavior: "the only server leaves and leads again",
		settings: settings{minQuorum: 1},
		steps: []step{
			founded(1),
			does(sim.Leave, first), until(first, down),
			does(sim.StartAgain, first), leads(first), same(),
		},
	},
	{
		behavior: "SIGTERM is a leave",
		steps: []step{
			founded(3),
			does(sim.Terminate, second), until(second, noPeer, left, down), same(),
		},
	},
	{
		behavior: "a removed server returns with its old disk",
		steps: []step{
			founded(3),
			does(sim.Kill, second), until(second, voter, failed, down),
			minQuorum(2), until(second, noPeer, left), writes(),
			does(sim.StartAgain, second), until(second, nonVoter, alive, up), until(second, voter), same(),
		},
	},
	{
		behavior: "force-leave removes a failed server",
		steps: []step{
			founded(3),
			does(sim.Kill, second), until(second, voter, failed, down),
			does(sim.ForceLeave, second), until(second, noPeer, down), same(),
		},
	},
	{
		behavior: "force-leave of a server that is alive changes nothing",
		steps:    []step{founded(3), does(sim.ForceLeave, second), stays()},
	},
	{
		behavior: "without a quorum nobody leads, and with it nothing is lost",
		steps: []step{
			founded(3),
			does(sim.Kill, second), writes(), does(sim.Kill, first), leads(nobody),
			does(sim.StartAgain, second), leads(third), same(),
		},
	},
	{
		behavior: "after a restart of all the others a failed server is still a peer",
		steps: []step{
			founded(3),
			does(sim.Kill, second), until(second, voter, failed, down),
			does(sim.Kill, first), does(sim.Kill, third), until(first, down),
			does(sim.StartAgain, first), does(sim.StartAgain, third), leads(first, third), same(),
		},
	},
	{
		behavior: "a server that expects to found a cluster joins the one that is there",
		steps: []step{
			founded(3),
			newcomerStarts(3), until(newcomer, nonVoter), until(newcomer, voter), same(),
		},
	},
	{
		behavior: "a follower hangs for a while",
		steps: []step{
			founded(3),
			does(sim.Freeze, second), until(second, voter, failed, up), same(),
			does(sim.Thaw, second), until(second, voter, alive, up), same(),
		},
	},
	{
		behavior: "a leader that is cut off from its followers steps down and answers on",
		steps: []step{
			founded(3),
			does(sim.CutOff, first), leads(nobody), until(first, voter, up),
			does(sim.Join, first), leads(first, second, third), until(first, voter, alive, healthy), same(),
		},
	},
	{
		behavior: "a leader hangs for a while",
		steps: []step{
			founded(3),
			does(sim.Freeze, first), leads(second, third), until(first, voter, failed, up), same(),
			does(sim.Thaw, first), until(first, voter, alive, up), same(),
		},
	},
}
