package resources_test

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
)

func TestUnsecured(t *testing.T) {
	denies := map[string]any{"acl": map[string]any{"enabled": true, "default_policy": "deny"}}
	g := NewWithT(t)
	g.Expect(resources.Unsecured(plain(), false)).To(HaveLen(5))

	c := certified()
	c.Annotations[v1alpha1.AnnotationGossip] = string(v1alpha1.GossipRequired)
	c.Spec.Config = config(t, denies)
	g.Expect(resources.Unsecured(c, true)).To(BeEmpty())
	c.Annotations[v1alpha1.AnnotationTLS] = string(v1alpha1.TLSRequired)
	g.Expect(resources.Unsecured(c, true)).To(Equal([]string{"the API is served without encryption (spec.tls.httpsOnly)"}))
	c.Annotations[v1alpha1.AnnotationTLS] = string(v1alpha1.TLSSending)
	g.Expect(resources.Unsecured(c, true)).To(ContainElement("RPC is neither encrypted nor authenticated (spec.tls)"), "not yet")
	c.Annotations[v1alpha1.AnnotationGossip] = string(v1alpha1.GossipSending)
	g.Expect(resources.Unsecured(c, true)).To(ContainElement("gossip is not encrypted (spec.gossipEncryption)"), "not yet")

	own := plain()
	own.Spec.Config = config(t, map[string]any{
		"Encrypt": "x", "tls": map[string]any{"internal_rpc": map[string]any{"verify_incoming": true}}, "acl": denies["acl"],
	})
	g.Expect(resources.Unsecured(own, true)).To(
		Equal([]string{"the API is served without encryption (spec.tls.httpsOnly)"}), "the rest is secured by users themselves")
}
