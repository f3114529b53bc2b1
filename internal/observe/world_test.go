package observe_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/internal/observe"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

const secretDelay = 2 * time.Minute

const clusterUID = types.UID("7d9c2f5e-3b8a-4c57-9c55-0f4f0f1f9a01")

var (
	now    = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	errSay = errors.New("not today")
)

// agent is the agent of one server. A call that a test does not expect fails it.
type agent struct {
	consul.Agent
	self  consul.Self
	peers []plan.Peer
	serf  []plan.Member
	nodes []plan.Node
	votes map[string]plan.Health
	// catalog is how the call for the catalog fails beside all others; nil if it does not.
	catalog error
	// mute is set if it does not answer for itself.
	mute bool

	keyring consul.Keyring
	keyless error
	// clientDown is set if the client agent app-1 has failed.
	clientDown bool
	// silent are the calls that the agent does not answer.
	silent map[string]bool
	// fails is how all calls fail; nil if they do not.
	fails error
	// refuses is set if it refuses to tell anything but what it is itself.
	refuses bool
}

func (a *agent) says(call string) error {
	if a.fails != nil {
		return a.fails
	}
	if a.refuses && call != "self" {
		return consul.ErrForbidden
	}
	if a.silent[call] {
		return errSay
	}
	return nil
}

func (a *agent) Self(context.Context) (consul.Self, error) {
	if a.mute {
		return consul.Self{}, consul.ErrUnanswered
	}
	return a.self, a.says("self")
}
func (a *agent) RaftPeers(context.Context) ([]plan.Peer, error) { return a.peers, a.says("peers") }
func (a *agent) Members(context.Context) ([]plan.Member, error) { return a.serf, a.says("members") }
func (a *agent) Catalog(context.Context) ([]plan.Node, error) {
	return a.nodes, cmp.Or(a.catalog, a.says("catalog"))
}
func (a *agent) Health(context.Context) (map[string]plan.Health, error) {
	return a.votes, a.says("health")
}
func (a *agent) LeaderAddr(context.Context) (string, error) {
	return a.self.LeaderAddr, a.says("leader")
}
func (a *agent) Reload(context.Context) error { return a.says("reload") }
func (a *agent) ClientAgents(context.Context) (consul.ClientAgents, error) {
	names := []string{"app-1"}
	if a.clientDown {
		return consul.ClientAgents{Names: names, Down: names}, a.says("clients")
	}
	return consul.ClientAgents{Alive: 1, Names: names}, a.says("clients")
}

func (a *agent) Keyring(context.Context) (consul.Keyring, error) {
	return a.keyring, cmp.Or(a.keyless, a.says("keyring"))
}
func (a *agent) Autopilot(context.Context) (map[string]string, error) {
	return map[string]string{"min_quorum": "3", "last_contact_threshold": "200ms"}, a.says("autopilot")
}

// world is a cluster of three healthy servers, led by consul-0, which tests change before they take a snapshot.
type world struct {
	*WithT
	t       *testing.T
	cluster *v1alpha1.ConsulCluster
	claims  []*corev1.PersistentVolumeClaim
	pods    []*corev1.Pod
	others  []client.Object
	// agents by the address of their HTTP API.
	agents map[string]*agent
	asked  func(address string)
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		WithT: NewWithT(t), t: t, agents: map[string]*agent{}, asked: func(string) {},
		cluster: &v1alpha1.ConsulCluster{
			ObjectMeta: metav1.ObjectMeta{
				Name: "consul", Namespace: "default", UID: clusterUID,
				Annotations: map[string]string{v1alpha1.AnnotationBootstrapped: "since then", v1alpha1.AnnotationNextSerial: "3"},
			},
			Spec: v1alpha1.ConsulClusterSpec{
				Version: "1.22.7", Replicas: 3,
				FailureReplacement: v1alpha1.FailureReplacement{MaxPerHour: 3},
			},
		},
	}
	for serial := range 3 {
		name := resources.ServerName("consul", serial)
		w.claims = append(w.claims, claim(w.cluster, name))
		w.pods = append(w.pods, pod(w.cluster, name, fmt.Sprintf("10.0.0.%d", serial)))
		w.agents[fmt.Sprintf("10.0.0.%d:8500", serial)] = &agent{silent: map[string]bool{}, self: consul.Self{
			NodeID: resources.NodeID(clusterUID, name), Version: "1.22.7", Term: 7, LastIndex: 100,
		}}
	}
	w.leads(0)
	return w
}

func claim(c *v1alpha1.ConsulCluster, name string) *corev1.PersistentVolumeClaim {
	return resources.Claim(c, name, map[string]string{v1alpha1.AnnotationRevision: "r"})
}

func pod(c *v1alpha1.ConsulCluster, name, ip string) *corev1.Pod {
	labels := resources.Labels(c)
	labels["app.kubernetes.io/component"], labels[v1alpha1.LabelRevision] = "server", "r"
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: c.Namespace, Labels: labels},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: ip, ContainerStatuses: []corev1.ContainerStatus{{
			Name: "consul", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
		}}},
	}
}

func (w *world) agent(serial int) *agent { return w.agents[fmt.Sprintf("10.0.0.%d:8500", serial)] }

// leads makes a server the leader, which knows all servers.
func (w *world) leads(serial int) {
	leader := w.agent(serial)
	leader.self.Leads, leader.votes = true, map[string]plan.Health{}
	for i := range w.claims {
		id, name := w.agent(i).self.NodeID, w.claims[i].Name
		leader.peers = append(leader.peers, plan.Peer{ID: id, Name: name, Voter: true})
		leader.serf = append(leader.serf, plan.Member{ID: id, Name: name, Status: plan.MemberAlive})
		leader.nodes = append(leader.nodes, plan.Node{ID: id, Name: name})
		leader.votes[id] = plan.HealthHealthy
	}
}

func (w *world) dial(to consul.Target) consul.Agent {
	w.asked(to.Address)
	if a, there := w.agents[to.Address]; there {
		return a
	}
	return &agent{silent: map[string]bool{"self": true, "members": true}}
}

// observer returns an Observer of the current state.
func (w *world) observer() *observe.Observer {
	w.t.Helper()
	scheme := runtime.NewScheme()
	w.Expect(clientgoscheme.AddToScheme(scheme)).To(Succeed())
	w.Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	objects := w.others
	for _, o := range w.claims {
		objects = append(objects, o)
	}
	for _, o := range w.pods {
		objects = append(objects, o)
	}
	reader := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
	return &observe.Observer{
		Reader: reader, Live: reader, SecretDelay: secretDelay, Dial: w.dial, Now: func() time.Time { return now },
	}
}

func (w *world) look() *observe.Snapshot {
	w.t.Helper()
	s, err := w.observer().Observe(w.t.Context(), w.cluster)
	w.Expect(err).NotTo(HaveOccurred())
	return s
}

func names(servers []plan.Server) (all []string) {
	for _, s := range servers {
		all = append(all, s.Name)
	}
	return all
}

// deleted is an object that was deleted but is still held by a finalizer.
func deleted[T client.Object](o T) T {
	at := metav1.NewTime(now)
	o.SetDeletionTimestamp(&at)
	o.SetFinalizers([]string{"kubernetes.io/pvc-protection"})
	return o
}
