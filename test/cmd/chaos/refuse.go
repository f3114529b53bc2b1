package main

import (
	"context"
	"fmt"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/test/lib/report"
)

// refuser is the name of the objects that make the API server refuse.
const refuser = "chaos"

// refuse makes the API server refuse for a while what some objects say. It breaks no invariant: what is there goes on.
func (f *faults) refuse(ctx context.Context, what string, objects ...client.Object) (string, error) {
	for _, o := range objects {
		o.SetName(refuser)
		if err := f.Client.Create(ctx, o); err != nil {
			return "", err
		}
	}
	duration := f.seconds(5, 45)
	f.during(refusing, duration, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		for _, o := range objects {
			if err := client.IgnoreNotFound(f.Client.Delete(ctx, o)); err != nil {
				return err
			}
		}
		return nil
	})
	return fmt.Sprintf("%s, for %s", what, report.Seconds(duration)), nil
}

// useUpQuota lets nobody create pods, or volume claims.
func (f *faults) useUpQuota(ctx context.Context) (string, error) {
	name := []corev1.ResourceName{corev1.ResourcePods, corev1.ResourcePersistentVolumeClaims}[f.random.IntN(2)]
	return f.refuse(ctx, "no more "+string(name), &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.Key.Namespace},
		Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{name: resource.MustParse("0")}},
	})
}

// breakWebhook makes pods and volume claims wait for a webhook that is not there.
func (f *faults) breakWebhook(ctx context.Context) (string, error) {
	return f.refuse(ctx, "for pods and volume claims", f.webhook("127.0.0.1:1", 10*time.Second, creation()))
}

// hangWebhook makes what is written of pods, volume claims and Secrets hang, and refuses it then.
func (f *faults) hangWebhook(ctx context.Context) (string, error) {
	timeout := time.Duration(1+f.random.IntN(20)) * time.Second
	rule := creation()
	rule.Operations = append(rule.Operations, admissionv1.Update)
	rule.Resources = append(rule.Resources, "secrets")
	return f.refuse(ctx, "each write of pods, volume claims and Secrets hangs for "+report.Seconds(timeout),
		f.webhook(f.lines.silent.Addr().String(), timeout, rule))
}

// webhook asks whoever is at an address, for so long.
func (f *faults) webhook(
	address string, timeout time.Duration, rule admissionv1.RuleWithOperations,
) *admissionv1.ValidatingWebhookConfiguration {
	return &admissionv1.ValidatingWebhookConfiguration{
		Webhooks: []admissionv1.ValidatingWebhook{{
			Name:                    "webhook.example.com",
			ClientConfig:            admissionv1.WebhookClientConfig{URL: ptr.To("https://" + address + "/")},
			TimeoutSeconds:          ptr.To(int32(timeout.Seconds())),
			Rules:                   []admissionv1.RuleWithOperations{rule},
			NamespaceSelector:       f.ourNamespace(),
			FailurePolicy:           ptr.To(admissionv1.Fail),
			SideEffects:             ptr.To(admissionv1.SideEffectClassNone),
			AdmissionReviewVersions: []string{"v1"},
		}},
	}
}

// deny lets a policy refuse pods and volume claims.
func (f *faults) deny(ctx context.Context) (string, error) {
	return f.refuse(ctx, "pods and volume claims",
		&admissionv1.ValidatingAdmissionPolicy{Spec: admissionv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionv1.MatchResources{
				NamespaceSelector: f.ourNamespace(),
				ResourceRules:     []admissionv1.NamedRuleWithOperations{{RuleWithOperations: creation()}},
			},
			Validations: []admissionv1.Validation{{Expression: "false", Message: "not now"}},
		}},
		&admissionv1.ValidatingAdmissionPolicyBinding{Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: refuser, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
		}})
}

func creation() admissionv1.RuleWithOperations {
	return admissionv1.RuleWithOperations{
		Operations: []admissionv1.OperationType{admissionv1.Create},
		Rule: admissionv1.Rule{
			APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods", "persistentvolumeclaims"},
		},
	}
}

func (f *faults) ourNamespace() *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: f.Key.Namespace}}
}
