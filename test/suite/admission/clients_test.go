package admission

import (
	"fmt"
	"testing"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// open lets everybody reach the servers.
var open = values{"networkPolicy": values{"clients": []any{values{"ipBlock": values{"cidr": "0.0.0.0/0"}}}}}

// A NetworkPolicy adds to those that there are: by one that the operator makes, nobody opens what they could not open themselves.
func TestNetworksAreOpenedByThoseWhoMay(t *testing.T) {
	g := NewWithT(t)
	denied := And(MatchError(apierrors.IsForbidden, "Forbidden"),
		MatchError(ContainSubstring("changing spec.networkPolicy requires")))
	for _, changes := range []values{open, {"networkPolicy": values{"enabled": true}}, {"networkPolicy": values{"enabled": false}}} {
		for _, user := range []client.Client{as.tenant, as.developer, as.keeper} {
			g.Expect(user.Create(t.Context(), cluster(changes))).To(denied)
		}
		c := cluster(nil)
		g.Expect(as.tenant.Create(t.Context(), c)).To(Succeed())
		c.Object["spec"].(values)["networkPolicy"] = changes["networkPolicy"]
		g.Expect(as.tenant.Update(t.Context(), c.DeepCopy())).To(denied)
		g.Expect(as.gatekeeper.Update(t.Context(), c)).To(Succeed())
		g.Expect(unstructured.SetNestedField(c.Object, int64(5), "spec", "replicas")).To(Succeed())
		g.Expect(as.tenant.Update(t.Context(), c)).To(Succeed(), "what others have set stays")
		unstructured.RemoveNestedField(c.Object, "spec", "networkPolicy")
		g.Expect(as.tenant.Update(t.Context(), c)).To(denied)
	}
}

// labeled asks for a PodMonitor that some Prometheus selects.
var labeled = values{"metrics": values{"enabled": true, "podMonitorLabels": values{"release": "prometheus"}}}

// A Prometheus takes on whatever PodMonitors have its label.
func TestPodMonitorsAreLabeledByThoseWhoMay(t *testing.T) {
	g := NewWithT(t)
	denied := And(MatchError(apierrors.IsForbidden, "Forbidden"),
		MatchError(ContainSubstring("changing spec.metrics.podMonitorLabels requires")))
	for _, user := range []client.Client{as.tenant, as.developer, as.keeper} {
		g.Expect(user.Create(t.Context(), cluster(labeled))).To(denied)
	}
	c := cluster(values{"metrics": values{"enabled": true}})
	g.Expect(as.tenant.Create(t.Context(), c)).To(Succeed())
	c.Object["spec"].(values)["metrics"] = labeled["metrics"]
	g.Expect(as.tenant.Update(t.Context(), c.DeepCopy())).To(denied)
	g.Expect(as.gatekeeper.Update(t.Context(), c)).To(Succeed())
	g.Expect(unstructured.SetNestedField(c.Object, int64(5), "spec", "replicas")).To(Succeed())
	g.Expect(as.tenant.Update(t.Context(), c)).To(Succeed(), "what others have set stays")
}

// withoutACLs lets everybody who reaches the servers do everything.
var withoutACLs = client.RawPatch(types.MergePatchType, []byte(`{"spec":{"acls":{"enabled":false}}}`))

// Who may read the management token may do everything. By a ConsulCluster, nobody else may.
func TestACLsAreChangedByThoseWhoAdministerConsul(t *testing.T) {
	g := NewWithT(t)
	denied := And(MatchError(apierrors.IsForbidden, "Forbidden"), MatchError(ContainSubstring("changing spec.acls or")))
	allow := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"acls":{"defaultPolicy":"allow"}}}`))
	unset := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"acls":null}}`))
	rotate := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"consuloperator.io/rotate-tokens":"now"}}}`))
	c := cluster(values{"acls": values{"enabled": false}})
	g.Expect(as.tenant.Create(t.Context(), c)).To(Succeed(), "a new cluster has nothing to lose")
	for _, change := range []client.Patch{allow, unset, rotate} {
		for _, user := range []client.Client{as.tenant, as.developer, as.gatekeeper} {
			g.Expect(user.Patch(t.Context(), c.DeepCopy(), change)).To(denied)
		}
		g.Expect(as.keeper.Patch(t.Context(), c, change)).To(Succeed())
	}
	g.Expect(as.tenant.Patch(t.Context(), c, withoutACLs)).To(denied)
	replicas := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"replicas":5}}`))
	g.Expect(as.tenant.Patch(t.Context(), c, replicas)).To(Succeed(), "what others have set stays")
}

