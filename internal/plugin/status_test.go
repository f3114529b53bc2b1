package plugin

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

var update = flag.Bool("update", false, "write the golden files anew")

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func before(d time.Duration) *metav1.Time { return ptr.To(metav1.NewTime(noon.Add(-d))) }

// golden compares with a file that a person reads. No line of ours is longer than a terminal is wide.
func golden(t *testing.T, name, got string) {
	t.Helper()
	g := NewWithT(t)
	file := filepath.Join("testdata", name+".txt")
	if *update {
		g.Expect(os.MkdirAll("testdata", 0o755)).To(Succeed())
		g.Expect(os.WriteFile(file, []byte(got), 0o644)).To(Succeed())
	}
	want, err := os.ReadFile(file)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(got).To(Equal(string(want)))
	for line := range strings.Lines(got) {
		columns := len([]rune(strings.TrimRight(line, "\n")))
		g.Expect(columns <= width || strings.HasPrefix(strings.TrimSpace(line), "kubectl ")).To(BeTrue(), line)
	}
}

// healthy is a cluster of three servers that has all it should have.
func healthy(change func(*picture)) picture {
	c := &v1alpha1.ConsulCluster{ObjectMeta: metav1.ObjectMeta{Name: "consul", Namespace: "default", Generation: 3}}
	c.Spec = v1alpha1.ConsulClusterSpec{Version: "1.22.7", Replicas: 3}
	c.Status = v1alpha1.ConsulClusterStatus{
		ObservedGeneration: 3, Ready: "3/3", Replicas: 3, ReadyReplicas: 3, Voters: 3, FailureTolerance: 1, Version: "1.22.7",
		Leader: "consul-4", LeaderSince: before(2 * time.Hour), Term: 3,
		GossipEncryption: v1alpha1.GossipRequired, TLS: v1alpha1.TLSHTTPSOnly, ACLs: v1alpha1.ACLsDeny,
		LastHandoff: &v1alpha1.Handoff{
			From: "consul-0", To: "consul-4", At: *before(2 * time.Hour), Took: metav1.Duration{Duration: 24 * time.Millisecond},
		},
	}
	p := picture{ConsulCluster: c, pods: map[string]corev1.Pod{}}
	p.zones = map[string]string{"node1": "zone-a", "node2": "zone-b", "node3": "zone-c"}
	for i, name := range []string{"consul-3", "consul-4", "consul-5"} {
		node := []string{"node1", "node2", "node3"}[i]
		c.Status.Servers = append(c.Status.Servers, v1alpha1.ServerStatus{
			Name: name, Version: "1.22.7", State: v1alpha1.ServerServing, Raft: v1alpha1.RaftVoter, Serf: v1alpha1.SerfAlive,
			Catalog: v1alpha1.CatalogRegistered, Voter: true, Leader: name == "consul-4", Updated: true,
			VolumeUsed: ptr.To(int32(15)), Address: fmt.Sprintf("10.244.0.%d", i), ID: fmt.Sprintf("8f2c3c0e-1111-5222-8333-%012d", i),
		})
		pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: *before(3 * time.Hour)}}
		pod.Spec.NodeName = node
		p.pods[name] = pod
	}
	p.is(metav1.ConditionTrue, reason.Healthy, "all servers are healthy voters and serve")
	p.saved = &v1alpha1.ConsulSnapshot{ObjectMeta: metav1.ObjectMeta{Name: "nightly-29402880"}}
	p.saved.Status.CompletedAt = before(10 * time.Hour)
	change(&p)
	return p
}

// is has the operator say something.
func (p *picture) is(ready metav1.ConditionStatus, why reason.Reason, message string) {
	p.Status.Conditions = []metav1.Condition{{
		Type: v1alpha1.ConditionReady, Status: ready, Reason: string(why), Message: message, ObservedGeneration: p.Generation,
	}}
}

func upgrading3(p *picture) {
	p.is(metav1.ConditionFalse, reason.WaitingForVoter,
		"consul-5 is not a voter yet: autopilot promotes a server once it was stable for a while")
	p.Status.WaitingSince, p.Status.Rule = before(12*time.Second), "AwaitVoter"
	p.Status.Version, p.Status.Ready = "1.22.0", "3/3"
	for i := range p.Status.Servers[:2] {
		p.Status.Servers[i].Version, p.Status.Servers[i].Updated = "1.22.0", false
	}
	s := &p.Status.Servers[2]
	s.State, s.Voter, s.Raft = v1alpha1.ServerJoining, false, v1alpha1.RaftNonVoter
	s.Message = "not a voter yet"
}

