package plan

import "github.com/consul-operator/consul-operator/api/reason"

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
	if expect := v.founders(); len(v.Servers) < expect {
		return step(CreateServer{Serial: v.Spec.NextSerial, BootstrapExpect: expect}, reason.Bootstrapping,
			"creating server %d of %d", len(v.Servers)+1, expect)
	}
	return v.awaitFounders()
}

// founders is how many servers found the cluster. All of them have to expect the same number, whatever the spec says by now.
func (v view) founders() int {
	if len(v.Servers) > 0 && v.Servers[0].BootstrapExpect > 0 {
		return v.Servers[0].BootstrapExpect
	}
	return v.Spec.Replicas
}

// awaitFounders waits for the first election. Nothing was ever served, so servers of an older spec are replaced whatever
// they do.
func (v view) awaitFounders() *Decision {
	for _, s := range v.Servers {
		if d := v.replaceIdlePod(s); d != nil {
			return d
		}
	}
	for _, s := range v.Servers {
		if d := v.awaitProcess(s); d != nil {
			return d
		}
	}
	return wait(often, reason.Bootstrapping, "%d servers run and are about to elect their first leader", len(v.Servers))
}