// Who may not read the management token does not open a cluster for those who would get it then. Closing it is for everybody.
func TestClustersAreOpenedByThoseWhoAdministerConsul(t *testing.T) {
	for part, name := range map[string]string{
		`"tls":{"enabled":%t}`: "no-tls", `"tls":{"httpsOnly":%t}`: "http", `"gossipEncryption":{"enabled":%t}`: "no-gossip",
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			set := func(on bool) client.Patch {
				return client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"spec":{`+part+`}}`, on))
			}
			c := cluster(values{})
			g.Expect(as.tenant.Create(t.Context(), c)).To(Succeed())
			for _, user := range []client.Client{as.tenant, as.developer, as.gatekeeper} {
				g.Expect(user.Patch(t.Context(), c.DeepCopy(), set(false))).To(And(MatchError(apierrors.IsForbidden, "Forbidden"),
					MatchError(ContainSubstring("to false requires permission to read the Secret "+c.GetName()+"-bootstrap-acl-token"))))
			}
			g.Expect(as.keeper.Patch(t.Context(), c, set(false))).To(Succeed())
			replicas := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"replicas":5}}`))
			g.Expect(as.tenant.Patch(t.Context(), c, replicas)).To(Succeed(), "what others have set stays")
			g.Expect(as.tenant.Patch(t.Context(), c, set(true))).To(Succeed())
		})
	}
}

// Who may not read a Secret gets what it holds by no ConsulCluster that names it.
func TestSecretsAreBroughtByThoseWhoMayReadThem(t *testing.T) {
	for field, part := range map[string]string{
		"managementTokenSecretRef": "acls", "caSecretRef": "tls", "certSecretRef": "tls", "secretRef": "gossipEncryption",
	} {
		t.Run(field, func(t *testing.T) {
			g := NewWithT(t)
			brings := func(name string) values { return values{part: values{field: values{"name": name}}} }
			denied := And(MatchError(apierrors.IsForbidden, "Forbidden"),
				MatchError(ContainSubstring("spec."+part+"."+field+" requires permission to read the Secret mine")))
			for _, user := range []client.Client{as.tenant, as.developer, as.gatekeeper} {
				g.Expect(user.Create(t.Context(), cluster(brings("mine")))).To(denied)
			}
			c := cluster(brings("mine"))
			g.Expect(as.keeper.Create(t.Context(), c)).To(Succeed())
			replicas := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"replicas":5}}`))
			g.Expect(as.tenant.Patch(t.Context(), c, replicas)).To(Succeed(), "what others have set stays")
			c.Object["spec"].(values)[part] = brings("other")[part]
			g.Expect(as.tenant.Update(t.Context(), c.DeepCopy())).To(MatchError(apierrors.IsForbidden, "Forbidden"))
			if part != "tls" {
				c.Object["spec"].(values)[part] = values{field: values{"name": "mine", "key": "other"}}
				g.Expect(as.tenant.Update(t.Context(), c.DeepCopy())).To(MatchError(apierrors.IsForbidden, "Forbidden"))
			}
		})
	}
}

// An expression that asks more than twice who may do what costs too much, and refuses everybody.
func TestAllSecretsAreBroughtAtOnce(t *testing.T) {
	g := NewWithT(t)
	for _, field := range []string{"caSecretRef", "certSecretRef"} {
		c := cluster(values{
			"gossipEncryption": values{"secretRef": values{"name": "a"}}, "tls": values{field: values{"name": "b"}},
			"acls": values{"managementTokenSecretRef": values{"name": "c"}},
		})
		g.Expect(as.keeper.Create(t.Context(), c)).To(Succeed())
		g.Expect(unstructured.SetNestedField(c.Object, "key", "spec", "gossipEncryption", "secretRef", "key")).To(Succeed())
		g.Expect(as.tenant.Update(t.Context(), c)).To(Succeed(), "it is what it was without a word")
	}
}

// Servers start with the configuration file in the Secret of their tokens: nobody may put another one in its place.
func TestTokensAreNotDeletedByOthers(t *testing.T) {
	g := NewWithT(t)
	c := cluster(nil)
	g.Expect(as.tenant.Create(t.Context(), c)).To(Succeed())
	tokens := secretOf(c)
	tokens.Name = c.GetName() + "-acl-tokens"
	g.Expect(as.operator.Create(t.Context(), tokens)).To(Succeed())
	g.Expect(as.keeper.Delete(t.Context(), tokens.DeepCopy())).To(And(MatchError(apierrors.IsForbidden, "Forbidden"),
		MatchError(ContainSubstring("requires the verb record"))))
	g.Expect(as.operator.Delete(t.Context(), tokens.DeepCopy())).To(Succeed())
	tokens.OwnerReferences, tokens.ResourceVersion, tokens.UID = nil, "", ""
	g.Expect(as.keeper.Create(t.Context(), tokens)).To(Succeed(), "Secrets of others are not ours to judge")
	g.Expect(as.keeper.Delete(t.Context(), tokens)).To(Succeed())
}
