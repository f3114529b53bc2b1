package virtualtime

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/pki"
	"github.com/consul-operator/consul-operator/internal/resources"
	"github.com/consul-operator/consul-operator/test/lib/sim"
)

// grace is how long clients have to learn of another authority: longer than kubelets may take.
var grace = &metav1.Duration{Duration: 4 * time.Minute}

// mine is the Secret with the certificate that a user brings.
const mine = "mine"

// bringCertificate has the user name a Secret with a certificate.
func bringCertificate() step {
	named := change("", func(c *v1alpha1.ConsulCluster) {
		c.Spec.TLS.CertSecretRef, c.Spec.TLS.CAGracePeriod = &v1alpha1.SecretName{Name: mine}, grace
	})
	return step{say: "a user brings a certificate", do: func(r *run) {
		must(r.world.api.create(context.Background(), newCertificate(newAuthority())))
		named.do(r)
	}}
}

// bringAnother has the user bring one of another authority at some time.
func bringAnother(say string, when func(*cluster) bool) step {
	return step{say: "a user brings a certificate of another authority " + say, when: when, do: func(r *run) {
		live := r.world.api.live[objectKey{"Secret", mine}].DeepCopyObject().(*corev1.Secret)
		live.Data = newCertificate(newAuthority()).Data
		must(r.world.api.update(context.Background(), live))
	}}
}

// renewCertificate has the user renew it.
func renewCertificate() step {
	return step{say: "a user renews the certificate", do: func(r *run) {
		live := r.world.api.live[objectKey{"Secret", mine}].DeepCopyObject().(*corev1.Secret)
		live.Data = newCertificate(pki.Pair{Certificate: live.Data["ca.crt"], Key: live.Data["ca.key"]}).Data
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

func newAuthority() pki.Pair {
	authority, err := pki.NewAuthority("theirs", time.Now())
	must(err)
	return authority
}

// newCertificate is a Secret with a certificate of an authority, as a user makes it. The key of the authority is for the next
// one.
func newCertificate(authority pki.Pair) *corev1.Secret {
	pair, err := pki.Issue(authority, []string{"server.dc1.consul"}, time.Now())
	must(err)
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: mine},
		Data: map[string][]byte{
			"tls.crt": pair.Certificate, "tls.key": pair.Key, "ca.crt": authority.Certificate, "ca.key": authority.Key,
		},
	}
}

const certificatesAsWanted = "certificates as wanted"

// certificates says how far servers and Secrets are with the certificates, without what differs from run to run.
func (r *run) certificates(c *cluster) string {
	secret := func(name string) *corev1.Secret {
		live, _ := r.world.api.live[objectKey{"Secret", name}].(*corev1.Secret)
		return live
	}
	authority, told := secret(resources.AuthoritySecretName(c.Name)), secret(resources.AuthoritiesSecretName(c.Name))
	server, user := secret(resources.CertificateSecretName(c.Name)), secret(mine)
	if authority == nil && told == nil && server == nil {
		return certificatesAsWanted
	}
	if authority == nil || told == nil || server == nil {
		return "a Secret is missing"
	}
	brings := false
	if live, _ := r.world.api.live[objectKey{"ConsulCluster", c.Name}].(*v1alpha1.ConsulCluster); live != nil {
		brings = live.Spec.TLS.CertSecretRef != nil
	}
	is := trust{
		told: len(parse(told.Data[corev1.TLSCertKey])), written: len(parse(resources.Authorities(server))), values: len(authority.Data),
		nothing: resources.IssuesNothing(authority), users: user != nil && bytes.Equal(server.Data["tls.key"], user.Data["tls.key"]),
	}
	for i, x := range c.State.Servers[:c.State.N] {
		if has := c.Servers[i].Certified; x.Process == sim.Up && len(has.Presented) > 0 {
			is.servers = append(is.servers, fmt.Sprint(len(parse(has.Authorities)), c.HasNewestCertificate(i)))
		}
	}
	slices.Sort(is.servers)
	if is.told == 1 && is.written == 1 && is.values == 2 && is.nothing == brings && is.users == brings &&
		!slices.ContainsFunc(is.servers, func(server string) bool { return server != "1 true" }) {
		return certificatesAsWanted
	}
	return fmt.Sprintf("%+v", is)
}

// trust is whom clients are told to believe, whom servers are given to believe, how many values the Secret of the authority has,
// whether it issues nothing, whether servers are given the user's certificate, and of each server whom it believes, and whether
// it has read what there is.
type trust struct {
	told, written, values int
	nothing, users        bool
	servers               []string
}
