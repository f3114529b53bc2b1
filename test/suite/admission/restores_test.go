package admission

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// of is an object about a cluster that there does not have to be.
func of(kind string, spec values) *unstructured.Unstructured {
	spec["clusterName"] = "consul"
	o := &unstructured.Unstructured{Object: values{"spec": spec}}
	o.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	o.SetNamespace(namespace)
	o.SetGenerateName("consul-")
	return o
}

func restore(from values) *unstructured.Unstructured {
	return of("ConsulRestore", values{"from": from})
}

// A snapshot brings its ACL tokens along: who may restore any object of a store may bring their own.
func TestRestoresAreMadeByThoseWhoMayCreatePods(t *testing.T) {
	for name, from := range map[string]values{
		"a snapshot":       {"snapshotName": "daily"},
		"an object":        {"object": "default/consul/daily-1.snap"},
		"an object's sum":  {"object": "default/consul/daily-1.snap", "sha256": strings.Repeat("0", 64)},
		"another's object": {"object": "production/consul/daily-1.snap"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			for who, user := range map[string]client.Client{"tenant": as.tenant, "keeper": as.keeper, "gatekeeper": as.gatekeeper} {
				err := user.Create(t.Context(), restore(from))
				g.Expect(err).To(MatchError(apierrors.IsForbidden, "Forbidden"), who)
				g.Expect(err).To(MatchError(ContainSubstring("a ConsulRestore requires permission to create pods or deployments in "+
					"namespace "+namespace+", because it loads ACL tokens from a store")), who)
			}
			for who, user := range map[string]client.Client{
				"developer": as.developer, "deployer": as.deployer, "admin": as.admin,
				"operator": as.operator, // which does what a new cluster asks for
			} {
				r := restore(from)
				g.Expect(user.Create(t.Context(), r)).To(Succeed(), who)
				labels := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"team":"blue"}}}`))
				g.Expect(as.tenant.Patch(t.Context(), r, labels)).To(Succeed(), "it is what it was")
				g.Expect(as.tenant.Delete(t.Context(), r)).To(Succeed())
			}
		})
	}
}

// Snapshots go where the cluster has them go, whoever asks for one.
func TestSnapshotsAreTakenByThoseWhoEditClusters(t *testing.T) {
	g := NewWithT(t)
	for _, user := range []client.Client{as.tenant, as.developer, as.admin} {
		g.Expect(user.Create(t.Context(), of("ConsulSnapshot", values{"verify": "Restore"}))).To(Succeed())
		schedule := of("ConsulSnapshotSchedule", values{"schedule": "@daily", "retention": values{"last": int64(7)}})
		g.Expect(user.Create(t.Context(), schedule)).To(Succeed())
	}
	g.Expect(as.operator.Create(t.Context(), of("ConsulSnapshot", values{}))).To(Succeed(), "before an upgrade")
}

// kept is a cluster that began with a snapshot, and whose own are kept somewhere.
func kept() *unstructured.Unstructured {
	return cluster(values{
		"bootstrap": values{"fromSnapshot": values{"object": "default/consul/daily-1.snap"}},
		"snapshots": values{
			"destination":               values{"s3": values{"bucket": "backups", "credentialsSecretRef": values{"name": "bucket"}}},
			"encryption":                values{"recipients": []any{"age1x"}, "identitySecretRef": values{"name": "key"}},
			"serviceAccountAnnotations": values{"role": "backups"},
		},
	})
}

// The Jobs mount the Secrets that are named there, have the identity that is given there, and send all data where it says.
func TestWhereSnapshotsGoIsChangedByThoseWhoMayCreatePods(t *testing.T) {
	const encryption, s3 = "spec.snapshots.encryption", "spec.snapshots.destination.s3"
	for name, test := range map[string]struct {
		field string
		value any // nil removes the field
	}{
		"another bucket":           {s3 + ".bucket", "theirs"},
		"another folder":           {s3 + ".prefix", "theirs"},
		"another store":            {s3 + ".endpoint", "https://theirs.example.com"},
		"other credentials":        {s3 + ".credentialsSecretRef.name", "theirs"},
		"no credentials":           {s3 + ".credentialsSecretRef", nil},
		"other authorities":        {s3 + ".caSecretRef", values{"name": "theirs"}},
		"a volume":                 {"spec.snapshots.destination", values{"volumeClaim": values{"name": "theirs"}}},
		"another key":              {encryption + ".recipients", []any{"age1x", "age1theirs"}},
		"another private key":      {encryption + ".identitySecretRef.name", "theirs"},
		"another of its keys":      {encryption + ".identitySecretRef.key", "theirs"},
		"a passphrase":             {encryption, values{"passphraseSecretRef": values{"name": "theirs"}}},
		"no encryption":            {encryption, values{"disabled": true}},
		"another identity":         {"spec.snapshots.serviceAccountAnnotations.role", "theirs"},
		"pull secrets":             {"spec.snapshots.imagePullSecrets", []any{values{"name": "theirs"}}},
		"resources":                {"spec.snapshots.resources", values{"requests": values{"memory": "1Gi"}}},
		"no snapshots":             {"spec.snapshots", nil},
		"another object to begin":  {"spec.bootstrap.fromSnapshot.object", "production/consul/daily-1.snap"},
		"a snapshot to begin":      {"spec.bootstrap.fromSnapshot", values{"snapshotName": "theirs"}},
		"former volumes to begin":  {"spec.bootstrap", values{"fromVolumes": values{}}},
		"another's volumes":        {"spec.bootstrap", values{"fromVolumes": values{"clusterUID": "theirs"}}},
		"nothing to begin with":    {"spec.bootstrap", nil},
		"any sum of what is begun": {"spec.bootstrap.fromSnapshot.sha256", strings.Repeat("0", 64)},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			path := strings.Split(test.field, ".")
			denied := And(MatchError(apierrors.IsForbidden, "Forbidden"), MatchError(ContainSubstring(
				"changing spec."+path[1]+" requires permission to create pods or deployments in namespace "+namespace)))
			for _, user := range []client.Client{as.tenant, as.keeper, as.gatekeeper} {
				g.Expect(user.Create(t.Context(), kept())).To(MatchError(apierrors.IsForbidden, "Forbidden"))
			}
			c := kept()
			g.Expect(as.developer.Create(t.Context(), c)).To(Succeed())
			if unstructured.RemoveNestedField(c.Object, path...); test.value != nil {
				g.Expect(unstructured.SetNestedField(c.Object, test.value, path...)).To(Succeed())
			}
			for _, user := range []client.Client{as.tenant, as.keeper, as.gatekeeper} {
				g.Expect(user.Update(t.Context(), c.DeepCopy())).To(denied)
			}
			g.Expect(as.deployer.Update(t.Context(), c)).To(Succeed())
		})
	}
}

// What is about when snapshots are taken and how large volumes become, and what changes nothing, is for all who edit clusters.
func TestSnapshotsThatStayWhereTheyAre(t *testing.T) {
	g := NewWithT(t)
	nothing := values{"snapshots": values{}, "bootstrap": values{}}
	g.Expect(as.tenant.Create(t.Context(), cluster(nothing))).To(Succeed(), "an empty one is none")
	c := kept()
	g.Expect(as.developer.Create(t.Context(), c)).To(Succeed())
	for _, change := range []string{
		`{"spec":{"replicas":5}}`,
		`{"spec":{"update":{"snapshotFirst":false}}}`,
		`{"spec":{"update":{"snapshotFirst":true}}}`,
		`{"spec":{"storage":{"autoGrow":{"limit":"20Gi"}}}}`,
		`{"spec":{"snapshots":{"destination":{"s3":{"region":"us-east-1"}}}}}`, // the default
	} {
		g.Expect(as.tenant.Patch(t.Context(), c, client.RawPatch(types.MergePatchType, []byte(change)))).To(Succeed(), change)
	}
}
