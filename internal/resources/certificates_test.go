package resources_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/pki"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// certified is a cluster whose servers have certificates, and nothing else than HTTPS.
func certified() *v1alpha1.ConsulCluster { return inTLSPhase(v1alpha1.TLSHTTPSOnly) }

// inTLSPhase is a cluster in a phase of TLS.
func inTLSPhase(phase v1alpha1.TLSPhase) *v1alpha1.ConsulCluster {
	c := plain()
	c.Annotations = map[string]string{v1alpha1.AnnotationTLS: string(phase), v1alpha1.AnnotationRecordsOf: string(c.UID)}
	return c
}

func TestRenderedWithTLS(t *testing.T) { golden(t, "tls.yaml", rendered(t, certified())) }

// What servers do in each phase, in the words of Consul.
func TestTLSInThePhases(t *testing.T) {
	type says struct{ Outgoing, Hostname, Incoming, HTTP bool }
	for phase, wanted := range map[v1alpha1.TLSPhase]says{
		v1alpha1.TLSAccepting: {HTTP: true},
		v1alpha1.TLSSending:   {Outgoing: true, Hostname: true, HTTP: true},
		v1alpha1.TLSRequired:  {Outgoing: true, Hostname: true, Incoming: true, HTTP: true},
		v1alpha1.TLSHTTPSOnly: {Outgoing: true, Hostname: true, Incoming: true},
	} {
		t.Run(string(phase), func(t *testing.T) {
			g := NewWithT(t)
			rendered, err := resources.AgentConfig(inTLSPhase(phase))
			g.Expect(err).NotTo(HaveOccurred())
			var config struct {
				Addresses struct{ HTTP string }
				TLS       struct {
					Defaults struct {
						Outgoing bool `json:"verify_outgoing"`
					}
					RPC struct {
						Incoming bool `json:"verify_incoming"`
						Hostname bool `json:"verify_server_hostname"`
					} `json:"internal_rpc"`
				}
			}
			g.Expect(json.Unmarshal(rendered, &config)).To(Succeed())
			tls := config.TLS
			g.Expect(says{tls.Defaults.Outgoing, tls.RPC.Hostname, tls.RPC.Incoming, config.Addresses.HTTP == ""}).To(Equal(wanted))
		})
	}
	for _, phase := range []v1alpha1.TLSPhase{"", v1alpha1.TLSOff} {
		NewWithT(t).Expect(resources.AgentConfig(inTLSPhase(phase))).NotTo(ContainSubstring("tls"))
	}
}

// I6: what is recorded of TLS is part of the revision, what a certificate says is not.
func TestWhatOfTLSARevisionDependsOn(t *testing.T) {
	g := NewWithT(t)
	revision := resources.Revision(certified())
	g.Expect(revision).To(Equal("88d89f6264"))
	g.Expect(revision).NotTo(Equal(resources.Revision(plain())))
	c := certified()
	c.Spec.TLS.AdditionalDNSNames = []string{"consul.example.com"}
	g.Expect(resources.Revision(c)).To(Equal(revision), "servers read a certificate again while they run")
	g.Expect(resources.Revision(inTLSPhase(v1alpha1.TLSRequired))).NotTo(Equal(revision))
	asks := plain()
	asks.Spec.TLS.Enabled, asks.Spec.TLS.HTTPSOnly = new(true), new(true)
	g.Expect(resources.Revision(asks)).To(Equal(resources.Revision(plain())), "it is asked for, and not there yet")
}

func TestPortsWithTLS(t *testing.T) {
	g := NewWithT(t)
	names := func(c *v1alpha1.ConsulCluster) (all []string) {
		for _, port := range resources.ClientService(c).Spec.Ports {
			all = append(all, port.Name)
		}
		return all
	}
	g.Expect(names(certified())).To(Equal([]string{"https", "dns", "dns-udp", "grpc-tls"}))
	for _, phase := range []v1alpha1.TLSPhase{
		v1alpha1.TLSOff, v1alpha1.TLSAccepting, v1alpha1.TLSSending, v1alpha1.TLSRequired,
	} {
		g.Expect(names(inTLSPhase(phase))).To(Equal([]string{"http", "https", "dns", "dns-udp", "grpc-tls"}))
	}
	for phase, wanted := range map[v1alpha1.TLSPhase][]int{
		"":                    {resources.PortHTTP},
		v1alpha1.TLSOff:       {resources.PortHTTP, resources.PortHTTPS}, // servers of the phase before may be there
		v1alpha1.TLSAccepting: {resources.PortHTTP, resources.PortHTTPS},
	} {
		rules := resources.NetworkPolicy(inTLSPhase(phase), operator).Spec.Ingress
		g.Expect(rules).To(HaveLen(3))
		var ports []int
		for _, port := range rules[2].Ports {
			ports = append(ports, port.Port.IntValue())
		}
		g.Expect(ports).To(Equal(wanted), "of the operator in phase %q", phase)
	}
}

