// Package e2e tests the operator as users install it: by Helm, on real nodes with kubelets, containers, kube-proxy and
// DNS. It takes a cluster (KUBECONFIG) on which the images are loaded, and a place from which pods and Services are
// reached: see `make test-e2e`.
package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/test/lib/harness"
	"github.com/consul-operator/consul-operator/test/lib/invariant"
	"github.com/consul-operator/consul-operator/test/lib/load"
	"github.com/consul-operator/consul-operator/test/lib/observer"
)

// Versions that the specs go between.
const (
	older  = "1.22.0"
	newest = "1.22.7"
)

// essential is the label of the specs that `make test-e2e` and CI run: they install the operator by Helm, upgrade under load,
// and drain nodes, in at most eight minutes together. `make test-e2e-all` runs all specs.
const essential = "essential"

// operators is the namespace of the operator.
const operators = "consul-operator-system"

var env *harness.Env

func TestE2E(t *testing.T) {
	kubeconfig := os.Getenv("KUBECONFIG")
	if kubeconfig == "" {
		t.Skip("KUBECONFIG is not set: make test-e2e brings a cluster of real nodes up")
	}
	RegisterFailHandler(Fail)
	var err error
	if env, err = harness.Attach(kubeconfig); err != nil {
		t.Fatal(err)
	}
	suite, reporter := GinkgoConfiguration()
	reporter.Verbose = true
	RunSpecs(t, "consul-operator on real nodes", suite, reporter)
}

// helm runs the real helm against the cluster and returns what it prints.
func helm(args ...string) string {
	GinkgoHelper()
	root, err := harness.Root()
	Expect(err).NotTo(HaveOccurred())
	cmd := exec.Command(filepath.Join(root, "bin", "helm"), args...) //nolint:gosec // our own binary
	cmd.Dir = root
	output, err := cmd.CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), "helm %v: %s", args, output)
	return string(output)
}

func kubectl(args ...string) string {
	GinkgoHelper()
	output, err := env.Kubectl(context.Background(), args...) // also after a spec has ended
	Expect(err).NotTo(HaveOccurred(), "kubectl %v: %s", args, output)
	return output
}

// release installs or upgrades the operator, and waits until it runs.
func release(flags ...string) {
	GinkgoHelper()
	helm(append([]string{
		"upgrade", "--install", "consul-operator", "charts/consul-operator", "--namespace=" + operators, "--wait", "--timeout=2m",
		"--set=image.repository=consul-operator,image.tag=local,image.pullPolicy=Never",
		"--set=secretDelay=10s", // these kubelets watch
	}, flags...)...)
}

// installed has the operator installed while the specs of a container run.
func installed() {
	BeforeAll(func() {
		restricted(operators)
		release()
	})
	AfterAll(func() {
		kubectl("delete", "consulclusters", "--all", "--all-namespaces", "--timeout=2m")
		helm("uninstall", "consul-operator", "--namespace="+operators, "--wait", "--ignore-not-found")
	})
}

// What a person would look at first when a spec fails.
var _ = AfterEach(func() {
	if !CurrentSpecReport().Failed() {
		return
	}
	for _, look := range [][]string{
		{"get", "nodes,pods,consulclusters", "--all-namespaces", "--output=wide"},
		{"get", "events", "--all-namespaces", "--field-selector=type=Warning", "--sort-by=.lastTimestamp"},
		{"get", "consulclusters", "--all-namespaces", "--output=jsonpath={range .items[*]}{.status}{\"\\n\"}{end}"},
		{"logs", "deployment/consul-operator", "--namespace=" + operators, "--all-pods", "--tail=40"},
	} {
		output, err := env.Kubectl(context.Background(), look...)
		fmt.Fprintf(GinkgoWriter, "kubectl %v (%v):\n%s\n", look, err, output)
	}
	var servers corev1.PodList
	_ = env.Client.List(context.Background(), &servers, client.HasLabels{v1alpha1.LabelCluster})
	for _, server := range servers.Items {
		log, err := env.Kubectl(context.Background(), "logs", server.Name, "--namespace="+server.Namespace, "--tail=40")
		fmt.Fprintf(GinkgoWriter, "%s/%s (%v):\n%s\n", server.Namespace, server.Name, err, log)
	}
})

// The reasons once more at the end, where they are read without the rest of a long log.
var _ = ReportAfterSuite("what failed", func(report Report) {
	for _, spec := range report.SpecReports.WithState(types.SpecStateFailureStates) {
		lines := strings.Split(strings.TrimSpace(spec.Failure.Message), "\n")
		fmt.Printf("FAILED: %s (%s)\n  %s\n", spec.FullText(), spec.Failure.Location,
			strings.Join(lines[max(0, len(lines)-12):], "\n  "))
	}
})

// restricted makes a namespace in which the restricted Pod Security Standard is enforced.
func restricted(name string) {
	GinkgoHelper()
	Expect(client.IgnoreAlreadyExists(env.Client.Create(GinkgoT().Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: name, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}))).To(Succeed())
}

// consul is a ConsulCluster, with clients and an observer beside it once it is watched.
type consul struct{ *harness.Scene }

