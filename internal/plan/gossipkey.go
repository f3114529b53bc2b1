package plan

import "slices"

// KeySource is where the gossip key comes from if its Secret is gone.
type KeySource struct {
	// New reports whether a new key is made.
	New bool
	// Server tells the key that servers have; empty if none can for now.
	Server string
}

// GossipKeySource says where the gossip key comes from if its Secret is gone: it is the one that servers have, and a new
// one if it is certain that none has any. A server that was given one has it on its volume, whatever the Secret says by
// now.
func (o Observation) GossipKeySource() KeySource {
	if !slices.ContainsFunc(o.Servers, func(s Server) bool { return s.Pod == nil || s.Pod.MayHaveKey }) {
		return KeySource{New: true}
	}
	tells := slices.IndexFunc(o.Servers, func(s Server) bool { // of all members, so one is as good as another
		return s.Pod != nil && s.Pod.Gossip != GossipOff && s.Agent.Answered
	})
	if tells < 0 {
		return KeySource{}
	}
	return KeySource{Server: o.Servers[tells].Name}
}
