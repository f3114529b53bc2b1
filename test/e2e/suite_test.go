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
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/test/harness"
	"github.com/consul-operator/consul-operator/test/load"
	"github.com/consul-operator/consul-operator/test/observer"
)

// Versions that the specs go between.
const (
	older  = "1.22.0"
	newest = "1.22.7"
)

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
		{"logs", "deployment/consul-operator", "--namespace=" + operators, "--all-pods", "--tail=40"},
	} {
		output, err := env.Kubectl(context.Background(), look...)
		fmt.Fprintf(GinkgoWriter, "kubectl %v (%v):\n%s\n", look, err, output)
	}
})

// restricted makes a namespace in which the restricted Pod Security Standard is enforced.
func restricted(name string) {
	GinkgoHelper()
	Expect(client.IgnoreAlreadyExists(env.Client.Create(GinkgoT().Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: name, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}))).To(Succeed())
}

// consul is a ConsulCluster with a load on its client Service and an observer beside it.
type consul struct {
	key      client.ObjectKey
	load     *load.Load
	lock     *load.Lock
	observer *observer.Observer
}

// create makes a cluster of three servers in a namespace of its own, and waits until it is Ready.
func create(namespace string, change func(*v1alpha1.ConsulClusterSpec)) *consul {
	GinkgoHelper()
	if attempt := CurrentSpecReport().NumAttempts; attempt > 1 {
		namespace = fmt.Sprintf("%s-%d", namespace, attempt)
	}
	restricted(namespace)
	c := &v1alpha1.ConsulCluster{
		ObjectMeta: metav1.ObjectMeta{Name: "consul", Namespace: namespace},
		Spec:       v1alpha1.ConsulClusterSpec{Version: older, Storage: v1alpha1.Storage{Size: resource.MustParse("1Gi")}},
	}
	change(&c.Spec)
	Expect(env.Client.Create(GinkgoT().Context(), c)).To(Succeed())
	one := &consul{key: client.ObjectKeyFromObject(c)}
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
	Expect(env.WaitReady(GinkgoT().Context(), c.key, limit, func(said string) {
		fmt.Fprintf(GinkgoWriter, "%5.1fs %s\n", time.Since(start).Seconds(), said)
	})).To(Succeed())
}

func (c *consul) get() *v1alpha1.ConsulCluster {
	GinkgoHelper()
	cluster := &v1alpha1.ConsulCluster{}
	Expect(env.Client.Get(GinkgoT().Context(), c.key, cluster)).To(Succeed())
	return cluster
}

func (c *consul) patch(change func(*v1alpha1.ConsulCluster)) {
	GinkgoHelper()
	Expect(env.Patch(GinkgoT().Context(), c.key, change)).To(Succeed())
}

// until waits until the status says something.
func (c *consul) until(what string, done func(*v1alpha1.ConsulCluster) bool) {
	GinkgoHelper()
	Expect(env.WaitFor(GinkgoT().Context(), c.key, 2*time.Minute, nil, done)).To(Succeed(), what)
}

// watch puts the cluster under load, through the cluster IP of its Service, and under observation.
func (c *consul) watch(options load.Options) {
	GinkgoHelper()
	service := &corev1.Service{}
	Expect(env.Client.Get(GinkgoT().Context(), c.key, service)).To(Succeed())
	c.watchAt(service.Spec.ClusterIP+":8500", options)
}

// watchAt is watch with the load at another address.
func (c *consul) watchAt(address string, options load.Options) {
	GinkgoHelper()
	var err error
	c.observer, err = observer.Start(GinkgoT().Context(), env.Config, c.key, observer.Options{Wanted: int(c.get().Spec.Replicas)})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(c.observer.Stop)
	c.load = load.Start(GinkgoT().Context(), load.Static{address}, options)
	DeferCleanup(func() { c.load.Stop() })
	c.lock, err = load.TakeLock(GinkgoT().Context(), load.Static{address}, c.key.Name)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(c.lock.Stop)
}

// undisturbed says whether nobody was elected because the machine stood still.
func (c *consul) undisturbed() bool { return !c.observer.Timeline().DisturbedLeadership() }

// report is what clients and the observer saw.
type report struct {
	load.Result
	observer.Timeline
	lost int
}

// end stops load and observation, asserts what always has to hold (I1 to I4, I8), and returns what was seen.
func (c *consul) end() report {
	GinkgoHelper()
	r := report{Result: c.load.Stop()}
	ctx, cancel := context.WithTimeout(GinkgoT().Context(), 30*time.Second)
	defer cancel()
	verification, err := c.load.Verify(ctx)
	Expect(err).NotTo(HaveOccurred())
	lockHeld := c.lock.Check(ctx)
	c.observer.Stop()
	r.Timeline, r.lost = c.observer.Timeline(), len(verification.Lost)
	for _, kind := range load.Kinds {
		totals := r.Kinds[kind]
		AddReportEntry(string(kind), fmt.Sprintf("%d of %d writes failed %v, longest gap %s",
			totals.Failed, totals.Attempts(), totals.Classes, totals.Gap.Length().Round(time.Millisecond)))
	}
	AddReportEntry("observer", fmt.Sprintf("%d leader changes, fewest voters %d, longest gap %s, %s",
		r.LeaderChanges, r.FewestVoters, r.All.Gap.Length().Round(time.Millisecond), r.whenGap()))
	AddReportEntry("the machine stood still", r.Stalls.String())
	Expect(verification.Lost).To(BeEmpty(), "I8: an acknowledged write is never lost")
	if r.Disturbed < load.LockTTL || !load.Unrenewed(lockHeld) {
		Expect(lockHeld).To(Succeed(), "I8: a lock stays with the application that holds it")
	}
	Expect(r.Violations).To(BeEmpty())
	return r
}

// whenGap tells where in the story the longest gap was.
func (r report) whenGap() string {
	since := r.All.Gap.From.Sub(r.Result.Start).Round(time.Millisecond)
	for _, l := range r.Leaderships {
		if near := r.All.Gap.From.Sub(l.From); near.Abs() < time.Second && l != r.Leaderships[0] {
			return fmt.Sprintf("from %s on: %+d ms from when %s was first seen to lead", since, near.Milliseconds(), l.Server)
		}
	}
	return fmt.Sprintf("from %s on, while nobody handed over", since)
}

// pods of the servers, by name, with their UID and how often their container was restarted.
func (c *consul) pods() map[string]string {
	GinkgoHelper()
	var pods corev1.PodList
	Expect(env.Client.List(GinkgoT().Context(), &pods, client.InNamespace(c.key.Namespace),
		client.MatchingLabels{v1alpha1.LabelCluster: c.key.Name})).To(Succeed())
	seen := map[string]string{}
	for _, pod := range pods.Items {
		restarts := int32(0)
		for _, container := range pod.Status.ContainerStatuses {
			restarts += container.RestartCount
		}
		seen[pod.Name] = fmt.Sprintf("%s on %s, %d restarts", pod.UID, pod.Spec.NodeName, restarts)
	}
	return seen
}

func surge3(spec *v1alpha1.ConsulClusterSpec) { spec.Update.MaxSurge = 3 } // half the time of an upgrade one by one

func toNewest(c *v1alpha1.ConsulCluster) { c.Spec.Version = newest }