// create makes a cluster of three servers in a namespace of its own, and waits until it is Ready.
func create(namespace string, change func(*v1alpha1.ConsulClusterSpec)) *consul {
	GinkgoHelper()
	restricted(namespace)
	c := &v1alpha1.ConsulCluster{
		ObjectMeta: metav1.ObjectMeta{Name: "consul", Namespace: namespace},
		Spec: v1alpha1.ConsulClusterSpec{
			Version: older, Storage: v1alpha1.Storage{Size: resource.MustParse("1Gi")},
			// The specs themselves come from outside of pods.
			NetworkPolicy: v1alpha1.NetworkPolicy{Clients: v1alpha1.Peers{
				{IPBlock: &networkingv1.IPBlock{CIDR: "0.0.0.0/0"}}, {IPBlock: &networkingv1.IPBlock{CIDR: "::/0"}},
			}},
		},
	}
	change(&c.Spec)
	one := &consul{env.Scene(client.ObjectKeyFromObject(c))}
	Expect(one.Create(GinkgoT().Context(), c)).To(Succeed())
	DeferCleanup(func() {
		kubectl("delete", "namespace", namespace, "--wait=false")
	})
	one.ready(2 * time.Minute)
	return one
}

// ready waits until the newest spec is reached, and tells the way there.
func (c *consul) ready(limit time.Duration) {
	GinkgoHelper()
	start := time.Now()
	Expect(c.WaitReady(GinkgoT().Context(), limit, func(said string) {
		fmt.Fprintf(GinkgoWriter, "%5.1fs %s\n", time.Since(start).Seconds(), said)
	})).To(Succeed())
}

func (c *consul) get() *v1alpha1.ConsulCluster {
	GinkgoHelper()
	cluster, err := c.Get(GinkgoT().Context())
	Expect(err).NotTo(HaveOccurred())
	return cluster
}

func (c *consul) patch(change func(*v1alpha1.ConsulCluster)) {
	GinkgoHelper()
	Expect(c.Patch(GinkgoT().Context(), change)).To(Succeed())
}

// until waits until the status says something.
func (c *consul) until(what string, done func(*v1alpha1.ConsulCluster) bool) {
	GinkgoHelper()
	Expect(c.WaitFor(GinkgoT().Context(), 2*time.Minute, nil, done)).To(Succeed(), what)
}

// watch puts the cluster under load, through the cluster IP of its Service, and under observation.
func (c *consul) watch(options load.Options) {
	GinkgoHelper()
	service := &corev1.Service{}
	Expect(c.Client.Get(GinkgoT().Context(), c.Key, service)).To(Succeed())
	access, err := c.Access(GinkgoT().Context())
	Expect(err).NotTo(HaveOccurred())
	c.watchAt(access.At(service.Spec.ClusterIP), options)
}

// watchAt is watch with the load at another address.
func (c *consul) watchAt(address string, options load.Options) {
	GinkgoHelper()
	DeferCleanup(c.Close)
	Expect(c.Observe(GinkgoT().Context(), int(c.get().Spec.Replicas))).To(Succeed())
	clients := harness.Clients{Options: options, At: load.Static{address}}
	Expect(c.StartClients(GinkgoT().Context(), clients)).To(Succeed())
}

// end ends the scene, asserts what always has to hold (I1 to I4, I8), and returns what the observer saw.
func (c *consul) end() observer.Timeline {
	GinkgoHelper()
	seen, err := c.End(GinkgoT().Context())
	Expect(err).NotTo(HaveOccurred())
	for _, kind := range load.Kinds {
		totals := seen.Load.Kinds[kind]
		AddReportEntry(string(kind), fmt.Sprintf("%d of %d writes failed %v, longest gap %s",
			totals.Failed, totals.Attempts(), totals.Classes, totals.Gap.Length().Round(time.Millisecond)))
	}
	AddReportEntry("observer", fmt.Sprintf("%d leader changes, fewest voters %d, longest gap %s, %s",
		seen.Timeline.LeaderChanges, seen.Timeline.FewestVoters, seen.Load.All.Gap.Length().Round(time.Millisecond), whenGap(seen)))
	AddReportEntry("the machine stood still", seen.Timeline.Stalls.String())
	Expect(seen.Verified.Lost).To(BeEmpty(), invariant.I8.String())
	Expect(seen.LockBroken()).To(Succeed(), "a lock stays with the application that holds it")
	Expect(seen.Timeline.Violations).To(BeEmpty())
	return seen.Timeline
}

// whenGap tells where in the story the longest gap was.
func whenGap(seen harness.Outcome) string {
	gap, leaderships := seen.Load.All.Gap.From, seen.Timeline.Leaderships
	since := gap.Sub(seen.Load.Start).Round(time.Millisecond)
	for _, l := range leaderships {
		if near := gap.Sub(l.From); near.Abs() < time.Second && l != leaderships[0] {
			return fmt.Sprintf("from %s on: %+d ms from when %s was first seen to lead", since, near.Milliseconds(), l.Server)
		}
	}
	return fmt.Sprintf("from %s on, while nobody handed over", since)
}

// pods of the servers, by name, with their UID and how often their container was restarted.
func (c *consul) pods() map[string]string {
	GinkgoHelper()
	pods, err := c.Pods(GinkgoT().Context())
	Expect(err).NotTo(HaveOccurred())
	return pods
}

func surge3(spec *v1alpha1.ConsulClusterSpec) { spec.Update.MaxSurge = 3 } // half the time of an upgrade one by one

func toNewest(c *v1alpha1.ConsulCluster) { c.Spec.Version = newest }
