package status_test

import (
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/observe"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/status"
	"github.com/consul-operator/consul-operator/internal/volumes"
)

func snapshot() *observe.Snapshot {
	voter := func(name string, index uint64) plan.Server {
		return plan.Server{
			Name: name, ID: name, Revision: "r", Peer: &plan.Peer{ID: name, Voter: true}, Member: plan.MemberAlive,
			Registration: plan.Registered, Health: plan.HealthHealthy,
			Agent: plan.Agent{Answered: true, Version: "1.22.7", LastIndex: index},
			Pod:   &plan.Pod{Running: true, Ready: true, Serving: true, Address: "127.0.0.1"},
		}
	}
	s := &observe.Snapshot{Cluster: &v1alpha1.ConsulCluster{ObjectMeta: metav1.ObjectMeta{Name: "consul", Generation: 4}}}
	s.Cluster.Spec.Replicas = 3
	s.Spec = plan.Spec{Replicas: 3, Revision: "r"}
	s.Servers = []plan.Server{voter("consul-0", 1000), voter("consul-1", 990), voter("consul-2", 700)}
	s.Servers[1].Agent.Version = "1.22.0"
	s.Raft = plan.Raft{
		Known: true, Leader: "consul-0", Term: 7, LeaderSince: time.Date(2026, 1, 1, 0, 0, 0, 5, time.UTC), CatalogTold: true,
	}
	for _, server := range s.Servers {
		s.Raft.Peers = append(s.Raft.Peers, *server.Peer)
		s.Raft.Members = append(s.Raft.Members, plan.Member{ID: server.ID, Name: server.Name, Status: server.Member})
		s.Raft.Catalog = append(s.Raft.Catalog, plan.Node{ID: server.ID, Name: server.Name})
	}
	return s
}

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

var done = plan.Decision{Done: true, Reason: reason.Healthy, Message: "fine"}

func TestWhatUsersSee(t *testing.T) {
	g := NewWithT(t)
	got := status.Build(snapshot(), done, status.Outcome{}, noon)
	g.Expect(got.Ready).To(Equal("3/3"))
	g.Expect(got.Leader).To(Equal("consul-0"))
	g.Expect(got.Term).To(Equal(int64(7)))
	g.Expect(got.Voters).To(Equal(int32(3)))
	g.Expect(got.FailureTolerance).To(Equal(int32(1)))
	g.Expect(got.Version).To(Equal("1.22.0"), "the lowest that runs")
	g.Expect(got.LeaderSince.Time).To(Equal(time.Date(2026, 1, 1, 0, 0, 1, 0, time.UTC)), "rounded up")
	g.Expect(got.Servers[1].Lag).To(BeZero(), "a small lag only says how busy the cluster is")
	g.Expect(got.Servers[2].Lag).To(Equal(int64(300)))
	g.Expect(got.ObservedGeneration).To(Equal(int64(4)))
	g.Expect(got.NetworkPolicy).To(BeEmpty())
	g.Expect(got.Access).To(BeNil(), "it is not founded")
	s := snapshot()
	s.Spec.Bootstrapped = true
	g.Expect(status.Build(s, done, status.Outcome{}, noon).Access.UI).To(Equal("http://localhost:8500/ui"))
}

// What is open is said by name. A policy that is only wished for closes nothing.
func TestWhatIsOpen(t *testing.T) {
	g := NewWithT(t)
	s := snapshot()
	secure := func() *metav1.Condition {
		return apimeta.FindStatusCondition(status.Build(s, done, status.Outcome{}, noon).Conditions, v1alpha1.ConditionSecure)
	}
	s.Spec.Network = plan.Network{Asked: new(true), SelfKnown: true}
	g.Expect(secure().Status).To(Equal(metav1.ConditionFalse))
	g.Expect(secure().Message).To(HavePrefix("every pod reaches the servers (spec.networkPolicy); gossip is not encrypted"))
	s.Spec.Network.Kept = true
	g.Expect(secure().Message).To(HavePrefix("gossip is not encrypted"))
	s.Cluster.Annotations = map[string]string{
		v1alpha1.AnnotationGossip: "Required", v1alpha1.AnnotationTLS: "HTTPSOnly", v1alpha1.AnnotationRecordsOf: "",
	}
	s.Cluster.Spec.Config = &v1alpha1.Config{Raw: []byte(`{"acl": {"enabled": true, "default_policy": "deny"}}`)}
	g.Expect(secure().Status).To(Equal(metav1.ConditionTrue))
}

