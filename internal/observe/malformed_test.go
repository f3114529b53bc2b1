package observe_test

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/json"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/observe"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// The API server does not check everything that a pod template may hold, and one object that cannot be decoded would stop
// the operator for all. The first field that does not fit is named.
func TestAMalformedSpecIsNamed(t *testing.T) {
	const in = "spec.podTemplate."
	for spec, message := range map[string]string{
		`{"podTemplate":{"env":[{"name":"A","value":true}]}}`:          in + "env[0].value: must be of type string, not bool",
		`{"podTemplate":{"env":{"A":"b"}}}`:                            in + "env: must be of type list, not object",
		`{"podTemplate":{"env":[{"name":"A"},"B=c"]}}`:                 in + "env[1]: must be of type object, not string",
		`{"podTemplate":{"volumes":[{"name":"v","emptyDir":""}]}}`:     in + "volumes[0].emptyDir: must be of type object",
		`{"podTemplate":{"affinity":{"nodeAffinity":[]}}}`:             in + "affinity.nodeAffinity: must be of type object, not array",
		`{"podTemplate":{"metadata":{"labels":{"a":"b","c":1}}}}`:      in + "metadata.labels.c: must be of type string, not number",
		`{"podTemplate":{"tolerations":[{"tolerationSeconds":1e30}]}}`: in + "tolerations[0].tolerationSeconds: ",
		`{"podTemplate":{"containers":[{},{"resources":{"limits":{"cpu":"lots"}}}]}}`: in + "containers[1]." +
			"resources.limits.cpu: quantities must match",
		`{"podTemplate":{"initContainers":[{"ports":[{"containerPort":"80"}]}]}}`: in + "initContainers[0].ports[0]." +
			"containerPort: must be of type int32, not string",
		`{"update":{"leaderStableFor":"x"}}`: "spec.update.leaderStableFor: time: invalid duration",
		`{"storage":{"size":"plenty"}}`:      "spec.storage.size: quantities must match",
		`{"replicas":"3"}`:                   "spec.replicas: must be of type int32, not string",
		`{"podTemplate":[]}`:                 "spec.podTemplate: must be of type object, not array",
		`[]`:                                 "spec: must be of type object, not array",
		`{"podTemplate":{"nodeSelector":{"` + strings.Repeat("x", 9999) + `":1}}}`: in + "nodeSelector.xxx",
	} {
		t.Run(message, func(t *testing.T) {
			w := newWorld(t)
			w.Expect(json.Unmarshal([]byte(spec), &w.cluster.Spec)).To(Succeed())
			s := w.look()
			w.Expect(s.Spec.Invalid).NotTo(BeNil())
			w.Expect(s.Spec.Invalid.Reason).To(Equal(reason.InvalidSpec))
			w.Expect(s.Spec.Invalid.Message).To(HavePrefix(message))
			w.Expect(len(s.Spec.Invalid.Message)).To(BeNumerically("<", 310))
			w.Expect(plan.Plan(s.Observation, now).Step).To(BeNil())
			w.Expect(json.Marshal(w.cluster.Spec)).To(MatchJSON(spec), "what the user wrote is kept")
		})
	}
}

// What surrounds the servers is kept while a field is malformed: a volume that is retained stays retained.
func TestWhatFitsInAMalformedSpecIsKept(t *testing.T) {
	w := newWorld(t)
	w.Expect(json.Unmarshal([]byte(`{"version":"1.22.7","replicas":5,"storage":{"retention":"Retain","size":"much"},
		"update":{"leaderStableFor":"x","maxSurge":2},
		"podTemplate":{"env":[{"name":"A","value":"b"},{"name":true,"value":"c"}],"nodeSelector":{"a":"b","c":1},
		"affinity":{"nodeAffinity":1},"priorityClassName":"high"}}`), &w.cluster.Spec)).To(Succeed())
	spec := w.cluster.Spec
	w.Expect(spec.Replicas).To(Equal(int32(5)))
	w.Expect(spec.Storage.Retention).To(Equal(v1alpha1.RetentionRetain))
	w.Expect(resources.Claim(w.cluster, "consul-9", nil).OwnerReferences).To(BeEmpty())
	w.Expect(spec.Update).To(Equal(v1alpha1.Update{MaxSurge: 2}), "a duration that does not fit is the default, and not 0s")
	w.Expect(spec.PodTemplate.Env).To(HaveLen(2))
	w.Expect(spec.PodTemplate.Env[1].Value).To(Equal("c"))
	w.Expect(spec.PodTemplate.NodeSelector).To(Equal(map[string]string{"a": "b"}))
	w.Expect(spec.PodTemplate.Affinity).To(BeNil())
	w.Expect(spec.PodTemplate.PriorityClassName).To(Equal("high"))
}

