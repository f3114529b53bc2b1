package volumes

import (
	"context"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// kubelet is one that answers as it is told to, over TLS.
type kubelet struct {
	*httptest.Server
	status int
	answer string
}

func newKubelet(t *testing.T) *kubelet {
	t.Helper()
	k := &kubelet{status: http.StatusOK}
	k.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/stats/summary" || r.Header.Get("Authorization") != "Bearer secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.WriteHeader(k.status)
		_, _ = w.Write([]byte(k.answer))
	}))
	t.Cleanup(k.Close)
	return k
}

// says has the kubelet tell of the volumes of these servers, each with so many of 1,000 bytes used.
func (k *kubelet) says(used map[string]int) {
	k.answer = `{"node": {"nodeName": "a"}, "pods": [{"podRef": {"name": "other"}}`
	for name, bytes := range used {
		k.answer += fmt.Sprintf(`, {"volume": [{"name": "config", "usedBytes": 1, "capacityBytes": 2},
			{"name": "data", "usedBytes": %d, "capacityBytes": 1000, "pvcRef": {"name": %q, "namespace": "blue"}}]}`, bytes, name)
	}
	k.answer += "]}"
}

func (k *kubelet) node(t *testing.T, name string) *corev1.Node {
	t.Helper()
	host, text, err := net.SplitHostPort(k.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{
		Addresses: []corev1.NodeAddress{
			{Type: corev1.NodeHostName, Address: "nowhere.invalid"}, {Type: corev1.NodeInternalIP, Address: host},
		},
		DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: int32(port)}}, //nolint:gosec // a port
	}}
}

// client believes the kubelet.
func (k *kubelet) client(t *testing.T) *http.Client {
	t.Helper()
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: k.Certificate().Raw})
	kubelets, err := KubeletClient(&rest.Config{
		Host: "https://api.invalid", BearerToken: "secret",
		TLSClientConfig: rest.TLSClientConfig{CAData: authority, ServerName: "api.invalid"},
	}, "")
	if err != nil {
		t.Fatal(err)
	}
	return kubelets
}

// server is a pod of a server of a cluster, which runs on a node.
func server(name, node string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "blue", Name: name,
			Labels: map[string]string{v1alpha1.LabelServer: name, v1alpha1.LabelCluster: name[:len(name)-2]},
		},
		Spec: corev1.PodSpec{NodeName: node}, Status: corev1.PodStatus{Phase: corev1.PodRunning},
	}
}

func claim(name string) client.ObjectKey { return client.ObjectKey{Namespace: "blue", Name: name} }

func TestWatcher(t *testing.T) {
	g := NewWithT(t)
	kubelet := newKubelet(t)
	starting := server("one-2", "a")
	starting.Status.Phase = corev1.PodPending
	objects := fake.NewClientBuilder().WithObjects(
		kubelet.node(t, "a"), server("one-0", "a"), server("one-1", "gone"), server("two-0", "a"), starting).Build()
	var changed []string
	w := &Watcher{
		Reader: objects, Kubelets: kubelet.client(t),
		Changed: func(cluster client.ObjectKey) { changed = append(changed, cluster.String()) },
	}
	look := func() []string {
		changed = nil
		g.Expect(w.readAll(t.Context())).To(Succeed())
		slices.Sort(changed)
		return changed
	}
	_, is := w.Of(claim("one-0"))
	g.Expect(is).To(BeFalse(), "nobody was asked yet")

	kubelet.says(map[string]int{"one-0": 422})
	g.Expect(look()).To(Equal([]string{"blue/one", "blue/two"}))
	known, _ := w.Of(claim("one-0"))
	g.Expect(known).To(Equal(Known{Usage: Usage{Used: 422, Capacity: 1000}}))
	g.Expect(known.Percent()).To(Equal(int32(40)))
	for name, why := range map[string]string{"one-1": "the node is gone", "two-0": "knows nothing of it"} {
		known, _ := w.Of(claim(name))
		g.Expect(known.Unread).To(ContainSubstring(why), name)
	}
	_, is = w.Of(claim("one-2"))
	g.Expect(is).To(BeFalse(), "it does not run yet")

	g.Expect(testutil.CollectAndCompare(w, strings.NewReader(`
# HELP consuloperator_server_volume_capacity_bytes How many bytes a server's volume has, as its kubelet said last.
# TYPE consuloperator_server_volume_capacity_bytes gauge
consuloperator_server_volume_capacity_bytes{namespace="blue",server="one-0"} 1000
# HELP consuloperator_server_volume_used_bytes How many bytes of a server's volume are used, as its kubelet said last.
# TYPE consuloperator_server_volume_used_bytes gauge
consuloperator_server_volume_used_bytes{namespace="blue",server="one-0"} 422
`))).To(Succeed())

	kubelet.says(map[string]int{"one-0": 449})
	g.Expect(look()).To(BeEmpty(), "not worth a look")
	kubelet.says(map[string]int{"one-0": 450})
	g.Expect(look()).To(Equal([]string{"blue/one"}))
	kubelet.status = http.StatusForbidden
	g.Expect(look()).To(Equal([]string{"blue/one", "blue/two"}))
	known, _ = w.Of(claim("one-0"))
	g.Expect(known.Unread).To(ContainSubstring("403 Forbidden"))
	g.Expect(known.Capacity).To(BeZero(), "what was so is not known to be so any more")
}

// The same words each time, or each look would be a write of the status.
func TestKubeletsThatDoNotTell(t *testing.T) {
	for what, test := range map[string]struct {
		change func(*kubelet, *Watcher)
		why    string
	}{
		"nobody listens":      {func(k *kubelet, _ *Watcher) { k.Close() }, "dial: connect: connection refused"},
		"no answer":           {func(k *kubelet, _ *Watcher) { k.answer = "" }, "its answer cannot be read: EOF"},
		"another application": {func(k *kubelet, _ *Watcher) { k.answer = "<html>" }, "its answer cannot be read: invalid character"},
		"another authority": {func(_ *kubelet, w *Watcher) { w.Kubelets = http.DefaultClient },
			"--kubelet-certificate-authority"},
	} {
		t.Run(what, func(t *testing.T) {
			g := NewWithT(t)
			kubelet := newKubelet(t)
			kubelet.says(nil)
			w := &Watcher{
				Reader:   fake.NewClientBuilder().WithObjects(kubelet.node(t, "a"), server("one-0", "a")).Build(),
				Kubelets: kubelet.client(t), Changed: func(client.ObjectKey) {},
			}
			test.change(kubelet, w)
			g.Expect(w.readAll(t.Context())).To(Succeed())
			known, _ := w.Of(claim("one-0"))
			g.Expect(known.Unread).To(ContainSubstring(test.why))
			w.Changed = func(client.ObjectKey) { t.Error("the same as before") }
			g.Expect(w.readAll(t.Context())).To(Succeed())
		})
	}
}

func TestStartEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := &Watcher{Reader: fake.NewClientBuilder().Build(), Changed: func(client.ObjectKey) {}}
	NewWithT(t).Expect(w.Start(ctx)).To(Succeed())
}

func TestPercent(t *testing.T) {
	for _, test := range []struct {
		used, capacity int64
		percent        int32
	}{{0, 100, 0}, {4, 100, 0}, {5, 100, 5}, {84, 100, 80}, {100, 100, 100}, {200, 100, 100}, {1, 0, 0}, {-5, 100, 0}} {
		NewWithT(t).Expect(Usage{test.used, test.capacity}.Percent()).To(Equal(test.percent), "%d of %d", test.used, test.capacity)
	}
}