// Volumes that fill up are told of, and what nobody knows is not taken for good news.
func TestVolumeSpace(t *testing.T) {
	g := NewWithT(t)
	s := snapshot()
	space := func() *metav1.Condition {
		s.Cluster.Status = status.Build(s, done, status.Outcome{}, noon)
		return apimeta.FindStatusCondition(s.Cluster.Status.Conditions, v1alpha1.ConditionVolumeSpace)
	}
	know := func(server int, known volumes.Known) {
		s.Volumes[s.Servers[server].Name] = known
		s.Servers[server].Volume = plan.Volume{Requested: 1 << 30, Used: known.Used, Capacity: known.Capacity}
	}
	g.Expect(space()).To(BeNil(), "nobody asks kubelets")
	s.Volumes = map[string]volumes.Known{}
	g.Expect(space()).To(BeNil(), "nobody was asked yet")
	for i := range s.Servers {
		know(i, volumes.Known{Usage: volumes.Usage{Used: 42, Capacity: 100}})
	}
	g.Expect(space()).To(HaveField("Status", metav1.ConditionTrue))
	g.Expect(s.Cluster.Status.Servers[1].VolumeUsed).To(HaveValue(Equal(int32(40))))

	know(1, volumes.Known{Unread: "the kubelet of node a does not tell: no answer within 10s"})
	g.Expect(space()).To(And(HaveField("Status", metav1.ConditionUnknown),
		HaveField("Message", "consul-1: the kubelet of node a does not tell: no answer within 10s")))
	g.Expect(s.Cluster.Status.Servers[1].VolumeUsed).To(BeNil())
	know(2, volumes.Known{Usage: volumes.Usage{Used: 85, Capacity: 100}})
	g.Expect(space()).To(And(HaveField("Status", metav1.ConditionFalse), HaveField("Message",
		"the volume of consul-2 is 85 % full: raise spec.storage.size, or set spec.storage.autoGrow")))
	delete(s.Volumes, s.Servers[0].Name) // its pod waits for a node
	g.Expect(space()).To(HaveField("Status", metav1.ConditionFalse), "one of which nothing is known does not silence the others")
	s.Cluster.Spec.Storage.AutoGrow, s.Spec.GrowUpTo = &v1alpha1.AutoGrow{}, 2<<30
	g.Expect(space()).To(HaveField("Message", "the volume of consul-2 is 85 % full"), "it grows by itself")
	s.Spec.GrowUpTo = 1 << 30
	g.Expect(space()).To(HaveField("Message", "the volume of consul-2 is 85 % full: raise spec.storage.autoGrow.limit"))

	s.Volumes = map[string]volumes.Known{} // of an operator that has just started
	before := space()
	g.Expect(before).To(HaveField("Status", metav1.ConditionFalse), "what was so is so until it is known")
	g.Expect(s.Cluster.Status.Servers[2].VolumeUsed).To(HaveValue(Equal(int32(85))))
	s.Volumes = nil
	g.Expect(space()).To(BeNil())
	g.Expect(s.Cluster.Status.Servers[2].VolumeUsed).To(BeNil())
}

// The status remembers a NetworkPolicy, and not the wish for one.
func TestTheNetworkPolicyIsRemembered(t *testing.T) {
	g := NewWithT(t)
	s := snapshot()
	build := func() string { return status.Build(s, done, status.Outcome{}, noon).NetworkPolicy }
	s.Spec.Network = plan.Network{Asked: new(true), SelfKnown: true}
	g.Expect(build()).To(BeEmpty())
	s.Spec.Network.Kept = true
	g.Expect(build()).To(Equal("consul-server"))
	s.Spec.Network.Asked, s.Spec.Network.SelfKnown = nil, false
	g.Expect(build()).To(Equal("consul-server"))
	s.Spec.Network.Asked = new(false)
	g.Expect(build()).To(BeEmpty())
}

// I5: an unchanged status is not written.
func TestTheSameAgain(t *testing.T) {
	s := snapshot()
	s.Cluster.Status = status.Build(s, done, status.Outcome{}, noon)
	NewWithT(t).Expect(status.Build(s, done, status.Outcome{}, noon)).To(Equal(s.Cluster.Status))
}

// The version outlasts the process: it says which versions may open the data on the volume.
func TestTheVersionOfAServerThatDoesNotAnswer(t *testing.T) {
	g := NewWithT(t)
	s := snapshot()
	s.Cluster.Status = status.Build(s, done, status.Outcome{}, noon)
	s.Servers[1].Agent, s.Servers[1].Pod = plan.Agent{}, nil
	g.Expect(status.Build(s, done, status.Outcome{}, noon).Servers[1].Version).To(Equal("1.22.0"))
}

func nothing(*observe.Snapshot) {}

