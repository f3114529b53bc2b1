package timed

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/consul-operator/consul-operator/internal/pki"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
	"github.com/consul-operator/consul-operator/test/lib/sim"
)

// certified is what a server has of the Secret of the certificate: what it presents, and whom it believes.
type certified struct{ Presented, Authorities []byte }

func (x certified) is(y certified) bool {
	return bytes.Equal(x.Presented, y.Presented) && bytes.Equal(x.Authorities, y.Authorities)
}

// written is what the Secret has held from a moment on.
type written struct {
	at time.Time
	certified
}

// kubeletsShow is how long they may take to show a Secret that has changed to pods that run.
const kubeletsShow = time.Minute

// WroteCertificate takes over what was written into the Secret of the certificate.
func (c *Cluster) WroteCertificate(secret *corev1.Secret, now time.Time) {
	is := certified{resources.PairOf(secret).Certificate, resources.Authorities(secret)}
	if n := len(c.certificates); n == 0 || !c.certificates[n-1].is(is) {
		c.certificates = append(slices.Clip(c.certificates), written{now, is})
	}
}

// readCertificate is what a process does when it starts, and when it is told to. A pod that starts is shown what there is; later,
// the kubelet may be late.
func (c *Cluster) readCertificate(slot int, now time.Time) {
	server := &c.Servers[slot]
	server.Certified = certified{}
	if c.State.Servers[slot].PodRevision.TLS() == plan.TLSOff {
		return
	}
	for _, secret := range c.certificates {
		if !secret.at.After(server.mounted) || !secret.at.Add(kubeletsShow/c.Pace).After(now) {
			server.Certified = secret.certified
		}
	}
}

// HasNewestCertificate reports whether a server has read what the Secret holds.
func (c *Cluster) HasNewestCertificate(slot int) bool {
	n := len(c.certificates)
	return n > 0 && c.Servers[slot].Certified.is(c.certificates[n-1].certified)
}

// Unheard says which servers that run do not believe each other; empty if all do.
func (c *Cluster) Unheard(now time.Time) string {
	for i, server := range c.Servers[:c.State.N] {
		for j, other := range c.Servers[:c.State.N] {
			if c.presents(i) && c.presents(j) && !server.Certified.believes(other.Certified, now) {
				return fmt.Sprintf("%s does not believe the certificate of %s", server.Name, other.Name)
			}
		}
	}
	return ""
}

func (c *Cluster) presents(slot int) bool {
	return c.State.Servers[slot].Process != sim.Down && len(c.Servers[slot].Certified.Presented) > 0
}

// believes is what Consul asks of who calls, and of who is called.
func (x certified) believes(y certified, now time.Time) bool {
	return pki.Pair{Certificate: y.Presented}.Check(x.Authorities, now) == nil
}

// fingerprint identifies what a server presents; empty if that is nothing.
func (x certified) fingerprint() string {
	facts, err := pki.Inspect(x.Presented, x.Authorities)
	if err != nil {
		return ""
	}
	return facts.Fingerprint
}
