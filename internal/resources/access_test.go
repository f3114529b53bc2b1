package resources_test

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// What people type and clients are told, in each phase.
func TestAccess(t *testing.T) {
	const name = "server.dc1.consul"
	people := v1alpha1.Access{
		PortForward: "kubectl -n default port-forward service/consul-join 8500", UI: "http://localhost:8500/ui",
	}
	for phase, wanted := range map[v1alpha1.TLSPhase]v1alpha1.Access{
		"":                    {Address: "http://consul.default.svc:8500"},
		v1alpha1.TLSOff:       {Address: "http://consul.default.svc:8500"},
		v1alpha1.TLSAccepting: {Address: "https://consul.default.svc:8501", ServerName: name, AuthoritiesSecret: "consul-ca-cert"},
		v1alpha1.TLSRequired:  {Address: "https://consul.default.svc:8501", ServerName: name, AuthoritiesSecret: "consul-ca-cert"},
		v1alpha1.TLSHTTPSOnly: {Address: "https://consul.default.svc:8501", ServerName: name, AuthoritiesSecret: "consul-ca-cert"},
	} {
		wanted.PortForward, wanted.UI = people.PortForward, people.UI
		NewWithT(t).Expect(*resources.Access(inTLSPhase(phase), name)).To(Equal(wanted), string(phase))
	}

	g := NewWithT(t)
	c := inTLSPhase(v1alpha1.TLSOff)
	c.Annotations[v1alpha1.AnnotationACLs] = string(v1alpha1.ACLsDeny)
	g.Expect(resources.Access(c, "").Token).To(Equal(
		"kubectl -n default get secret consul-bootstrap-acl-token -o jsonpath='{.data.token}' | base64 -d"))
	c.Spec.Config = &v1alpha1.Config{Raw: []byte(`{"ports": {"https": 9501}}`)}
	g.Expect(resources.Access(c, "").Address).To(Equal("https://consul.default.svc:9501"), "users have certificates of their own")
}