func TestConditions(t *testing.T) {
	for name, test := range map[string]struct {
		change func(s *observe.Snapshot)
		reason reason.Reason
		isTrue []string
	}{
		"healthy":      {nothing, reason.Healthy, []string{"Ready", "Available"}},
		"upgrading":    {nothing, reason.WaitingForVoter, []string{"Reconciling", "Available"}},
		"paused":       {nothing, reason.Paused, []string{"Available"}},
		"cannot start": {nothing, reason.ServerCannotStart, []string{"Stalled", "Available"}},
		"invalid": {
			func(s *observe.Snapshot) { s.Spec.Invalid = &plan.Problem{} }, "InvalidSpec", []string{"Stalled", "Available"},
		},
		"quorum lost": {func(s *observe.Snapshot) { s.Raft = plan.Raft{} }, reason.QuorumLost, []string{"Stalled"}},
		"no leader":   {func(s *observe.Snapshot) { s.Raft = plan.Raft{} }, reason.NoLeader, []string{"Reconciling"}},
		"nobody serving": {
			func(s *observe.Snapshot) {
				for i := range s.Servers {
					s.Servers[i].Pod.Ready = false
				}
			}, reason.WaitingForReady, []string{"Reconciling"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := snapshot()
			test.change(s)
			got := status.Build(s, plan.Decision{Reason: test.reason, Done: test.reason == reason.Healthy}, status.Outcome{}, noon)
			for _, kind := range []string{"Ready", "Reconciling", "Stalled", "Available"} {
				NewWithT(t).Expect(apimeta.IsStatusConditionTrue(got.Conditions, kind)).To(
					Equal(slices.Contains(test.isTrue, kind)), kind)
			}
		})
	}
}

// A cluster whose ACLs refuse the operator alone is as available as before.
// A leader that most voters cannot read is no use to anybody.
func TestNothingIsWritten(t *testing.T) {
	g := NewWithT(t)
	s := snapshot()
	available := func() *metav1.Condition {
		got := status.Build(s, done, status.Outcome{}, noon)
		return apimeta.FindStatusCondition(got.Conditions, v1alpha1.ConditionAvailable)
	}
	s.Servers[1].Agent.ReadsOnlyOldLogs = true
	g.Expect(available().Status).To(Equal(metav1.ConditionTrue), "two of three")
	s.Servers[2].Agent.ReadsOnlyOldLogs = true
	g.Expect(available()).To(And(HaveField("Status", metav1.ConditionFalse), HaveField("Reason", "NothingIsWritten"),
		HaveField("Message", HavePrefix("consul-0 leads, and too many voters"))))
}

func TestAHiddenLeader(t *testing.T) {
	for name, hide := range map[string]func(*plan.ACLs){
		"it refuses the token":        func(a *plan.ACLs) { a.RefusedBy = "consul-0" },
		"the operator has no token":   func(a *plan.ACLs) { a.Missing = true },
		"it has none, and needs none": nil,
	} {
		t.Run(name, func(t *testing.T) {
			g, s := NewWithT(t), snapshot()
			s.Cluster.Status = status.Build(s, done, status.Outcome{}, noon)
			former := s.Cluster.Status
			if hide != nil {
				hide(&s.Spec.ACLs)
				s.Raft = plan.Raft{Unknown: "403"}
			} else {
				s.Spec.ACLs.Missing, s.Raft.Leader = true, "consul-1"
				former.Leader = "consul-1"
			}
			got := status.Build(s, plan.Decision{Reason: reason.MakingTokens}, status.Outcome{}, noon)
			g.Expect(apimeta.IsStatusConditionTrue(got.Conditions, "Available")).To(BeTrue())
			g.Expect(got.Leader).To(Equal(former.Leader))
			g.Expect(got.LeaderSince).To(Equal(former.LeaderSince))
		})
	}
}

// The delay of an automatic recovery counts from the first observation of the lost quorum, and only while it is lost.
func TestSinceWhenTheQuorumIsLost(t *testing.T) {
	g := NewWithT(t)
	s := snapshot()
	s.Raft = plan.Raft{LostSince: noon}
	lost := plan.Decision{Reason: reason.QuorumLost}
	s.Cluster.Status = status.Build(s, lost, status.Outcome{}, noon)
	g.Expect(s.Cluster.Status.QuorumLostSince.Time).To(Equal(noon))
	s.Raft.LostSince = noon.Add(time.Hour)
	s.Cluster.Status = status.Build(s, plan.Decision{Reason: reason.RecoveringQuorum}, status.Outcome{}, noon)
	g.Expect(s.Cluster.Status.QuorumLostSince.Time).To(Equal(noon))
	s.Cluster.Status = status.Build(s, plan.Decision{Reason: reason.NoLeader}, status.Outcome{}, noon)
	g.Expect(s.Cluster.Status.QuorumLostSince).To(BeNil())
}

