package localcluster_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/consul-operator/consul-operator/test/lib/localcluster"
)

var (
	cluster *localcluster.Cluster
	client  kubernetes.Interface
	ns      string // of the running spec
)

var _ = BeforeSuite(func(ctx SpecContext) {
	begin := time.Now()
	var err error
	cluster, err = localcluster.Start(ctx, localcluster.Options{
		Dir: GinkgoT().TempDir(), Nodes: 2, Images: images, Log: GinkgoLogr,
	})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(cluster.Stop()).To(Succeed()) })
	AddReportEntry("the cluster started in", time.Since(begin))
	client = kubernetes.NewForConfigOrDie(cluster.Config())
	SetDefaultEventuallyTimeout(10 * time.Second)
	SetDefaultEventuallyPollingInterval(20 * time.Millisecond)
})

var _ = BeforeEach(func(ctx SpecContext) {
	namespace, err := client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"},
	}, metav1.CreateOptions{})
	Expect(err).NotTo(HaveOccurred())
	ns = namespace.Name
	Eventually(func() error {
		_, err := client.CoreV1().ServiceAccounts(ns).Get(ctx, "default", metav1.GetOptions{})
		return err
	}).Should(Succeed())
})

var _ = AfterEach(func(ctx SpecContext) {
	if CurrentSpecReport().Failed() {
		dump(ctx)
	}
	Expect(client.CoreV1().Pods(ns).DeleteCollection(ctx, *metav1.NewDeleteOptions(0), metav1.ListOptions{})).To(Succeed())
})

func dump(ctx context.Context) {
	events, _ := client.CoreV1().Events(ns).List(ctx, metav1.ListOptions{})
	for _, e := range events.Items {
		GinkgoWriter.Println(e.InvolvedObject.Name, e.Reason, e.Message)
	}
	pods, _ := client.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{})
	for _, p := range pods.Items {
		GinkgoWriter.Printf("%s %+v\n", p.Name, p.Status)
	}
}

// helperPod runs the helper.
func helperPod(name string, args ...string) *corev1.Pod {
	no, grace := false, int64(5)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, Labels: map[string]string{"app": name}},
		Spec: corev1.PodSpec{
			AutomountServiceAccountToken:  &no,
			TerminationGracePeriodSeconds: &grace,
			Containers: []corev1.Container{{
				Name: "main", Image: helperImage, Args: args,
				Env:   []corev1.EnvVar{fieldEnv("POD_IP", "status.podIP")},
				Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}},
			}},
		},
	}
}

func fieldEnv(name, path string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{
		FieldRef: &corev1.ObjectFieldSelector{FieldPath: path},
	}}
}

func create(ctx context.Context, pod *corev1.Pod) *corev1.Pod {
	GinkgoHelper()
	created, err := client.CoreV1().Pods(ns).Create(ctx, pod, metav1.CreateOptions{})
	Expect(err).NotTo(HaveOccurred())
	return created
}

func get(ctx context.Context, name string) *corev1.Pod {
	GinkgoHelper()
	pod, err := client.CoreV1().Pods(ns).Get(ctx, name, metav1.GetOptions{})
	Expect(err).NotTo(HaveOccurred())
	return pod
}

func remove(ctx context.Context, name string) {
	GinkgoHelper()
	Expect(client.CoreV1().Pods(ns).Delete(ctx, name, metav1.DeleteOptions{})).To(Succeed())
}

func condition(pod *corev1.Pod, kind corev1.PodConditionType) corev1.PodCondition {
	for _, c := range pod.Status.Conditions {
		if c.Type == kind {
			return c
		}
	}
	return corev1.PodCondition{}
}

func isReady(ctx context.Context, name string) func() corev1.ConditionStatus {
	return func() corev1.ConditionStatus { return condition(get(ctx, name), corev1.PodReady).Status }
}

func eventuallyReady(ctx context.Context, name string) *corev1.Pod {
	GinkgoHelper()
	Eventually(isReady(ctx, name)).Should(Equal(corev1.ConditionTrue))
	return get(ctx, name)
}

func eventuallyGone(ctx context.Context, name string) {
	GinkgoHelper()
	Eventually(func() bool {
		_, err := client.CoreV1().Pods(ns).Get(ctx, name, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	}).Should(BeTrue())
}

func status(ctx context.Context, name string) corev1.ContainerStatus {
	GinkgoHelper()
	pod := get(ctx, name)
	if len(pod.Status.ContainerStatuses) == 0 {
		return corev1.ContainerStatus{}
	}
	return pod.Status.ContainerStatuses[0]
}

// ask calls the helper of a pod, which may not listen yet.
func ask(pod *corev1.Pod, path, name string, body ...string) (string, error) {
	for deadline := time.Now().Add(2 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		text, err := askOnce(pod, path, name, body...)
		if !errors.Is(err, syscall.ECONNREFUSED) || time.Now().After(deadline) {
			return text, err
		}
	}
}

func askOnce(pod *corev1.Pod, path, name string, body ...string) (string, error) {
	target := fmt.Sprintf("http://%s:8080/%s?name=%s", pod.Status.PodIP, path, url.QueryEscape(name))
	method, content := http.MethodGet, ""
	if len(body) > 0 {
		method, content = http.MethodPost, body[0]
	}
	request, err := http.NewRequest(method, target, bytes.NewBufferString(content))
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", response.Status, data)
	}
	return string(data), err
}
