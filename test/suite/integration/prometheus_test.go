package integration

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
	"github.com/consul-operator/consul-operator/test/lib/child"
	"github.com/consul-operator/consul-operator/test/lib/harness"
)

// Prometheus finds the servers by the PodMonitor, knows whom to believe, and has the token that was made for it: in an upgrade,
// and when the tokens are replaced.
func TestPrometheus(t *testing.T) {
	long(t)
	const name = "scraped"
	s := begin(t, shared, name, func(spec *v1alpha1.ConsulClusterSpec) {
		soonVoters(spec)
		spec.Update.MaxSurge = 3
	})
	connection := startPrometheusOperator(t)
	p := startPrometheus(s, connection)
	s.patch(func(c *v1alpha1.ConsulCluster) {
		c.Spec.Metrics = v1alpha1.Metrics{Enabled: true, PodMonitorLabels: map[string]string{"scraped-by": name}}
	})
	s.reach("with metrics", 3*time.Minute)
	s.Expect(s.cluster().Status.PodMonitor).To(Equal(name + "-server"))
	p.expectServers("reads metrics")

	s.patch(toVersion(newest))
	s.reach("upgraded", 3*time.Minute)
	p.expectServers("reads metrics of the new servers")

	former := s.secret(resources.MetricsSecretName(name)).Data
	s.rotateTokens()
	s.Expect(s.secret(resources.MetricsSecretName(name)).Data).NotTo(Equal(former))
	p.expectServers("reads metrics with another token")

	monitor := resources.NoPodMonitor(s.cluster())
	s.Expect(s.Client.Get(t.Context(), client.ObjectKeyFromObject(monitor), monitor)).To(Succeed())
	s.patch(func(c *v1alpha1.ConsulCluster) { c.Spec.Metrics = v1alpha1.Metrics{} })
	s.reach("without metrics", 3*time.Minute)
	s.Eventually(func() error {
		return s.Client.Get(t.Context(), client.ObjectKeyFromObject(monitor), monitor)
	}, time.Minute, 100*time.Millisecond).ShouldNot(Succeed(), "the PodMonitor is gone")
	s.end(3)
}

// startPrometheusOperator starts the operator of Prometheus. It returns the files by which clients connect to the API server.
func startPrometheusOperator(t *testing.T) (connection object) {
	t.Helper()
	g := NewWithT(t)
	installCRDs(t, "hack/tools/prometheus-operator", "github.com/prometheus-operator/prometheus-operator",
		"example/prometheus-operator-crd")
	dir := t.TempDir()
	file := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		g.Expect(os.WriteFile(path, content, 0o600)).To(Succeed())
		return path
	}
	config := shared.Config
	connection = object{
		"caFile": file("ca.crt", config.CAData), "certFile": file("client.crt", config.CertData),
		"keyFile": file("client.key", config.KeyData),
	}
	programs, err := harness.Root()
	g.Expect(err).NotTo(HaveOccurred())
	process, err := child.Start(
		filepath.Join(shared.Dir, "prometheus-operator.log"), filepath.Join(programs, "bin", "prometheus-operator"),
		"--apiserver="+config.Host, "--ca-file="+connection["caFile"].(string), "--cert-file="+connection["certFile"].(string),
		"--key-file="+connection["keyFile"].(string), "--namespaces=default", "--web.listen-address="+freeAddress(t))
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { process.Stop(10 * time.Second) })
	return connection
}

// prometheus is a Prometheus, configured by its operator. What a kubelet and a sidecar do in a cluster, follow does: it gives it
// its files.
type prometheus struct {
	*story
	dir, address string
	config       []byte
}

const (
	prometheusCerts  = "/etc/prometheus/certs" // where its configuration looks for certificates
	prometheusPrefix = "prometheus-"           // of the names of its Secrets
)

func startPrometheus(s *story, connection object) *prometheus {
	s.t.Helper()
	wanted := &unstructured.Unstructured{Object: object{
		"apiVersion": "monitoring.coreos.com/v1", "kind": "Prometheus",
		"metadata": object{"name": s.Key.Name, "namespace": s.Key.Namespace},
		"spec": object{
			"scrapeInterval": "1s", "podMonitorSelector": object{"matchLabels": object{"scraped-by": s.Key.Name}},
			"apiserverConfig": object{"host": shared.Config.Host, "tlsConfig": connection},
		},
	}}
	s.Expect(s.Client.Create(s.t.Context(), wanted)).To(Succeed())
	p := &prometheus{story: s, dir: s.t.TempDir(), address: freeAddress(s.t)}
	s.Eventually(p.follow, time.Minute, 100*time.Millisecond).Should(Succeed())
	programs, err := harness.Root()
	s.Expect(err).NotTo(HaveOccurred())
	process, err := child.Start(filepath.Join(shared.Dir, "prometheus.log"), filepath.Join(programs, "bin", "prometheus"),
		"--config.file="+p.path("prometheus.yaml"), "--storage.tsdb.path="+p.path("data"), "--web.listen-address="+p.address,
		"--web.enable-lifecycle")
	s.Expect(err).NotTo(HaveOccurred())
	s.t.Cleanup(func() { process.Stop(10 * time.Second) })
	s.t.Cleanup(p.explain)
	return p
}

