package sim

import (
	"fmt"
	"time"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/internal/plan"
)

// The moment of every look, and how long ago "long ago" is. The model has no clock of its own.
var (
	now     = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	longAgo = now.Add(-time.Hour)
)

const (
	stableFor    = 10 * time.Second
	replaceAfter = 5 * time.Minute
)

// Names and ids by slot.
var (
	names = numbered("consul-%d")
	ids   = numbered("id-%d")
)

func numbered(format string) (all [maxServers + 1]string) {
	for i := range all {
		all[i] = fmt.Sprintf(format, i)
	}
	return all
}

// revisions are the names of revisions, by number and phases. They are made once: a state is observed a million times.
var revisions = func() (all [16][4][5][3]string) {
	for spec := range all {
		for gossip := range all[spec] {
			for tls := range all[spec][gossip] {
				for acls := range all[spec][gossip][tls] {
					r := Revision{uint8(spec), uint8(gossip), uint8(tls), uint8(acls)} //nolint:gosec // less than 16
					all[spec][gossip][tls][acls] = r.String()
				}
			}
		}
	}
	return all
}()

func (r Revision) name() string { return revisions[r.spec][r.gossip][r.tls][r.acls] }

// certificate is what all servers with TLS present. The model has no other one: nothing about it changes who is a member.
var certificate = plan.Certificate{Fingerprint: "certificate", From: longAgo, Until: now.Add(time.Hour * 24 * 90)}

var serfStatus = map[Serf]plan.MemberStatus{
	Absent: plan.MemberAbsent, Alive: plan.MemberAlive, LeavingSerf: plan.MemberLeaving, Left: plan.MemberLeft,
	Failed: plan.MemberFailed,
}

// observe is what the operator sees of Kubernetes in one state and of Consul in another. They are the same, unless its
// cache is behind.
func observe(kube, consul *State) plan.Observation {
	o := plan.Observation{
		Spec: kube.spec(), Raft: consul.raft(kube), NodesKnown: true, MinAvailable: new(int(kube.MinAvailable)),
		Unclaimed: kube.count((*Server).isUnclaimed),
	}
	saves(&o.Spec, kube, consul)
	if kube.Wanted.Gossip() != plan.GossipOff && kube.keyStage() != plan.KeySettled {
		o.Spec.Gossip.Rotation = consul.rotation() // the Secret is read past the cache
	}
	if consul.refuses(kube) {
		o.Spec.ACLs.RefusedBy = names[consul.Leader]
	}
	if rotation := o.Spec.Gossip.Rotation; (rotation.Stage != plan.KeySettled || rotation.Replacement.Asked) && consul.tells(kube) {
		o.Raft.Gossip.Keyring, o.Raft.Gossip.KeysUnanswered = consul.keyring()
	}
	for i := range kube.slots() {
		switch x := &kube.Servers[i]; {
		case x.Claim != ClaimNone:
			o.Servers = append(o.Servers, server(kube, consul, i))
		case x.Former && x.Pod != PodNone:
			o.Former = append(o.Former, names[i])
		case x.Pod == PodPending, x.Pod == PodFinished:
			o.Orphans = append(o.Orphans, names[i])
		}
	}
	return o
}

// kubernetes is the part of a state that is seen through the cache.
func (s *State) kubernetes() State {
	k := *s
	k.TokensKnown = false
	k.Leader, k.Stable, k.MinQuorum, k.Founded, k.Faults, k.Changes, k.Handoffs = nobody, s.Leader != nobody, 0, false, 0, 0, 0
	for i := range k.slots() {
		x := &k.Servers[i]
		x.Data, x.Behind, x.Peer, x.Serf, x.Healthy, x.Long, x.Rescued = false, false, NoPeer, Absent, false, false, false
		x.Ring, x.UsesFormer = 0, false
	}
	return k
}

func (s *State) spec() plan.Spec {
	spec := plan.Spec{
		Replicas: int(s.Replicas), MaxSurge: int(s.Surge), InPlace: s.InPlace, LeaderStableFor: stableFor,
		Revision: s.Wanted.name(), ReadsOnlyOldLogs: s.Wanted.spec < s.Format,
		Paused: s.Paused, Bootstrapped: s.Bootstrapped, NextSerial: int(s.N), ReplacementsLeft: 1,
		Gossip: plan.Gossip{Phase: s.Wanted.Gossip(), Target: plan.GossipPhase(s.Gossip)},
		ACLs: plan.ACLs{
			Phase: s.Wanted.ACLs(), Target: plan.ACLPhase(s.ACLs), Made: s.TokensMade, Rotation: s.tokenRotation(),
		},
		TLS: plan.TLS{Phase: s.Wanted.TLS(), Target: plan.TLSPhase(s.TLS), Certificate: certificate},
	}
	spec.Gossip.Rotation.Replacement.Asked = s.Rotate && s.Wanted.Gossip() != plan.GossipOff // otherwise there is no key to ask for
	if s.Replace {
		spec.ReplaceFailedAfter = replaceAfter
	}
	spec.Restore = s.restore()
	s.recovery(&spec)
	switch s.Transfer {
	case noTransfer:
	case anyServer:
		spec.Transfer = &plan.TransferRequest{}
	default:
		spec.Transfer = &plan.TransferRequest{To: names[s.Transfer]}
	}
	return spec
}

func (s *State) rotation() plan.Rotation {
	rotation := plan.Rotation{
		Stage: s.keyStage(), Replacement: plan.Replacement{Asked: s.Rotate}, ShownAt: now.Add(time.Minute),
	}
	if s.KeysShown {
		rotation.ShownAt = longAgo
	}
	return rotation
}