func TestNamesOfTheCertificate(t *testing.T) {
	g := NewWithT(t)
	c := certified()
	c.Spec.Config = config(t, map[string]any{"Domain": "example."})
	c.Spec.TLS.AdditionalDNSNames = []string{"consul.example.com", "localhost"}
	g.Expect(resources.TLSServerName(c)).To(Equal("server.dc1.example"))
	g.Expect(resources.CertificateNames(c, "server.dc1.example")).To(ContainElements(
		"server.dc1.example", "localhost", "127.0.0.1", "consul.default.svc", "consul-join.default.svc", "consul.example.com"))

	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	authority, err := resources.NewAuthority(c, now)
	g.Expect(err).NotTo(HaveOccurred())
	certificate, err := pki.Issue(authority, resources.CertificateNames(c, "server.dc1.example"), now)
	g.Expect(err).NotTo(HaveOccurred())
	facts, err := pki.Inspect(certificate.Certificate, authority.Certificate)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(resources.IsNamed(c, facts)).To(BeTrue())
	c.Spec.TLS.AdditionalDNSNames = c.Spec.TLS.AdditionalDNSNames[1:]
	g.Expect(resources.IsNamed(c, facts)).To(BeFalse())
}

// A server that has no certificate any more serves no HTTPS, though the Service still has its port for those that do.
func TestAPodSaysItsPhaseOfTLS(t *testing.T) {
	for phase, https := range map[v1alpha1.TLSPhase]bool{
		"": false, v1alpha1.TLSOff: false, v1alpha1.TLSAccepting: true, v1alpha1.TLSSending: true, v1alpha1.TLSRequired: true,
		v1alpha1.TLSHTTPSOnly: true,
	} {
		g := NewWithT(t)
		c := inTLSPhase(phase)
		secret, err := resources.RevisionSecret(c)
		g.Expect(err).NotTo(HaveOccurred())
		pod, err := resources.Pod(c, resources.Server{Name: "consul-0"}, secret)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(pod.Annotations[v1alpha1.AnnotationTLS]).To(Equal(string(phase)))
		g.Expect(slices.ContainsFunc(pod.Spec.Containers[0].Ports, func(p corev1.ContainerPort) bool { return p.Name == "https" })).
			To(Equal(https), "phase %q", phase)
		g.Expect(resources.PodHasTLS(pod)).To(Equal(https))
	}
}

// Consul refuses a port for gRPC if certificates are there and the port for gRPC by TLS is not named as well.
func TestGRPCWithTLS(t *testing.T) {
	for _, test := range []struct{ ports, wanted map[string]any }{
		{map[string]any{"grpc": 8502}, map[string]any{"grpc": 8502.0, "grpc_tls": 8503.0, "https": 8501.0, "serf_wan": -1.0}},
		{map[string]any{"GRPC_TLS": -1}, map[string]any{"grpc_tls": -1.0, "https": 8501.0}},
	} {
		g := NewWithT(t)
		c := certified()
		c.Spec.Config = config(t, map[string]any{"ports": test.ports})
		rendered, err := resources.AgentConfig(c)
		g.Expect(err).NotTo(HaveOccurred())
		var said struct{ Ports map[string]any }
		g.Expect(json.Unmarshal(rendered, &said)).To(Succeed())
		for name, number := range test.wanted {
			g.Expect(said.Ports).To(HaveKeyWithValue(name, number))
		}
	}
}

