package main

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// founded is a cluster of three servers, as it is when all has happened that happens by itself.
func founded(t *testing.T) *cluster {
	t.Helper()
	w := &world{ctx: t.Context(), pace: 1, clusters: map[string]*cluster{}}
	c := newCluster(w)
	w.clusters[clusterName(0)] = c // nobody writes to an API server
	t.Cleanup(w.close)
	meta := metav1.ObjectMeta{Namespace: namespace, Name: clusterName(0), UID: "cluster"}
	w.wrote(nil, &v1alpha1.ConsulCluster{ObjectMeta: meta, Spec: v1alpha1.ConsulClusterSpec{Replicas: 3, Version: oldVersion}})
	for i := range 3 {
		meta := metav1.ObjectMeta{
			Namespace: namespace, Name: resources.ServerName(clusterName(0), i),
			Labels:      map[string]string{v1alpha1.LabelCluster: clusterName(0)},
			Annotations: map[string]string{v1alpha1.AnnotationBootstrapExpect: "3"},
		}
		w.wrote(nil, &corev1.PersistentVolumeClaim{ObjectMeta: meta})
		w.wrote(nil, &corev1.Pod{ObjectMeta: meta, Spec: corev1.PodSpec{Containers: []corev1.Container{
			{Image: "hashicorp/consul:" + oldVersion, Args: []string{"-bootstrap-expect=3"}},
		}}})
	}
	c.advance(time.Now().Add(time.Hour))
	return c
}

// dial is the operator's own client of each server, the leader's first.
func (c *cluster) dial() (agents []consul.Agent) {
	dial := consul.NewDialer(500 * time.Millisecond)
	for i := range 3 {
		server := c.Servers[(int(c.State.Leader)+i)%3]
		agents = append(agents, dial(consul.Target{Address: net.JoinHostPort(server.IP, fmt.Sprint(resources.PortHTTP))}))
	}
	return agents
}

func TestTheOperatorReadsTheAgents(t *testing.T) {
	g, ctx := NewWithT(t), t.Context()
	c := founded(t)
	for _, agent := range c.dial() {
		g.Expect(agent.RaftPeers(ctx)).To(Equal(c.Peers()))
		g.Expect(agent.Members(ctx)).To(Equal(c.Members()))
		g.Expect(agent.Catalog(ctx)).To(Equal(c.Catalog()))
		g.Expect(agent.Health(ctx)).To(And(Equal(c.Health()), HaveLen(3), HaveEach(plan.HealthHealthy)))
	}
	for i, agent := range c.dial() {
		self, err := agent.Self(ctx)
		g.Expect(err).NotTo(HaveOccurred())
		for j := range self.Peers { // its own agent prints them without names
			self.Peers[j].Name = c.Peers()[j].Name
		}
		g.Expect(self).To(Equal(c.Self((int(c.State.Leader) + i) % 3)))
	}
}

func TestTheOperatorChangesTheCluster(t *testing.T) {
	g, ctx := NewWithT(t), t.Context()
	c := founded(t)
	agents := c.dial()
	g.Expect(agents[1].SetAutopilot(ctx, map[string]string{consul.SettingMinQuorum: "3"})).To(Succeed())
	g.Expect(agents[0].Autopilot(ctx)).To(HaveKeyWithValue(consul.SettingMinQuorum, "3"))
	c.Servers[c.State.Leader].Given = "settings"
	g.Expect(agents[0].Reload(ctx)).To(Succeed())
	g.Expect(agents[0].Self(ctx)).To(HaveField("Settings", "settings"))
	g.Expect(agents[0].TransferLeadership(ctx, "nobody")).To(MatchError(consul.ErrNotFound))
	g.Expect(agents[0].RemovePeer(ctx, "nobody")).To(MatchError(consul.ErrNotFound))
	g.Expect(agents[0].ForceLeave(ctx, "nobody")).To(MatchError(consul.ErrNotFound))

	index, err := agents[0].WatchServers(ctx, 0, time.Minute)()
	g.Expect(err).NotTo(HaveOccurred())
	signs := make(chan struct{}, 10)
	go func() { _ = agents[1].WatchLeader(ctx)(func() { signs <- struct{}{} }) }()
	g.Eventually(signs).Should(Receive(), "the stream is open")
	next := (int(c.State.Leader) + 1) % 3
	g.Expect(agents[0].TransferLeadership(ctx, c.Servers[next].ID)).To(Succeed())
	g.Eventually(signs).Should(Receive(), "leadership moved")

	changed := make(chan uint64, 1)
	go func() {
		index, _ := agents[1].WatchServers(ctx, index, time.Minute)() // 0 if it fails
		changed <- index
	}()
	g.Expect(agents[0].Leave(ctx)).To(MatchError(consul.ErrUnanswered))
	g.Eventually(changed).Should(Receive(BeNumerically(">", index)), "a server leaves")
	c.advance(time.Now().Add(3500 * time.Millisecond))
	_, err = agents[0].Self(ctx)
	g.Expect(err).To(MatchError(consul.ErrUnreachable), "it has left")
}

func TestAgentsThatHang(t *testing.T) {
	g := NewWithT(t)
	c := founded(t)
	c.hang(true)
	for _, agent := range c.dial() {
		_, err := agent.Self(t.Context())
		g.Expect(err).To(MatchError(consul.ErrUnanswered))
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c.hang(false)
	g.Expect(c.dial()[0].Self(ctx)).NotTo(BeZero())
}
