package plan

import "slices"

// tokens has the tokens made in Consul that the operator and the servers use: by the leader that refuses the operator's, such as
// the first one of all and one whose data was restored, or by the first leader that has ACLs.
func (v view) tokens() []Action {
	acls := v.Spec.ACLs
	switch {
	case acls.RefusedBy != "":
		return []Action{MakeTokens{Leader: acls.RefusedBy}}
	case acls.Phase != ACLsOff && !acls.Made && v.leaderHasACLs():
		return []Action{MakeTokens{Leader: v.Raft.Leader}}
	case acls.Made && acls.DNS != acls.DNSGranted && v.leaderHasACLs() && !v.isHeld():
		return []Action{GrantDNS{Granted: acls.DNS}}
	}
	return nil
}

// HasNoACLs reports whether no server has or gets ACLs.
func (o Observation) HasNoACLs() bool {
	has := func(s Server) bool { return s.Pod != nil && s.Pod.ACLs != ACLsOff }
	return o.Spec.ACLs.Phase == ACLsOff && !slices.ContainsFunc(o.Servers, has)
}

// IsLeaderHidden reports whether there may be a leader that ACLs keep from telling the operator anything.
func (o Observation) IsLeaderHidden() bool {
	return !o.Raft.Known && (o.Spec.ACLs.RefusedBy != "" || o.Spec.ACLs.Missing)
}

func (v view) leaderHasACLs() bool {
	if !v.Raft.Known {
		return false
	}
	leader := v.server(v.Raft.Leader)
	return leader != nil && leader.Pod != nil && leader.Pod.ACLs != ACLsOff
}
