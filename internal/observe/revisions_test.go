package observe

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// What somebody plants under the name of a revision before the operator has written it, or puts in its place, is not believed.
func TestWhichRevisionsAreBelieved(t *testing.T) {
	c := &v1alpha1.ConsulCluster{
		ObjectMeta: metav1.ObjectMeta{Name: "consul", Namespace: "default", UID: "uid"},
		Spec:       v1alpha1.ConsulClusterSpec{Version: "1.22.7", Replicas: 3},
	}
	wanted := resources.Revision(c)
	type digests = map[string]string
	ours, theirs, older := digests{wanted: rendered(c)}, digests{wanted: "theirs"}, digests{wanted: "older"}
	both := digests{"old": "older", wanted: rendered(c)}
	running := &plan.Pod{Revision: wanted}
	for name, test := range map[string]struct {
		status   digests // what it has recorded; nil for no status
		present  digests // what Secrets in the cache hold
		servers  []plan.Server
		believed digests
	}{
		"nothing yet":              {nil, nil, nil, ours},
		"planted before":           {nil, theirs, nil, ours},
		"planted for a correction": {digests{}, theirs, nil, ours},
		"written":                  {ours, ours, []plan.Server{{Pod: running}}, ours},
		"put in its place":         {ours, theirs, []plan.Server{{Pod: running}}, ours},
		"by an older operator":     {older, older, []plan.Server{{Pod: running}}, older},
		"it is gone":               {older, nil, []plan.Server{{Pod: running}}, older},
		"written anew":             {older, ours, []plan.Server{{Pod: running}}, ours},
		"never recorded, it runs":  {nil, older, []plan.Server{{Pod: running}}, ours},
		"none recorded, it rests":  {digests{}, older, []plan.Server{{Revision: wanted}}, older},
		"another one runs":         {nil, both, []plan.Server{{Pod: &plan.Pod{Revision: "old"}}}, both},
		"another one is gone":      {both, nil, []plan.Server{{Revision: "old"}}, both},
	} {
		t.Run(name, func(t *testing.T) {
			s := &Snapshot{Cluster: c.DeepCopy()}
			s.Spec.Revision, s.Servers, s.rendered = wanted, test.servers, rendered(c)
			if test.status != nil {
				s.Cluster.Status.ObservedGeneration = 1
			}
			for name, digest := range test.status {
				s.Cluster.Status.Revisions = append(s.Cluster.Status.Revisions, v1alpha1.RevisionStatus{Name: name, Digest: digest})
			}
			found := digests{}
			for _, revision := range believed(s, test.present) {
				found[revision.Name] = revision.Digest
			}
			NewWithT(t).Expect(found).To(Equal(test.believed))
		})
	}
}

func TestADigestIsOfAllThatASecretHolds(t *testing.T) {
	g := NewWithT(t)
	digest := func(data map[string][]byte) string { return resources.Digest(&corev1.Secret{Data: data}) }
	one := digest(map[string][]byte{"a": []byte("b"), "c": []byte("d")})
	g.Expect(digest(map[string][]byte{"c": []byte("d"), "a": []byte("b")})).To(Equal(one))
	g.Expect(digest(map[string][]byte{"a": []byte("b")})).NotTo(Equal(one))
	g.Expect(digest(map[string][]byte{"a": []byte("b1 c 1 d")})).NotTo(Equal(one))
	g.Expect(digest(nil)).To(BeEmpty())
	cached := &corev1.Secret{Data: map[string][]byte{"a": []byte("b"), "c": []byte("d")}}
	for range 2 {
		g.Expect(resources.CachedDigest(cached)).To(Equal(one))
		cached.Data = resources.Cached(cached)
	}
}
