package localcluster_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"

	"github.com/consul-operator/consul-operator/test/lib/localcluster"
)

func createService(ctx context.Context, name, app string, change func(*corev1.ServiceSpec)) {
	GinkgoHelper()
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.ServiceSpec{
		Selector: map[string]string{"app": app},
		Ports:    []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromString("http")}},
	}}
	change(&service.Spec)
	_, err := client.CoreV1().Services(ns).Create(ctx, service, metav1.CreateOptions{})
	Expect(err).NotTo(HaveOccurred())
}

func endpointsOf(ctx context.Context, service string) []discoveryv1.Endpoint {
	GinkgoHelper()
	list, err := client.DiscoveryV1().EndpointSlices(ns).List(ctx, metav1.ListOptions{
		LabelSelector: discoveryv1.LabelServiceName + "=" + service,
	})
	Expect(err).NotTo(HaveOccurred())
	var all []discoveryv1.Endpoint
	for _, slice := range list.Items {
		for _, port := range slice.Ports {
			Expect(port.Port).To(HaveValue(BeEquivalentTo(8080)))
		}
		all = append(all, slice.Endpoints...)
	}
	return all
}

// cordon closes a node for new pods or opens it, and waits until the scheduler has seen it, which is when its taint is there.
func cordon(ctx context.Context, node string, closed bool) {
	GinkgoHelper()
	_, err := client.CoreV1().Nodes().Patch(ctx, node, types.MergePatchType,
		fmt.Appendf(nil, `{"spec":{"unschedulable":%t}}`, closed), metav1.PatchOptions{})
	Expect(err).NotTo(HaveOccurred())
	Eventually(func() int {
		node, err := client.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{})
		Expect(err).NotTo(HaveOccurred())
		return len(node.Spec.Taints)
	}).Should(Equal(map[bool]int{true: 1, false: 0}[closed]))
}

// processesBelow lists the processes whose working directory is below dir.
func processesBelow(dir string) []int {
	var pids []int
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, proc := range all {
		pid, _ := strconv.Atoi(filepath.Base(proc))
		cwd, _ := os.Readlink(proc + "/cwd")
		if pid != os.Getpid() && strings.HasPrefix(cwd, dir) {
			pids = append(pids, pid)
		}
	}
	return pids
}

var _ = Describe("Services", func() {
	It("have endpoints and names", func(ctx SpecContext) {
		pod := helperPod("web", "serve")
		pod.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: "example.com/gate"}}
		pod.Spec.Containers[0].Env = append(pod.Spec.Containers[0].Env, corev1.EnvVar{Name: "TERM_DELAY", Value: "1s"})
		createService(ctx, "client", "web", func(*corev1.ServiceSpec) {})
		createService(ctx, "join", "web", func(s *corev1.ServiceSpec) {
			s.ClusterIP, s.PublishNotReadyAddresses = corev1.ClusterIPNone, true
		})
		create(ctx, pod)
		Eventually(func() bool { return condition(get(ctx, "web"), corev1.ContainersReady).Status == "True" }).Should(BeTrue())
		pod = get(ctx, "web")
		names := func(service string) string {
			return fmt.Sprintf("%s %s.%s %s.%s.svc %s.%s.svc.cluster.local\n", service, service, ns, service, ns, service, ns)
		}
		hosts := func() (string, error) { return ask(pod, "file", "hosts") }
		Eventually(hosts).Should(And(ContainSubstring("127.255.255.254 "+names("client")),
			ContainSubstring(pod.Status.PodIP+" "+names("join"))))
		Expect(endpointsOf(ctx, "client")).To(HaveExactElements(HaveField("Conditions.Ready", HaveValue(BeFalse()))))
		setCondition(ctx, "web", "example.com/gate", "True")
		begin := time.Now()
		Eventually(hosts).Should(ContainSubstring(pod.Status.PodIP + " " + names("client")))
		AddReportEntry("a name followed readiness within", time.Since(begin))
		Expect(endpointsOf(ctx, "client")).To(HaveExactElements(And(HaveField("Conditions.Ready", HaveValue(BeTrue())),
			HaveField("Addresses", []string{pod.Status.PodIP}), HaveField("TargetRef.UID", pod.UID),
			HaveField("Zone", HaveValue(HavePrefix("z"))))))

		remove(ctx, "web")
		Eventually(func() []discoveryv1.Endpoint { return endpointsOf(ctx, "client") }).Should(HaveExactElements(And(
			HaveField("Conditions.Ready", HaveValue(BeFalse())), HaveField("Conditions.Serving", HaveValue(BeTrue())),
			HaveField("Conditions.Terminating", HaveValue(BeTrue())))))
		eventuallyGone(ctx, "web")
		Eventually(func() []discoveryv1.Endpoint { return endpointsOf(ctx, "join") }).Should(BeEmpty())
	})
})