// HTTPS of users is theirs.
func TestOwnHTTPS(t *testing.T) {
	for _, c := range []*v1alpha1.ConsulCluster{plain(), inTLSPhase(v1alpha1.TLSOff)} {
		g := NewWithT(t)
		c.Spec.Config = config(t, map[string]any{"ports": map[string]any{"https": 8501}})
		secret, err := resources.RevisionSecret(c)
		g.Expect(err).NotTo(HaveOccurred())
		pod, err := resources.Pod(c, resources.Server{Name: "consul-0"}, secret)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(pod.Spec.Containers[0].Ports).To(ContainElement(HaveField("Name", "https")))
	}
}

// A user's volumes say nothing about the operator's certificates.
func TestPodsWithCertificates(t *testing.T) {
	g := NewWithT(t)
	for _, c := range []*v1alpha1.ConsulCluster{plain(), certified()} {
		secret, err := resources.RevisionSecret(c)
		g.Expect(err).NotTo(HaveOccurred())
		pod, err := resources.Pod(c, resources.Server{Name: "consul-0"}, secret)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(resources.PodHasTLS(pod)).To(Equal(resources.HasTLS(c)))
		pod.Spec.Volumes = resources.VolumesThatTell(pod)
		g.Expect(resources.PodHasTLS(pod)).To(Equal(resources.HasTLS(c)), "as the cache has it")
	}
	g.Expect(resources.ReservedVolume(plain(), "operator-tls")).To(BeTrue())
}

// Each Secret says whom to believe, also one that was restored without its labels.
func TestAuthorities(t *testing.T) {
	pair := pki.Pair{Certificate: []byte("authority")}
	for _, secret := range []*corev1.Secret{
		resources.AuthoritySecret(plain(), pair), resources.AuthoritiesSecret(plain(), pair.Certificate),
		resources.CertificateSecret(plain(), pki.Pair{Certificate: []byte("server")}, pair.Certificate, time.Now()),
	} {
		secret.Labels = nil
		NewWithT(t).Expect(string(resources.Authorities(secret))).To(Equal("authority"), secret.Name)
	}
}

// A cache keeps what is public, and no key.
func TestNoKeyIsCached(t *testing.T) {
	g := NewWithT(t)
	pair := pki.Pair{Certificate: []byte("c"), Key: []byte("secret")}
	rotated := resources.AuthoritySecret(plain(), pair)
	resources.SetNextAuthority(rotated, plain(), pair, time.Now())
	for _, secret := range []*corev1.Secret{
		rotated, resources.AuthoritiesSecret(plain(), pair.Certificate),
		resources.CertificateSecret(plain(), pair, []byte("a"), time.Now()),
	} {
		public := resources.Cached(secret)
		g.Expect(public).NotTo(BeEmpty())
		g.Expect(json.Marshal(public)).NotTo(ContainSubstring("c2VjcmV0"))
	}
	keys := resources.NewGossipKeys()
	for _, value := range resources.Cached(resources.GossipSecret(plain(), keys)) {
		g.Expect(string(value)).NotTo(ContainSubstring(keys.New()))
	}
}

// The cache keeps that there is no key.
func TestAnAuthorityWithoutAKey(t *testing.T) {
	g := NewWithT(t)
	issuer, err := resources.NewAuthority(plain(), noon)
	g.Expect(err).NotTo(HaveOccurred())
	public := pki.Pair{Certificate: issuer.Certificate}
	for _, test := range []struct {
		present, next   pki.Pair
		nothing, atLast bool // nothing is issued, now and in the end
	}{
		{issuer, pki.Pair{}, false, false}, {public, pki.Pair{}, true, true},
		{issuer, public, false, true}, {public, issuer, true, false},
	} {
		secret := resources.AuthoritySecret(plain(), test.present)
		if test.next.Certificate != nil {
			resources.SetNextAuthority(secret, plain(), test.next, noon)
		}
		wire, err := json.Marshal(secret)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(string(wire)).NotTo(ContainSubstring("null,"), "it would be taken for a removal")
		for range 2 {
			g.Expect(resources.IssuesNothing(secret)).To(Equal(test.nothing))
			g.Expect(resources.NextIssuesNothing(secret)).To(Equal(test.atLast))
			secret.Data = resources.Cached(secret)
		}
	}
}

