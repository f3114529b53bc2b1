package plan

import (
	"slices"

	"github.com/consul-operator/consul-operator/api/reason"
)

// awaitCatalog says which server is not in the catalog, or which node in it is no server, as after a restore, which brings the
// nodes of then. Once a minute the leader registers who is a member, and takes out who is none (reconcile in Consul's
// agent/consul/leader.go). It cannot where another node has the name of a server: upkeep takes that one out.
func awaitCatalog(v view) *Decision {
	for _, n := range v.Raft.Catalog {
		if v.isInTheWay(n) {
			return wait(often, reason.WaitingForCatalog, "the catalog has another node with the name of %s, as from a restored snapshot: "+
				"the operator takes it out, and the leader registers the server within a minute", n.Name)
		}
	}
	for _, n := range v.Raft.Catalog {
		if v.isNobody(n) {
			return wait(often, reason.WaitingForCatalog, "the catalog has a server %s that does not exist, as from a restored snapshot: "+
				"the leader takes it out within a minute", n.Name)
		}
	}
	for _, s := range v.Servers {
		if v.Raft.CatalogTold && v.healthyVoter(s) && s.Registration == NotRegistered {
			return wait(often, reason.WaitingForCatalog, "%s is not in the catalog: the leader registers it within a minute", s.Name)
		}
	}
	return nil
}

// isInTheWay reports whether a node in the catalog keeps the leader from registering a server of ours, which is alive: a name
// belongs to one id (ensureNodeTxn in Consul's agent/consul/state/catalog.go: "is reserved by node").
func (v view) isInTheWay(n Node) bool {
	s := v.server(n.Name)
	return s != nil && n.ID != "" && n.ID != s.ID && s.Member == MemberAlive
}

// isNobody reports whether a node in the catalog is neither a Raft peer nor known to Serf.
func (v view) isNobody(n Node) bool {
	isPeer := slices.ContainsFunc(v.Raft.Peers, func(p Peer) bool { return p.ID == n.ID })
	return n.ID != "" && !isPeer && v.memberStatus(n.ID) == MemberAbsent
}

// catalog takes nodes out that are in the way.
func (v view) catalog() (actions []Action) {
	for _, n := range v.Raft.Catalog {
		if v.isInTheWay(n) {
			actions = append(actions, Deregister{Node: n.Name, ID: n.ID})
		}
	}
	return actions
}
