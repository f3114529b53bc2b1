package observer

import (
	"fmt"
	"time"

	"github.com/consul-operator/consul-operator/test/lib/invariant"
)

// Timeline is what the observer saw, from its start to End.
type Timeline struct {
	Start, End    time.Time
	Leaderships   []Leadership
	LeaderChanges int
	// Voters is the number of voters in the leader's Raft configuration, at each change.
	Voters []Step
	// FewestVoters is the lowest number since the wanted number was first there.
	FewestVoters int
	// Serving is the number of servers in the client Service, at each change.
	Serving    []Step
	Servers    []Server
	Events     []Event
	Violations []Violation
	// Disturbed is for how long faults were in effect, see Disturb.
	Disturbed time.Duration
	// Stalls of the machine; each of them counts as a fault.
	Stalls Stalls
}

// Leadership is the time in which one server led one term.
type Leadership struct {
	Server string
	Term   uint64
	From   time.Time
	// To is zero while it lasts.
	To time.Time
	// Version of the server.
	Version string
	// Disturbed is true if a fault was in effect when it began, see Disturb.
	Disturbed bool
	// HandoverLost is true if it began with an election because the handover of its predecessor was lost.
	HandoverLost bool
}

// Step is a number that holds from a time on.
type Step struct {
	At time.Time
	N  int
}

// Server is the life of one server.
type Server struct {
	Name  string
	Spans []Span
}

// Span is a time in which a server's state and version did not change.
type Span struct {
	State   State
	Version string
	From    time.Time
	// To is zero while it lasts.
	To time.Time
}

// State is a server's state as the observer judges it, without asking the operator.
type State string

// The states of a server.
const (
	// Starting means that there is a pod, or a claim, and no Consul answers yet.
	Starting State = "starting"
	// Joining means that Consul answers and is not a voter yet.
	Joining State = "joining"
	// Voting is a voter outside the client Service.
	Voting State = "voter"
	// Serving is a voter in the client Service.
	Serving State = "serving"
	// Retiring is marked by the operator as on its way out, and still a voter.
	Retiring State = "retiring"
	// Leaving is out of Raft, or its pod is being stopped.
	Leaving State = "leaving"
	// Down means that it answered before and does not now.
	Down State = "down"
	// Gone means that neither pod nor claim is left.
	Gone State = "gone"
)

// Event is a Kubernetes event of the ConsulCluster.
type Event struct {
	At                    time.Time
	Type, Reason, Message string
}

// Violation of an invariant of the design.
type Violation struct {
	Invariant invariant.Invariant
	Message   string
	At        time.Time
	// For is how long it was seen; 0 for what happens at once.
	For time.Duration
}

func (v Violation) String() string {
	text := fmt.Sprintf("%s at %s: %s", v.Invariant, v.At.Format("15:04:05.000"), v.Message)
	if v.For > 0 {
		text += fmt.Sprintf(" (for %s)", v.For.Round(time.Millisecond))
	}
	return text
}

// Snapshot is how things are now.
type Snapshot struct {
	Servers       []ServerNow
	Leader        string
	Term          uint64
	LeaderChanges int
	Voters        int
	FewestVoters  int
	Serving       int
	Violations    int
	// Faults says whether faults are in effect, see SetFaults and Disturb.
	Faults bool
	// Whole says whether somebody leads, the wanted number votes, and every voter answers and is to stay on its disk.
	Whole bool
	// Reason and Message are what the operator says itself: to be shown, not to judge by.
	Reason, Message string
	Ready           bool
}

// ServerNow is how a server is now.
type ServerNow struct {
	Name, Version, Address string
	State                  State
	Since                  time.Time
	Voter, Leader, Serving bool
}
