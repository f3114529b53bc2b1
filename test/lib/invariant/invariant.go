// Package invariant words what always holds, once: the simulation, the observer and the chaos name what is violated by it, and
// docs/architecture.md has the same words.
package invariant

// Invariant holds whatever the operator does.
type Invariant struct {
	// Name is I1 to I13.
	Name string
	// Sentence says what holds.
	Sentence string
}

func (i Invariant) String() string { return i.Name + " " + i.Sentence }

// The invariants of the design.
var (
	I1 = Invariant{"I1", "after each voluntary step, the healthy voters are a quorum of the resulting membership"}
	I2 = Invariant{"I2", "there are never fewer voters than replicas (in place: replicas - 1), and one server retires at a time"}
	I3 = Invariant{"I3", "a leader is never stopped before another server was seen leading, and an upgrade changes leaders once"}
	I4 = Invariant{"I4", "a member that is alive is never pruned, and the volume of a Raft peer is never deleted"}
	I5 = Invariant{"I5", "nothing is written while all is as wanted"}
	I6 = Invariant{"I6", "a new operator restarts no server"}
	I7 = Invariant{"I7", "the desired state is reached once faults stop"}
	I8 = Invariant{"I8", "an acknowledged write is never lost, and no second cluster is founded"}
	I9 = Invariant{"I9", "the client Service sends connections to voters that stay, and to no other server"}

	I10 = Invariant{"I10", "no server is started that others cannot hear"}
	I11 = Invariant{"I11", "no ACL token loses its rights while a server uses it"}
	I12 = Invariant{"I12", "no key or token is in a log, an object but its Secrets, or the arguments of a process"}
	I13 = Invariant{"I13", "no server is added, removed or asked to lead, and no key or token is rotated, during a restore"}
)

// All lists the invariants in order.
var All = []Invariant{I1, I2, I3, I4, I5, I6, I7, I8, I9, I10, I11, I12, I13}
