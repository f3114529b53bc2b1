package plan

import (
	"slices"

	"github.com/consul-operator/consul-operator/api/reason"
)

// bootstrap founds the cluster: the first servers are created together with bootstrap_expect and elect the first leader.
// Once a leader was seen this is over for good: a server with an empty disk and bootstrap_expect would found a second,
// empty cluster.
func bootstrap(v view) *Decision {
	if v.Spec.Bootstrapped {
		return nil
	}
	if v.Raft.Known {
		return step(RecordBootstrapped{}, reason.Bootstrapping, "%s was elected: the cluster exists", v.Raft.Leader)
	}
	if v.isHeld() {
		return v.leaveAlone()
	}
	if len(v.LeftBehind) > 0 {
		return wait(steadily, reason.NameTaken, "pod %s of a former cluster of this name goes on running, since that cluster was "+
			"deleted without its objects, and new servers would join it: delete the pod, or create the ConsulCluster under another "+
			"name", v.LeftBehind[0])
	}
	if len(v.Former) > 0 {
		return wait(often, reason.FormerClusterStopping, "%s of a former cluster of this name is stopping, and new servers would "+
			"join it; if its node is lost, delete the pod by force", v.Former[0])
	}
	if d := v.secureFounders(); d != nil {
		return d
	}
	if d := v.beginAdoption(); d != nil {
		return d
	}
	if expect := v.founders(); len(v.Servers) < expect {
		return step(CreateServer{Serial: v.Spec.NextSerial, BootstrapExpect: expect}, reason.Bootstrapping,
			"creating server %d of %d", len(v.Servers)+1, expect)
	}
	return v.awaitFounders()
}

// secureFounders has the first server start in the last phase of all: there is nobody to be cut off.
func (v view) secureFounders() *Decision {
	gossip, tls, acls := v.Spec.Gossip, v.Spec.TLS, v.Spec.ACLs
	switch {
	case len(v.Servers) > 0:
		return nil
	case tls.Phase != tls.Target:
		return step(SetTLS{Phase: tls.Target}, reason.Bootstrapping, "TLS is %s from the beginning", tls.Target)
	case acls.Phase != acls.Target:
		return step(SetACLs{Phase: acls.Target}, reason.Bootstrapping, "ACLs are %s from the beginning", acls.Target)
	case gossip.Phase != gossip.Target:
		return step(SetGossip{Phase: gossip.Target}, reason.Bootstrapping, "gossip encryption is %s from the beginning", gossip.Target)
	}
	return nil
}

// founders is how many servers found the cluster. All of them have to expect the same number, whatever the spec says by now.
func (v view) founders() int {
	if len(v.Servers) > 0 && v.Servers[0].BootstrapExpect > 0 {
		return v.Servers[0].BootstrapExpect
	}
	return v.Spec.Replicas
}

// awaitFounders waits for the first election. As long as nothing was served, servers of an older spec are replaced whatever they
// do. A cluster that the operator cannot reach may have served for long: a server of which it is not known is left alone.
func (v view) awaitFounders() *Decision {
	for _, s := range v.Servers {
		if v.mayServe(s) {
			continue
		}
		if d := v.releaseUnbound(s); d != nil {
			return d
		}
		if d := v.replaceIdlePod(s); d != nil {
			return d
		}
	}
	for _, s := range v.Servers {
		if d := v.awaitProcess(s); d != nil {
			return d
		}
	}
	if i := slices.IndexFunc(v.Servers, v.mayServe); i >= 0 {
		return v.awaitReach(v.Servers[i])
	}
	return wait(often, reason.Bootstrapping, "%d servers run and are about to elect their first leader", len(v.Servers))
}

// releaseUnbound lets a server go that waits for a volume that is not wanted any more, such as of a storage class that does not
// exist. One that has its volume may have data: it is replaced by another server.
func (v view) releaseUnbound(s Server) *Decision {
	switch {
	case !v.awaitsWrongVolume(s), s.ClaimDeleting:
		return nil
	case s.Pod == nil:
		return step(ReleaseClaim{Server: s.Name}, reason.ReplacingIdleServer, "%s waits for a volume that is not wanted any more: "+
			"its volume claim is released", s.Name)
	case s.Pod.Terminating:
		return nil
	}
	return step(DeletePod{Server: s.Name}, reason.ReplacingIdleServer, "%s waits for a volume that is not wanted any more", s.Name)
}

// mayServe reports whether a server of a cluster that has no known leader may be part of one that works.
func (v view) mayServe(s Server) bool {
	return s.Pod != nil && s.Pod.Running && (!s.Agent.Answered || s.Agent.KnowsLeader)
}

// awaitReach waits until the agent of a server that runs can be asked.
func (v view) awaitReach(s Server) *Decision {
	remedy := ""
	if v.hasOutdatedPod(s) {
		remedy = "; it keeps its older revision meanwhile, since it may serve: to apply the new one all the same, delete its pod"
	}
	switch s.Agent.Silence {
	case SilenceForbidden:
		return wait(steadily, reason.ConsulRefuses, "the Consul agent of %s refuses the operator (ACLs)%s", s.Name, remedy)
	case SilenceNoRoute:
		return wait(steadily, reason.ConsulUnreachable, "the operator cannot connect to the Consul agent of %s at %s (%s): "+
			"look for a NetworkPolicy or a service mesh%s", s.Name, s.Pod.Address, s.Agent.Silence, remedy)
	}
	return wait(often, reason.WaitingForServer, "the Consul agent of %s does not answer yet%s%s", s.Name,
		inBrackets(string(s.Agent.Silence)), remedy)
}
