package timed

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/consul-operator/consul-operator/internal/pki"
	"github.com/consul-operator/consul-operator/test/lib/sim"
)

// Servers that do not believe each other are found, whoever of them it is, and so is a certificate that has expired.
func TestServersThatDoNotBelieveEachOther(t *testing.T) {
	g := NewWithT(t)
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	issue := func() (authority, server pki.Pair) {
		authority, err := pki.NewAuthority("x", now)
		g.Expect(err).NotTo(HaveOccurred())
		server, err = pki.Issue(authority, []string{"server.dc1.consul"}, now)
		g.Expect(err).NotTo(HaveOccurred())
		return authority, server
	}
	one, first := issue()
	two, second := issue()
	both := pki.Join(one.Certificate, two.Certificate)
	heard := func(a, b certified, at time.Time) bool {
		c := New("uid", "consul")
		c.State.N = 2
		for i, has := range []certified{a, b} {
			c.Servers[i].Certified, c.State.Servers[i].Process = has, sim.Up
		}
		return c.Unheard(at) == ""
	}
	g.Expect(heard(certified{first.Certificate, both}, certified{second.Certificate, both}, now)).To(BeTrue())
	g.Expect(heard(certified{first.Certificate, both}, certified{second.Certificate, two.Certificate}, now)).To(BeFalse())
	g.Expect(heard(certified{first.Certificate, one.Certificate}, certified{second.Certificate, both}, now)).To(BeFalse())
	g.Expect(heard(certified{first.Certificate, both}, certified{second.Certificate, both}, now.Add(91*24*time.Hour))).To(BeFalse())
	g.Expect(heard(certified{}, certified{second.Certificate, both}, now)).To(BeTrue(), "it has no certificate")
}

// A pod that starts is shown what a Secret holds, and one that runs is shown it later.
func TestKubeletsAreLate(t *testing.T) {
	g := NewWithT(t)
	start := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	holds := func(what string) *corev1.Secret {
		return &corev1.Secret{Data: map[string][]byte{"tls.crt": []byte(what), "ca.crt": []byte(what)}}
	}
	c := New("uid", "consul")
	c.State.N = 1
	c.State.Servers[0].PodRevision = sim.Of(1).WithTLS(4)
	c.Servers[0].mounted = start
	reads := func(at time.Time) string {
		c.readCertificate(0, at)
		return string(c.Servers[0].Certified.Presented)
	}
	c.WroteCertificate(holds("a"), start)
	c.WroteCertificate(holds("a"), start.Add(time.Second)) // nothing new
	g.Expect(reads(start)).To(Equal("a"))
	changed := start.Add(time.Hour)
	c.WroteCertificate(holds("b"), changed)
	g.Expect(reads(changed.Add(kubeletsShow - time.Second))).To(Equal("a"))
	g.Expect(c.HasNewestCertificate(0)).To(BeFalse())
	g.Expect(reads(changed.Add(kubeletsShow))).To(Equal("b"))
	g.Expect(c.HasNewestCertificate(0)).To(BeTrue())
	c.WroteCertificate(holds("c"), changed.Add(time.Hour))
	c.Servers[0].mounted = changed.Add(time.Hour)
	g.Expect(reads(changed.Add(time.Hour))).To(Equal("c"))
}
