package virtualtime

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/pki"
	"github.com/consul-operator/consul-operator/internal/resources"
	"github.com/consul-operator/consul-operator/test/lib/sim"
)

// grace is how long clients have to learn of another authority.
var grace = &metav1.Duration{Duration: time.Minute}

// mine is the Secret with the certificate that a user brings.
const mine = "mine"

// bringCertificate has the user name a Secret with a certificate.
func bringCertificate() step {
	named := change("", func(c *v1alpha1.ConsulCluster) {
		c.Spec.TLS.CertSecretRef, c.Spec.TLS.CAGracePeriod = &v1alpha1.SecretName{Name: mine}, grace
	})
	return step{say: "a user brings a certificate", do: func(r *run) {
		must(r.world.api.create(context.Background(), newCertificate()))
		named.do(r)
	}}
}

// bringAnother has the user bring one of another authority at some time.
func bringAnother(say string, when func(*cluster) bool) step {
	return step{say: "a user brings a certificate of another authority " + say, when: when, do: func(r *run) {
		live := r.world.api.live[objectKey{"Secret", mine}].DeepCopyObject().(*corev1.Secret)
		live.Data = newCertificate().Data
		must(r.world.api.update(context.Background(), live))
	}}
}

// isComing reports whether servers believe another authority beside the one that has issued their certificate.
func isComing(c *cluster) bool { return len(parse(c.Servers[0].Certified.Authorities)) > 1 && !c.going }

// isGoing reports whether another authority is to issue, and servers may have certificates of the former one.
func isGoing(c *cluster) bool { return c.going }

// bringNone has the user name no Secret any more.
func bringNone() step {
	return change("a user brings no certificate any more", func(c *v1alpha1.ConsulCluster) { c.Spec.TLS.CertSecretRef = nil })
}

// newCertificate is a Secret with a certificate of another authority, as a user makes it.
func newCertificate() *corev1.Secret {
	authority, err := pki.NewAuthority("theirs", time.Now())
	must(err)
	pair, err := pki.Issue(authority, []string{"server.dc1.consul"}, time.Now())
	must(err)
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: mine},
		Data:       map[string][]byte{"tls.crt": pair.Certificate, "tls.key": pair.Key, "ca.crt": authority.Certificate},
	}
}

const certificatesAsWanted = "certificates as wanted"

// certificates says how far servers and Secrets are with the certificates, without what differs from run to run.
func (r *run) certificates(c *cluster) string {
	former := 0
	for i, x := range c.State.Servers[:c.State.N] {
		if x.Process == sim.Up && len(c.Servers[i].Certified.Presented) > 0 && !c.HasNewestCertificate(i) {
			former++
		}
	}
	authority, _ := r.world.api.live[objectKey{"Secret", resources.AuthoritySecretName(c.Name)}].(*corev1.Secret)
	told, _ := r.world.api.live[objectKey{"Secret", resources.AuthoritiesSecretName(c.Name)}].(*corev1.Secret)
	if authority == nil || told == nil {
		return certificatesAsWanted
	}
	believed := len(parse(told.Data[corev1.TLSCertKey]))
	if former > 0 || believed != 1 || len(authority.Data) != 2 {
		return fmt.Sprintf("%d servers have a former certificate, clients believe %d authorities, %d values in the Secret of "+
			"the authority", former, believed, len(authority.Data))
	}
	brought, wanted := resources.IssuesNothing(authority), false
	if live, _ := r.world.api.live[objectKey{"ConsulCluster", c.Name}].(*v1alpha1.ConsulCluster); live != nil {
		wanted = live.Spec.TLS.CertSecretRef != nil
	}
	if brought != wanted {
		return fmt.Sprintf("certificates are a user's: %t", brought)
	}
	return certificatesAsWanted
}
