package integration

import (
	"crypto/x509"
	"encoding/pem"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/pki"
	"github.com/consul-operator/consul-operator/test/lib/child"
	"github.com/consul-operator/consul-operator/test/lib/harness"
)

// object is a part of one of cert-manager's objects.
type object = map[string]any

// Servers start with a certificate that cert-manager has issued, and read the next one without a restart. The authority is
// renewed, and servers and clients go to it in three steps. At last the operator issues certificates of that authority itself.
func TestCertManager(t *testing.T) {
	long(t)
	const name = "brought"
	startCertManager(t)
	root, leaf := name+"-root", name+"-server"
	issue(t, name+"-itself", object{"selfSigned": object{}})
	certificate(t, root, object{"isCA": true, "commonName": "theirs", "issuerRef": object{"name": name + "-itself"}})
	issue(t, name+"-authority", object{"ca": object{"secretName": root}})
	certificate(t, leaf, object{
		"commonName": "server.dc1.consul", "issuerRef": object{"name": name + "-authority"},
		"dnsNames":    []any{"server.dc1.consul", "localhost", name + ".default.svc", name + "-join.default.svc", "consul.example.com"},
		"ipAddresses": []any{"127.0.0.1"},
		"usages":      []any{"server auth", "client auth"},
	})
	s := begin(t, shared, name, func(spec *v1alpha1.ConsulClusterSpec) {
		soonVoters(spec)
		spec.Update.MaxSurge = 3
		spec.TLS.CertSecretRef = &v1alpha1.SecretName{Name: leaf}
		spec.TLS.CAGracePeriod = &metav1.Duration{Duration: time.Second}
	})
	s.expectName("consul.example.com")
	s.Expect(pki.Same(s.authorities(), s.secret(root).Data[corev1.TLSCertKey])).To(BeTrue())
	s.patch(toVersion(newest))
	s.reach("upgraded", 3*time.Minute)

	before, former := s.processes(), s.authorities()
	renewed := s.renew(leaf)
	present := func() []string { return s.presented("server.dc1.consul") }
	s.Eventually(present, time.Minute, 100*time.Millisecond).Should(HaveEach(renewed), "all servers have read it")

	s.renew(root)
	renewed = s.renew(leaf)
	s.followAuthorities(former)
	s.Eventually(present, time.Minute, 100*time.Millisecond).Should(HaveEach(renewed))
	s.reach("with another authority", time.Minute)
	s.Expect(pki.Same(s.authorities(), s.secret(root).Data[corev1.TLSCertKey])).To(BeTrue())
	s.expectName("consul.example.com")

	s.patch(func(c *v1alpha1.ConsulCluster) {
		c.Spec.TLS.CertSecretRef, c.Spec.TLS.CASecretRef = nil, &v1alpha1.SecretName{Name: root}
	})
	s.Eventually(present, 2*time.Minute, 100*time.Millisecond).ShouldNot(ContainElement(renewed))
	s.reach("with certificates of the operator", time.Minute)
	s.Expect(s.processes()).To(Equal(before), "no server was replaced, or started again")
	s.end(1)
}

// startCertManager starts cert-manager's controllers.
func startCertManager(t *testing.T) {
	t.Helper()
	g := NewWithT(t)
	installCRDs(t, "hack/certmanager", "github.com/cert-manager/cert-manager", "deploy/crds")
	programs, err := harness.Root()
	g.Expect(err).NotTo(HaveOccurred())
	process, err := child.Start(filepath.Join(shared.Dir, "certmanager.log"), filepath.Join(programs, "bin", "certmanager"),
		"--kubeconfig", shared.Kubeconfig())
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { process.Stop(10 * time.Second) })
}

// installCRDs installs the CRDs in a folder of a module that a module of ours requires.
func installCRDs(t *testing.T, ours, module, folder string) {
	t.Helper()
	g := NewWithT(t)
	root, err := harness.Root()
	g.Expect(err).NotTo(HaveOccurred())
	list := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", module)
	list.Dir = filepath.Join(root, ours)
	dir, err := list.Output()
	g.Expect(err).NotTo(HaveOccurred())
	crds := filepath.Join(strings.TrimSpace(string(dir)), folder)
	g.Expect(harness.InstallCRDs(shared.Config, crds)).To(Succeed())
}

// issue creates an Issuer.
func issue(t *testing.T, name string, spec object) {
	t.Helper()
	NewWithT(t).Expect(shared.Client.Create(t.Context(), certManagers("Issuer", name, spec))).To(Succeed())
}

// certificate creates a Certificate, and waits until cert-manager has made it.
func certificate(t *testing.T, name string, spec object) {
	t.Helper()
	g := NewWithT(t)
	spec["secretName"], spec["privateKey"] = name, object{"algorithm": "ECDSA", "size": int64(256), "rotationPolicy": "Always"}
	g.Expect(shared.Client.Create(t.Context(), certManagers("Certificate", name, spec))).To(Succeed())
	g.Eventually(func() error {
		return shared.Client.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: name}, &corev1.Secret{})
	}, time.Minute, 100*time.Millisecond).Should(Succeed(), "cert-manager makes %s", name)
}

func certManagers(kind, name string, spec object) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: object{"spec": spec}}
	o.SetGroupVersionKind(schema.GroupVersionKind{Group: "cert-manager.io", Version: "v1", Kind: kind})
	o.SetNamespace("default")
	o.SetName(name)
	return o
}

// renew has cert-manager issue a certificate again, as `cmctl renew` does, and the operator look at once.
func (s *story) renew(name string) (fingerprint string) {
	s.t.Helper()
	former := s.fingerprint(name)
	issuing := client.RawPatch(types.MergePatchType, []byte(
		`{"status": {"conditions": [{"type": "Issuing", "status": "True", "reason": "ManuallyTriggered", "message": "by a test"}]}}`,
	))
	s.Expect(s.Client.Status().Patch(s.t.Context(), certManagers("Certificate", name, nil), issuing)).To(Succeed())
	s.Eventually(func() string { return s.fingerprint(name) }, time.Minute, 100*time.Millisecond).ShouldNot(Equal(former))
	s.patch(annotated("test/look", time.Now().String()))
	return s.fingerprint(name)
}

// fingerprint identifies the certificate in a Secret.
func (s *story) fingerprint(name string) string {
	s.t.Helper()
	block, _ := pem.Decode(s.secret(name).Data[corev1.TLSCertKey])
	s.Expect(block).NotTo(BeNil())
	first, err := x509.ParseCertificate(block.Bytes)
	s.Expect(err).NotTo(HaveOccurred())
	return pki.Fingerprint([]*x509.Certificate{first})
}
