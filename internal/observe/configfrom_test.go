package observe_test

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/plan"
)

// What Secrets hold is configuration like the rest: it is checked, and makes a revision. One that cannot be used makes none.
func TestConfigurationFromSecrets(t *testing.T) {
	from := func(name string) v1alpha1.ConfigSource {
		return v1alpha1.ConfigSource{SecretRef: v1alpha1.SecretKey{Name: name}}
	}
	secret := func(name, text string) *corev1.Secret {
		return &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Data: map[string][]byte{"config.json": []byte(text)},
		}
	}
	w := newWorld(t)
	without := w.look().Spec.Revision
	w.others = append(w.others, secret("first", `{"connect": {"ca_config": {"token": "s3cret"}}}`))
	w.cluster.Spec.ConfigFrom = []v1alpha1.ConfigSource{from("first")}
	s := w.look()
	w.Expect(s.Spec.Invalid).To(BeNil())
	w.Expect(s.Spec.ReadsSecrets).To(BeTrue(), "nothing tells when it changes")
	w.Expect(s.Spec.Revision).NotTo(Equal(without))
	w.Expect(w.cluster.Spec.Config).To(BeNil(), "the ConsulCluster has it nowhere")

	w.Expect(s.ConfigFrom.Name).To(Equal("consul-config-from"))
	complete, copied := s.Spec.Revision, s.ConfigFrom

	w.others = []client.Object{copied}
	s = w.look()
	w.Expect(s.Spec.Revision).To(Equal(complete), "there is a copy")
	w.Expect(s.Spec.Invalid).To(BeNil())
	w.Expect(s.Spec.Unusable).To(Equal(&plan.Problem{
		Reason: reason.InvalidSpec, Message: "spec.configFrom[0].secretRef: the Secret first does not exist",
	}))

	for text, message := range map[string]string{
		`{"Bind_Addr": "s3cret"}`: "spec.configFrom: spec.config.Bind_Addr: bind_addr belongs to the operator: it is the pod's address",
		`{"log_level": "s3cret"}`: "spec.configFrom: it changes what servers learn while they run, such as log_level and autopilot: " +
			"leave that to spec.config",
	} {
		w.others = []client.Object{copied, secret("first", text)}
		s := w.look()
		w.Expect(s.Spec.Revision).To(Equal(complete), "what somebody who may write Secrets writes there stops nothing")
		w.Expect(s.ConfigFrom).To(BeNil(), "the copy stays")
		w.Expect(s.Spec.Unusable).To(Equal(&plan.Problem{Reason: reason.InvalidSpec, Message: message}))
	}

	w.cluster.Spec.ConfigFrom = []v1alpha1.ConfigSource{from("second")}
	w.others = []client.Object{copied}
	s = w.look()
	w.Expect(s.Spec.Revision).To(Equal(complete), "what surrounds the servers stays as it is")
	w.Expect(s.Spec.Invalid).To(Equal(&plan.Problem{
		Reason: reason.InvalidSpec, Message: "spec.configFrom[0].secretRef: the Secret second does not exist",
	}), "the copy is of another one")
	w.cluster.Spec.ConfigFrom = []v1alpha1.ConfigSource{from(copied.Name)}
	w.Expect(w.look().Spec.Invalid.Message).To(HaveSuffix("is the operator's: choose another one"))

	// I12: Consul may print a value when it refuses to start.
	w.pods[1].Status.ContainerStatuses[0] = corev1.ContainerStatus{
		Name:                 "consul",
		State:                corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
		LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Message: "s3cret"}},
	}
	w.Expect(w.look().Servers[1].Pod.Problem.Message).To(
		Equal("container consul exits with code 1: see `kubectl logs consul-1 -c consul`"))
}