// The time of failureReplacement counts from the first observation of the unhealthy server.
func TestSinceWhenAServerIsUnhealthy(t *testing.T) {
	g := NewWithT(t)
	s := snapshot()
	s.Servers[1].UnhealthySince = noon.Add(time.Millisecond)
	g.Expect(status.Build(s, done, status.Outcome{}, noon).Servers[1].UnhealthySince).To(BeNil())
	s.Servers[1].Health = plan.HealthUnhealthy
	s.Cluster.Status = status.Build(s, done, status.Outcome{}, noon)
	g.Expect(s.Cluster.Status.Servers[1].UnhealthySince.Time).To(Equal(noon.Add(time.Second)), "rounded up")
	s.Servers[1].UnhealthySince = s.Cluster.Status.Servers[1].UnhealthySince.Time
	g.Expect(status.Build(s, done, status.Outcome{}, noon)).To(Equal(s.Cluster.Status), "I5: what has not changed is not written")
}

func TestStates(t *testing.T) {
	for want, change := range map[v1alpha1.ServerState]func(s *observe.Snapshot, one *plan.Server){
		v1alpha1.ServerServing:   func(*observe.Snapshot, *plan.Server) {},
		v1alpha1.ServerRetiring:  func(_ *observe.Snapshot, one *plan.Server) { one.Retiring = true },
		v1alpha1.ServerPending:   func(_ *observe.Snapshot, one *plan.Server) { one.Pod = nil },
		v1alpha1.ServerFailing:   func(_ *observe.Snapshot, one *plan.Server) { one.Pod.Problem.Reason = reason.ServerCannotStart },
		v1alpha1.ServerUnknown:   func(_ *observe.Snapshot, one *plan.Server) { one.Agent.Answered = false },
		v1alpha1.ServerJoining:   func(_ *observe.Snapshot, one *plan.Server) { one.Peer.Voter = false },
		v1alpha1.ServerUnhealthy: func(_ *observe.Snapshot, one *plan.Server) { one.Health = plan.HealthUnhealthy },
	} {
		t.Run(string(want), func(t *testing.T) {
			s := snapshot()
			change(s, &s.Servers[1])
			NewWithT(t).Expect(status.Build(s, done, status.Outcome{}, noon).Servers[1].State).To(Equal(want))
		})
	}
}

// People who delete a cluster wait for this first.
func TestVolumesRetained(t *testing.T) {
	for name, test := range map[string]struct {
		change   func(*observe.Snapshot)
		retained bool
	}{
		"as they are wanted": {func(*observe.Snapshot) {}, true},
		"one is not yet": {
			func(s *observe.Snapshot) { s.Claims["consul-1"].OwnerReferences = owned(s) }, false,
		},
		"one that was set aside is not yet": {
			func(s *observe.Snapshot) { s.Kept[0].OwnerReferences = owned(s) }, false,
		},
		"another owner": {
			func(s *observe.Snapshot) { s.Kept[0].OwnerReferences = []metav1.OwnerReference{{UID: "another"}} }, true,
		},
		"nobody wants that": {
			func(s *observe.Snapshot) { s.Cluster.Spec.Storage.Retention = v1alpha1.RetentionDelete }, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := snapshot()
			s.Cluster.UID = "this one"
			s.Cluster.Spec.Storage.Retention = v1alpha1.RetentionRetain
			s.Claims = map[string]*corev1.PersistentVolumeClaim{"consul-0": {}, "consul-1": {}}
			s.Kept = []*corev1.PersistentVolumeClaim{{}}
			test.change(s)
			NewWithT(t).Expect(status.Build(s, done, status.Outcome{}, noon).VolumesRetained).To(Equal(test.retained))
		})
	}
}

func owned(s *observe.Snapshot) []metav1.OwnerReference {
	return []metav1.OwnerReference{{UID: s.Cluster.UID}}
}

// The API server refuses a status with a phase that is none, and then nobody would learn what is damaged.
func TestADamagedPhaseIsNotTold(t *testing.T) {
	g := NewWithT(t)
	s := snapshot()
	s.Cluster.Annotations = map[string]string{
		v1alpha1.AnnotationGossip: "Sending", v1alpha1.AnnotationRecordsOf: string(s.Cluster.UID),
	}
	s.Cluster.Status.GossipEncryption = v1alpha1.GossipAccepting
	told := func() v1alpha1.GossipPhase {
		return status.Build(s, plan.Decision{}, status.Outcome{}, noon).GossipEncryption
	}
	g.Expect(told()).To(Equal(v1alpha1.GossipSending))
	s.Damaged = &plan.Problem{Reason: reason.DamagedRecord}
	g.Expect(told()).To(Equal(v1alpha1.GossipAccepting))
}