func TestAMalformedStatusIsNoStatus(t *testing.T) {
	g := NewWithT(t)
	var c v1alpha1.ConsulCluster
	g.Expect(json.Unmarshal([]byte(`{"status":{"term":7,"leaderSince":"yesterday","servers":[{"name":"consul-0","lag":"far"}],
		"lastHandoff":{"from":"consul-1","took":null}}}`), &c)).To(Succeed())
	g.Expect(c.Status.Term).To(Equal(int64(7)))
	g.Expect(c.Status.LeaderSince).To(BeNil())
	g.Expect(c.Status.Servers).To(Equal([]v1alpha1.ServerStatus{{Name: "consul-0"}}))
	g.Expect(c.Status.LastHandoff.From).To(Equal("consul-1"))
	g.Expect(json.Unmarshal([]byte(`{"status":"fine"}`), &c)).To(Succeed())
}

// FuzzConsulCluster decodes any object: decoding never fails, what is malformed is InvalidSpec and is written back as it was,
// and what is not can be rendered. The corpus is in testdata/fuzz.
func FuzzConsulCluster(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"spec":null,"status":null}`, `{"spec":{"version":"1.22.7","replicas":3}}`, `{"spec":"x","status":[]}`,
		`{"spec":{"config":{"ports":{"dns":"x"}},"podTemplate":{"env":[{"name":"A","value":true}],"volumes":{}}}}`,
		`{"spec":{"storage":{"size":-1},"update":{"leaderStableFor":"5"},"recovery":{"after":null}}}`,
		`{"spec":{"podTemplate":{"containers":[{"livenessProbe":{"exec":0}}],"affinity":{"podAffinity":""}}}}`,
		`{"spec":{"podTemplate":{"env":[0],"env":[]}}}`,
		`{"status":{"servers":[{"unhealthySince":1}],"conditions":[{"lastTransitionTime":""}],"lastHandoff":{"took":3}}}`,
	} {
		f.Add([]byte(seed))
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		f.Fatal(err)
	}
	observer := &observe.Observer{
		Reader: fake.NewClientBuilder().WithScheme(scheme).Build(), Now: func() time.Time { return now },
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var meta metav1.PartialObjectMetadata
		if !bytes.HasPrefix(bytes.TrimSpace(raw), []byte("{")) || json.Unmarshal(raw, &meta) != nil {
			return // the API server stores no such thing
		}
		c := &v1alpha1.ConsulCluster{}
		if err := json.Unmarshal(raw, c); err != nil {
			t.Fatalf("one object stops the operator: %v", err)
		}
		s, err := observer.Observe(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if c.Spec.Malformed == "" {
			rendered(t, c, s)
			return
		}
		if s.Spec.Invalid == nil || !strings.HasPrefix(s.Spec.Invalid.Message, "spec") {
			t.Fatalf("malformed, and not said so: %s: %+v", c.Spec.Malformed, s.Spec.Invalid)
		}
		if written, err := stdjson.Marshal(c.Spec.Raw); err != nil || !slices.Equal(written, marshaled(t, c.Spec)) {
			t.Fatalf("what the user wrote is lost: %s: %v", written, err)
		}
	})
}

func rendered(t *testing.T, c *v1alpha1.ConsulCluster, s *observe.Snapshot) {
	t.Helper()
	if s.Spec.Invalid != nil {
		return
	}
	if _, err := resources.RevisionSecret(c); err != nil {
		t.Fatalf("valid, and cannot be rendered: %v", err)
	}
	again := &v1alpha1.ConsulCluster{}
	if err := json.Unmarshal(marshaled(t, c), again); err != nil || again.Spec.Malformed != "" ||
		resources.Revision(again) != resources.Revision(c) {
		t.Fatalf("written and read, and not the same: %v %s", err, again.Spec.Malformed)
	}
}

func marshaled(t *testing.T, o any) []byte {
	t.Helper()
	text, err := stdjson.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