// explain says what it knows of servers, if the test has failed.
func (p *prometheus) explain() {
	if !p.t.Failed() {
		return
	}
	response, err := http.Get("http://" + p.address + "/api/v1/targets") //nolint:noctx // it answers at once
	if err != nil {
		p.t.Log(err)
		return
	}
	defer func() { _ = response.Body.Close() }()
	said, _ := io.ReadAll(response.Body)
	p.t.Logf("the targets of Prometheus: %s", said)
}

// freeAddress is one on loopback that nobody listens at.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

func (p *prometheus) path(name string) string { return filepath.Join(p.dir, name) }

// follow writes the files that its operator has made, and has it read them if there are others.
func (p *prometheus) follow(g Gomega) {
	read := func(name string) map[string][]byte {
		secret := &corev1.Secret{}
		key := client.ObjectKey{Namespace: p.Key.Namespace, Name: prometheusPrefix + p.Key.Name + name}
		g.Expect(p.Client.Get(p.t.Context(), key, secret)).To(Succeed())
		return secret.Data
	}
	compressed, err := gzip.NewReader(bytes.NewReader(read("")["prometheus.yaml.gz"]))
	g.Expect(err).NotTo(HaveOccurred())
	config, err := io.ReadAll(compressed)
	g.Expect(err).NotTo(HaveOccurred())
	all := bytes.Clone(config)
	for name, content := range read("-tls-assets-0") {
		g.Expect(os.WriteFile(p.path(name), content, 0o600)).To(Succeed())
		all = append(all, content...)
	}
	ofThisOne := strings.NewReplacer(prometheusCerts, p.dir, "$(POD_NAME)", p.Key.Name, "$(SHARD)", "0").Replace(string(config))
	g.Expect(os.WriteFile(p.path("prometheus.yaml"), []byte(ofThisOne), 0o600)).To(Succeed())
	if p.config != nil && !bytes.Equal(p.config, all) {
		response, err := http.Post("http://"+p.address+"/-/reload", "", nil) //nolint:noctx // it answers at once
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(response.Body.Close()).To(Succeed())
		g.Expect(response.StatusCode).To(Equal(http.StatusOK))
	}
	p.config = all
}

// expectServers waits until it reads the metrics of all servers there are, and of no other ones, and finds one leader.
func (p *prometheus) expectServers(what string) {
	p.t.Helper()
	start := metav1.Now()
	p.Eventually(func(g Gomega) {
		p.follow(g)
		servers := fmt.Sprint(len(p.servers()))
		g.Expect(p.ask(g, "count(up)")).To(Equal(servers))
		g.Expect(p.ask(g, "sum(up)")).To(Equal(servers))
		g.Expect(p.ask(g, "sum(consul_server_isLeader)")).To(Equal("1"))
		g.Expect(p.ask(g, fmt.Sprintf("min(timestamp(up)) > %d", start.Unix()))).NotTo(BeEmpty(), "not what it read before")
	}, 2*time.Minute, 500*time.Millisecond).Should(Succeed(), what)
	for _, server := range p.servers() {
		p.Expect(p.ask(p.WithT, fmt.Sprintf("up{pod=%q}", server))).To(Equal("1"))
	}
}

// ask returns the value of a query; empty if there is none.
func (p *prometheus) ask(g Gomega, query string) string {
	at := "http://" + p.address + "/api/v1/query?query=" + url.QueryEscape(query)
	response, err := http.Get(at) //nolint:noctx // it answers at once
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = response.Body.Close() }()
	var answer struct {
		Data struct {
			Result []struct{ Value [2]any }
		}
	}
	g.Expect(json.NewDecoder(response.Body).Decode(&answer)).To(Succeed())
	if len(answer.Data.Result) == 0 {
		return ""
	}
	g.Expect(answer.Data.Result).To(HaveLen(1), strings.TrimSpace(query))
	return fmt.Sprint(answer.Data.Result[0].Value[1])
}