// Servers present the authorities with a certificate of a user, and those of former times no more.
func TestWhatServersPresent(t *testing.T) {
	g := NewWithT(t)
	one, err := resources.NewAuthority(plain(), noon)
	g.Expect(err).NotTo(HaveOccurred())
	two, err := resources.NewAuthority(plain(), noon)
	g.Expect(err).NotTo(HaveOccurred())
	server, err := pki.Issue(one, []string{"server.dc1.consul"}, noon)
	g.Expect(err).NotTo(HaveOccurred())
	both := pki.Join(one.Certificate, two.Certificate)
	first := resources.Presented(server, one.Certificate)
	g.Expect(first.Certificate).To(Equal(pki.Join(server.Certificate, one.Certificate)))
	secret := resources.CertificateSecret(plain(), first, one.Certificate, noon)
	then := resources.PresentedNext(secret, both)
	g.Expect(then).To(Equal(resources.Presented(server, both)))
	g.Expect(then.Key).To(Equal(server.Key))
	overlapping := pki.Pair{Certificate: first.Certificate, Key: server.Key} // with its authority in the chain
	g.Expect(resources.Presented(overlapping, both)).NotTo(Equal(resources.Presented(overlapping, two.Certificate)))
	secret = resources.CertificateSecret(plain(), resources.Presented(overlapping, one.Certificate), one.Certificate, noon)
	g.Expect(resources.PresentedNext(secret, both)).To(Equal(resources.Presented(overlapping, both)))
	g.Expect(resources.Presented(pki.Pair{}, both)).To(BeZero(), "an authority is no server")
	g.Expect(resources.PresentedNext(&corev1.Secret{}, both)).To(BeZero())
}

// Servers know each other by a name of their datacenter, whatever else a certificate is for.
func TestTheNameThatACertificateProves(t *testing.T) {
	for name, test := range map[string]struct {
		facts  pki.Facts
		proves string
	}{
		"as the operator issues it": {
			pki.Facts{Subject: "server.dc1.former", Names: []string{"server.dc1.consul", "server.dc1.former"}}, "server.dc1.former",
		},
		"without a common name":    {pki.Facts{Names: []string{"a", "server.dc1.a", "server.dc1.consul"}}, "server.dc1.consul"},
		"with a common name":       {pki.Facts{Subject: "Consul", Names: []string{"server.dc1.consul"}}, "server.dc1.consul"},
		"of another domain":        {pki.Facts{Names: []string{"a", "server.dc1.former"}}, "server.dc1.former"},
		"with a common name alone": {pki.Facts{Subject: "server.dc1.a", Names: []string{"server.dc1.consul"}}, "server.dc1.consul"},
		"that is not for servers":  {pki.Facts{Subject: "x", Names: []string{"*.dc1.consul"}}, "server.dc1.consul"},
	} {
		NewWithT(t).Expect(resources.ProvenName(plain(), test.facts)).To(Equal(test.proves), name)
	}
}

// Servers of other datacenters have certificates of another authority.
func TestTLSAndOtherDatacenters(t *testing.T) {
	g := NewWithT(t)
	c := plain()
	c.Spec.Config = config(t, map[string]any{"ports": map[string]any{"serf_wan": 8302}})
	g.Expect(resources.CheckConfig(c)).To(Succeed())
	c.Spec.TLS.Enabled = new(true)
	g.Expect(resources.CheckConfig(c)).To(MatchError(HavePrefix("spec.config.ports.serf_wan: remove it")))
}

// What spec.tls says, spec.config does not say again.
func TestTLSInConfig(t *testing.T) {
	for written, values := range map[string]map[string]any{
		"TLS":         {"TLS": map[string]any{"defaults": map[string]any{"verify_outgoing": false}}},
		"ports.HTTPS": {"ports": map[string]any{"HTTPS": 8443}},
		"ca_file":     {"ca_file": "/x"},
	} {
		t.Run(written, func(t *testing.T) {
			g := NewWithT(t)
			c := plain()
			c.Spec.Config = config(t, values)
			g.Expect(resources.CheckConfig(c)).To(Succeed(), "without spec.tls it is the user's")
			asks, has := c.DeepCopy(), certified()
			asks.Spec.TLS.Enabled, has.Spec.Config = new(true), c.Spec.Config
			g.Expect(resources.CheckConfig(has)).To(MatchError(
				"spec.config." + written + ": remove it, since spec.tls configures certificates"))
			g.Expect(resources.CheckConfig(asks)).To(MatchError("spec.tls.enabled: remove it, since spec.config."+written+
				" configures certificates, and the operator cannot take that over"), "without it, servers would have none for a while")
		})
	}
}
