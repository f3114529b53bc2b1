package integration

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// Servers start with configuration from a Secret, and get another one in a rolling update. When it is gone they go on, also new
// ones. What it holds is nowhere but in Secrets.
func TestConfigurationFromASecret(t *testing.T) {
	long(t)
	const name, hidden = "secretive", "5ad9c5cb"
	more := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name + "-more"}, Data: secretly("X-First", hidden),
	}
	NewWithT(t).Expect(shared.Client.Create(t.Context(), more)).To(Succeed())
	s := begin(t, shared, name, func(spec *v1alpha1.ConsulClusterSpec) {
		soonVoters(spec)
		spec.Update.MaxSurge = 3
		spec.ConfigFrom = []v1alpha1.ConfigSource{{SecretRef: v1alpha1.SecretKey{Name: more.Name}}}
	})
	s.expectHeader("X-First")

	lookAgain := func() { // the operator would, within five minutes
		s.patch(func(c *v1alpha1.ConsulCluster) { c.Annotations["touched"] = time.Now().String() })
	}
	more.Data = secretly("X-Second", hidden)
	s.Expect(s.Client.Update(t.Context(), more)).To(Succeed())
	former := s.cluster().Status.Revision
	lookAgain()
	s.until("there is another revision", func(c *v1alpha1.ConsulCluster) bool { return c.Status.Revision != former })
	s.reach("with another Secret", 3*time.Minute)
	s.expectHeader("X-Second")

	before := s.processes()
	s.Expect(s.Client.Delete(t.Context(), more)).To(Succeed())
	lookAgain()
	s.until("the Secret is missing", func(c *v1alpha1.ConsulCluster) bool {
		ready := apimeta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionReady)
		return ready.Reason == "InvalidSpec" && ready.Message == "spec.configFrom[0].secretRef: the Secret "+more.Name+" does not exist"
	})
	s.Expect(s.processes()).To(Equal(before), "the running cluster is left alone")
	s.Observer.SetWanted(5)
	s.patch(func(c *v1alpha1.ConsulCluster) { c.Spec.Replicas = 5 })
	s.until("there are new servers", func(c *v1alpha1.ConsulCluster) bool {
		return c.Status.Voters == 5 && c.Status.ReadyReplicas == 5
	})
	s.expectHeader("X-Second")
	s.expectNowhere(hidden)
	s.end(1)
}

// secretly is configuration with a header that is nobody's business.
func secretly(header, value string) map[string][]byte {
	text, err := json.Marshal(object{"ui_config": object{"metrics_proxy": object{
		"base_url": "http://127.0.0.1:9", "add_headers": []any{object{"name": header, "value": value}},
	}}})
	if err != nil {
		panic(err) // text can be encoded
	}
	return map[string][]byte{"config.json": text}
}

// expectHeader has all servers say that they run with the configuration.
func (s *story) expectHeader(name string) {
	s.t.Helper()
	access, err := s.Access(s.t.Context())
	s.Expect(err).NotTo(HaveOccurred())
	for _, server := range s.cluster().Status.Servers {
		status, said := s.callWith(access.Token.Get(), server.Address, "GET /v1/agent/self")
		s.Expect(status).To(Equal(http.StatusOK))
		s.Expect(said).To(ContainSubstring(`"Name":"`+name+`"`), server.Name)
	}
}

// expectNowhere asserts that neither the operator's log nor any object but Secrets holds a text.
func (s *story) expectNowhere(text string) {
	s.t.Helper()
	for _, list := range []client.ObjectList{
		&v1alpha1.ConsulClusterList{}, &corev1.PodList{}, &corev1.EventList{}, &corev1.ConfigMapList{}, &corev1.ServiceList{},
		&corev1.PersistentVolumeClaimList{}, &networkingv1.NetworkPolicyList{},
	} {
		s.Expect(s.Client.List(s.t.Context(), list)).To(Succeed())
		said, err := json.Marshal(list)
		s.Expect(err).NotTo(HaveOccurred())
		s.Expect(string(said)).NotTo(ContainSubstring(text), "%T", list)
	}
	log, err := os.ReadFile(filepath.Join(shared.Dir, "operator.log"))
	s.Expect(err).NotTo(HaveOccurred())
	s.Expect(string(log)).To(And(ContainSubstring(s.Key.Name), Not(ContainSubstring(text))))
}
