package sim

// A session that an application opens at a server belongs to that server's node in the catalog. Its locks go with it. No
// rule of the operator asks for sessions; that planned changes end none but those of the servers that leave follows from
// how they leave, and what a server's end does to its sessions is Consul's. Only scripts open any.

func openSession(s *State, i int) { s.Servers[i].Session = s.works() }

// The leader ends the sessions of a server that it takes for dead, or that has left.
func canLoseSession(s *State, i int) bool {
	x := &s.Servers[i]
	return x.Session && s.works() && x.Serf != Alive && x.Serf != LeavingSerf
}

func loseSession(s *State, i int) { s.Servers[i].Session = false }