var _ = Describe("Scheduling", func() {
	It("honors cordons and anti-affinity", func(ctx SpecContext) {
		cordon(ctx, "node-2", true)
		DeferCleanup(func(ctx SpecContext) { cordon(ctx, "node-2", false) })
		spread := func(name string) {
			pod := helperPod(name, "serve")
			pod.Labels["app"] = "spread"
			pod.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
				RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
					TopologyKey:   corev1.LabelHostname,
					LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "spread"}},
				}},
			}}
			create(ctx, pod)
		}
		spread("one")
		Expect(eventuallyReady(ctx, "one").Spec.NodeName).To(Equal("node-1"))
		spread("two")
		Eventually(func() corev1.PodCondition { return condition(get(ctx, "two"), corev1.PodScheduled) }).Should(And(
			HaveField("Reason", "Unschedulable"), HaveField("Message", HavePrefix("0/2 nodes are available: "+
				"1 node(s) didn't match pod anti-affinity rules, 1 node(s) were unschedulable."))))
		cordon(ctx, "node-2", false)
		Expect(eventuallyReady(ctx, "two").Spec.NodeName).To(Equal("node-2"))
	})

	It("leaves evictions to the real thing", func(ctx SpecContext) {
		one := intstr.FromInt32(1)
		_, err := client.PolicyV1().PodDisruptionBudgets(ns).Create(ctx, &policyv1.PodDisruptionBudget{
			ObjectMeta: metav1.ObjectMeta{Name: "guarded"},
			Spec: policyv1.PodDisruptionBudgetSpec{
				MinAvailable: &one, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "guarded"}},
			},
		}, metav1.CreateOptions{})
		Expect(err).NotTo(HaveOccurred())
		create(ctx, helperPod("guarded", "serve"))
		eventuallyReady(ctx, "guarded")
		err = client.CoreV1().Pods(ns).EvictV1(ctx, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: "guarded"}})
		Expect(apierrors.IsTooManyRequests(err)).To(BeTrue(), "%v", err)
	})
})

var _ = Describe("A cluster", func() {
	It("answers kubectl logs", func(ctx SpecContext) {
		create(ctx, helperPod("talker", "serve"))
		eventuallyReady(ctx, "talker")
		Eventually(func() (string, error) {
			data, err := client.CoreV1().Pods(ns).GetLogs("talker", &corev1.PodLogOptions{}).Do(ctx).Raw()
			return string(data), err
		}).Should(Equal("serving\n"))
	})

	It("runs beside another, and leaves nothing behind when its program is killed", func(ctx SpecContext) {
		dir := GinkgoT().TempDir()
		self, err := os.Executable()
		Expect(err).NotTo(HaveOccurred())
		bin, err := filepath.Abs("../../../bin")
		Expect(err).NotTo(HaveOccurred())
		program := &exec.Cmd{
			Path: self, Args: []string{"helper", "cluster", dir}, Env: append(os.Environ(), "BIN_DIR="+bin),
			Stderr: GinkgoWriter,
		}
		output, err := program.StdoutPipe()
		Expect(err).NotTo(HaveOccurred())
		Expect(program.Start()).To(Succeed())
		DeferCleanup(func() { _ = program.Process.Kill(); _ = program.Wait() })
		kubeconfig, err := bufio.NewReader(output).ReadString('\n')
		Expect(err).NotTo(HaveOccurred())
		other := kubernetes.NewForConfigOrDie(configFrom(strings.TrimSpace(kubeconfig)))

		ns = metav1.NamespaceDefault // both have one
		mine := create(ctx, helperPod("twin", "serve"))
		DeferCleanup(func(ctx SpecContext) { _ = client.CoreV1().Pods("default").Delete(ctx, "twin", metav1.DeleteOptions{}) })
		_, err = other.CoreV1().Pods(ns).Create(ctx, helperPod("twin", "grandchild"), metav1.CreateOptions{})
		Expect(err).NotTo(HaveOccurred())
		mine = eventuallyReady(ctx, mine.Name)
		var theirs *corev1.Pod
		Eventually(func() bool {
			theirs, err = other.CoreV1().Pods(ns).Get(ctx, "twin", metav1.GetOptions{})
			return err == nil && condition(theirs, corev1.PodReady).Status == corev1.ConditionTrue
		}).Should(BeTrue())
		Expect(net.ParseIP(mine.Status.PodIP).Mask(net.CIDRMask(24, 32))).NotTo(
			Equal(net.ParseIP(theirs.Status.PodIP).Mask(net.CIDRMask(24, 32))))

		Eventually(func() []int { return processesBelow(dir) }).Should(HaveLen(7),
			"etcd, kube-apiserver, kube-controller-manager, kube-scheduler, the pod and its two descendants")
		Expect(program.Process.Signal(syscall.SIGKILL)).To(Succeed())
		Eventually(func() []int { return slices.DeleteFunc(processesBelow(dir), isZombie) }).Should(BeEmpty())
		Expect(ask(mine, "pid", "")).NotTo(BeEmpty(), "the other cluster goes on")
	})

	It("says what to do when programs are missing", func(ctx SpecContext) {
		dir := GinkgoT().TempDir()
		_, err := localcluster.Start(ctx, localcluster.Options{Dir: dir, BinDir: dir})
		Expect(err).To(MatchError(ContainSubstring("run `make tools`")))
	})
})

func isZombie(pid int) bool {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(rest, "Z")
}