func lost(p *picture) {
	p.is(metav1.ConditionFalse, reason.QuorumLost, "2 of 3 voters are gone with their volumes (consul-4, consul-5): if they are "+
		"lost for good, run kubectl annotate consulcluster/consul -n default consuloperator.io/accept-loss-of=consul-4,consul-5")
	p.Status.Conditions = append(p.Status.Conditions, metav1.Condition{
		Type: v1alpha1.ConditionStalled, Status: metav1.ConditionTrue, Reason: string(reason.QuorumLost),
	})
	p.Status.Leader, p.Status.LeaderSince, p.Status.LastHandoff, p.Status.WaitingSince = "", nil, nil, before(3*time.Minute)
	p.Status.Rule, p.Status.Ready, p.Status.Voters, p.Status.FailureTolerance = "RecoverQuorum", "0/3", 3, 0
	for i := range p.Status.Servers {
		s := &p.Status.Servers[i]
		s.Leader, s.Voter, s.Raft, s.Serf, s.State = false, false, "", "", v1alpha1.ServerUnknown
		if i > 0 {
			s.State, s.Message, s.VolumeUsed = v1alpha1.ServerPending, "its volume is gone", nil
			delete(p.pods, s.Name)
		}
	}
}

const quota = `pods "consul-6" is forbidden: exceeded quota: small, requested: pods=1, used: pods=3, limited: pods=3`

var pictures = map[string]func(*picture){
	"healthy":   func(*picture) {},
	"upgrading": upgrading3,
	"lost":      lost,
	"new": func(p *picture) {
		p.Status = v1alpha1.ConsulClusterStatus{}
	},
	"quota": func(p *picture) {
		p.is(metav1.ConditionFalse, reason.QuotaExceeded, quota)
		p.Status.WaitingSince, p.Status.Rule = before(time.Minute), "Create"
		p.Status.Failures = []v1alpha1.Failure{{
			Attempt: "CreatePod consul-6", Reason: string(reason.QuotaExceeded), Since: *before(time.Minute), Last: *before(time.Second),
			Message: quota,
		}}
		p.Status.Conditions = append(p.Status.Conditions, metav1.Condition{
			Type: v1alpha1.ConditionSecure, Status: metav1.ConditionFalse, Reason: string(reason.Unsecured),
			Message: "every pod reaches the servers (spec.networkPolicy)",
		})
	},
	"blind": func(p *picture) { // one who may read ConsulClusters, and nothing else
		p.pods, p.zones, p.saved = nil, nil, nil
	},
}

func TestStatus(t *testing.T) {
	for name, change := range pictures {
		t.Run(name, func(t *testing.T) { golden(t, "status-"+name, render(healthy(change), noon, false)) })
	}
}

func TestExplanation(t *testing.T) {
	for name, change := range pictures {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			explanation(&b, healthy(change).ConsulCluster, noon)
			golden(t, "explain-"+name, b.String())
		})
	}
}

func TestThePlanOfAnUpgrade(t *testing.T) {
	for name, change := range map[string]func(*picture){
		"surge": func(p *picture) { p.Status.Version = "1.22.0" },
		"in-place": func(p *picture) {
			p.Status.Version, p.Spec.Update.Type = "1.22.0", v1alpha1.UpdateInPlace
			p.Spec.Snapshots.Destination = &v1alpha1.SnapshotDestination{}
		},
		"not-ready": upgrading3,
	} {
		t.Run(name, func(t *testing.T) { golden(t, "plan-"+name, planOf(healthy(change).ConsulCluster, "1.22.7", false)) })
	}
}

// The operator takes the request away, and writes the new leader down a moment later.
func TestWhenATransferIsOver(t *testing.T) {
	before := healthy(func(*picture) {}).ConsulCluster
	for name, test := range map[string]struct {
		change func(*picture)
		over   bool
	}{
		"asked for": {func(p *picture) { annotated(v1alpha1.AnnotationTransferLeadership, "")(p.ConsulCluster) }, false},
		"the request is gone, and the status is of before": {
			func(p *picture) { p.is(metav1.ConditionFalse, reason.LeadershipTransferRequested, "") }, false,
		},
		"another one leads":    {func(p *picture) { p.Status.Leader = "consul-3" }, true},
		"nobody leads for now": {func(p *picture) { p.Status.Leader = "" }, false},
		"it was given up":      {func(*picture) {}, true},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(isTransferred(before, healthy(test.change).ConsulCluster)).To(Equal(test.over))
		})
	}
}
