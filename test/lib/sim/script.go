package sim

import "github.com/consul-operator/consul-operator/test/lib/invariant"

// Script plays Consul alone, so that the same can be played with real servers (test/suite/conformance). Its servers are
// processes without pods: nothing starts or ends them but the script.
type Script struct {
	State State
}

// Deed is what is done to a server, or asked of Consul about it.
type Deed string

// The deeds. A person or the operator asks for those from Leave to RemovePeer.
const (
	Kill       Deed = "kill"        // SIGKILL
	Freeze     Deed = "freeze"      // SIGSTOP
	Thaw       Deed = "thaw"        // SIGCONT
	CutOff     Deed = "cut off"     // it and the others hear nothing of each other
	Join       Deed = "join again"  // they do
	Terminate  Deed = "terminate"   // SIGTERM
	StartAgain Deed = "start again" // with the disk it has
	Leave      Deed = "leave"
	Transfer   Deed = "transfer leadership to"
	ForceLeave Deed = "force-leave"
	RemovePeer Deed = "remove-peer"
	// OpenSession is what an application asks of a server.
	OpenSession Deed = "open a session at"
)

var deeds = map[Deed]func(*State, int){
	Kill:       (*State).stop,
	Freeze:     hang,
	Thaw:       resume,
	CutOff:     cutOff,
	Join:       beHeard,
	Terminate:  getSignal,
	StartAgain: func(s *State, i int) { restart(s, i) },
	Leave:      leave,
	Transfer:   func(s *State, i int) { transfer(s, i) },
	ForceLeave: func(s *State, i int) { forceLeave(s, i) },
	RemovePeer: func(s *State, i int) { removeByOperator(s, i) },

	OpenSession: openSession,
}

// NewScript is before the first server was started.
func NewScript() *Script { return &Script{empty(0, 0)} }

// Start starts another server, with an empty disk. expect is its bootstrap_expect, 0 for none.
func (s *Script) Start(expect uint8) {
	s.State.Servers[s.State.N] = Server{Claim: ClaimBound, Pod: PodScript, PodFounder: expect > 0, Process: Up}
	s.State.N++
	s.State.Expect = max(s.State.Expect, expect)
}

// Do does something to the server in a slot.
func (s *Script) Do(deed Deed, slot int) { deeds[deed](&s.State, slot) }

// Advance lets Consul do what it does by itself, one thing after the other, until the state is as asked for or nothing
// is left to do. It says whether the state is as asked for.
func (s *Script) Advance(reached func(*State) bool) (bool, *Violation) {
	for range longest {
		if reached(&s.State) {
			return true, nil
		}
		next := enabled(&s.State, progress, nil)
		if len(next) == 0 {
			return false, nil
		}
		var violation *Violation
		if s.State, violation = next[0].happen(&s.State); violation != nil {
			return false, violation
		}
	}
	return false, violated(invariant.I7, "Consul goes round in circles")
}