func (s *State) raft(kube *State) plan.Raft {
	if !s.tells(kube) {
		return plan.Raft{Unknown: "nobody who answers leads"}
	}
	raft := plan.Raft{
		Known: true, Leader: names[s.Leader], Term: 1, LeaderSince: now, MinQuorum: int(s.MinQuorum),
		Peers: make([]plan.Peer, 0, s.N), Members: make([]plan.Member, 0, s.N),
	}
	if s.Stable {
		raft.LeaderSince = longAgo
	}
	for i := range s.slots() {
		x := &s.Servers[i]
		if x.Peer != NoPeer {
			raft.Peers = append(raft.Peers, plan.Peer{ID: ids[i], Name: names[i], Voter: x.Peer == Voter})
		}
		if x.Serf != Absent {
			raft.Members = append(raft.Members, plan.Member{ID: ids[i], Name: names[i], Status: serfStatus[x.Serf]})
		}
	}
	return raft
}

func server(kube, consul *State, i int) plan.Server {
	x := &kube.Servers[i]
	seen := plan.Server{
		Name: names[i], Serial: i, ID: ids[i], Revision: x.Revision.name(), Retiring: x.Retiring, InPlace: x.InPlace,
		Failed: x.Failed, WrongVolume: x.Astray, Wrote: "1.22.7", ClaimDeleting: x.Claim == ClaimDeleting, Routed: x.Routed,
	}
	if x.Founder {
		seen.BootstrapExpect = int(kube.Expect)
	}
	if x.Pod != PodNone {
		seen.Pod = pod(kube, x)
		if x.Pod != PodPending {
			seen.Pod.Node = names[i]
		}
	}
	says(&seen, kube, consul, i)
	return seen
}

func pod(s *State, x *Server) *plan.Pod {
	pod := &plan.Pod{
		Revision: x.PodRevision.name(), Running: x.runsInPod() || x.cutOff(), Ready: s.ready(x),
		Serving: x.Serving, ServingFrom: longAgo, Cordoned: x.Cordoned && x.Pod != PodPending,
		Recovery: recoveries[x.PodRescue], Gossip: x.PodRevision.Gossip(), TLS: x.PodRevision.TLS(), ACLs: x.PodRevision.ACLs(),
		Terminating: x.Pod == PodTerminating || x.Pod == PodStuck || x.Pod == PodOverdue, StopBy: now, Created: now,
		Finished: x.Pod == PodFinished,
	}
	if x.GivenFormer || x.Pod == PodFinished {
		pod.Created = longAgo
	}
	if x.Pod == PodOverdue {
		pod.StopBy = longAgo
	}
	for i := range names {
		if x.Avoids&(1<<i) != 0 {
			pod.Avoids = append(pod.Avoids, names[i])
		}
	}
	if !x.Settled && !x.Serving && x.Pod == PodRunning {
		pod.ServingFrom = now
	}
	if s.unschedulable(x) {
		pod.Problem = plan.Problem{Reason: reason.Unschedulable, Message: "no node takes it"}
	}
	if x.Pod == PodPending && s.isBad(x.PodRevision) {
		pod.Problem = plan.Problem{Reason: reason.ServerCannotStart, Message: "it cannot start"}
	}
	return pod
}

// isMute says whether an agent waits for what it registers to be committed, and does not answer for itself. An agent of before
// the change has nothing to register.
func (s *State) isMute(x *Server) bool {
	return s.Mute && s.leads() && !s.works() && x.Process == Up && x.PodRevision.spec >= s.Format
}

func (s *State) speaks(x *Server) bool { return x.Process == Up && x.runsInPod() && !s.isMute(x) }

// says adds what the server's own agent and the leader say.
func says(seen *plan.Server, kube, consul *State, i int) {
	x := &consul.Servers[i]
	isKnown := !x.UsesFormer || kube.hasFormerTokens()
	if seen.Pod != nil && seen.Pod.Running && (x.Process == Up || x.Process == Leaving) && isKnown {
		seen.Agent = plan.Agent{Answered: true, KnowsLeader: consul.Leader != nobody, Version: "1.22.7", LastIndex: 1}
		if x.Behind {
			seen.Agent.LastIndex = 0
		}
		seen.Agent.ReadsOnlyOldLogs = x.PodRevision.spec < consul.Format
		seen.Agent.UsesFormerToken = x.UsesFormer
		if seen.Pod.TLS != plan.TLSOff {
			seen.Agent.Certificate = certificate.Fingerprint
		}
	}
	if consul.Leader == nobody && seen.Agent.Answered {
		seen.Agent.LastTerm, seen.Agent.Outlook = 1, consul.outlook(i) // Behind says who knows more
	}
	if consul.isMute(x) && seen.Agent.Answered {
		seen.Agent = plan.Agent{
			Silence: plan.SilenceUnanswered, Version: seen.Agent.Version, ReadsOnlyOldLogs: seen.Agent.ReadsOnlyOldLogs,
		}
	}
	if !consul.tells(kube) {
		return
	}
	seen.Member = serfStatus[x.Serf]
	if x.Peer == NoPeer {
		return
	}
	seen.Peer = &plan.Peer{ID: ids[i], Name: names[i], Voter: x.Peer == Voter}
	switch {
	case x.Healthy:
		seen.Health = plan.HealthHealthy
	case x.Long:
		seen.Health, seen.UnhealthySince = plan.HealthUnhealthy, longAgo
	default:
		seen.Health, seen.UnhealthySince = plan.HealthUnhealthy, now
	}
}
