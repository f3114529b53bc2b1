package execute_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/internal/plan"
)

var quota = apierrors.NewForbidden(schema.GroupResource{Resource: "persistentvolumeclaims"}, "consul-2",
	errors.New("exceeded quota: storage, requested: requests.storage=1Gi, limited: requests.storage=2Gi"))

// refuse lets the API server refuse writes, and returns those that it was asked for.
func (w *world) refuse(err error, is func(verb string, o client.Object) bool) *[]string {
	var asked []string
	ask := func(verb string, o client.Object, otherwise func() error) error {
		if !is(verb, o) {
			return otherwise()
		}
		asked = append(asked, fmt.Sprintf("%s %T %s", verb, o, o.GetName()))
		return err
	}
	w.executor.Client = interceptor.NewClient(w.client, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			return ask("create", o, func() error { return c.Create(ctx, o, opts...) })
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			return ask("patch", o, func() error { return c.Patch(ctx, o, p, opts...) })
		},
	})
	return &asked
}

// A policy that refuses one object holds up that object alone, and the refusal is remembered with its words.
func TestARefusedObjectHoldsNothingElseUp(t *testing.T) {
	w := newWorld(t)
	asked := w.refuse(quota, func(_ string, o client.Object) bool {
		_, is := o.(*policyv1.PodDisruptionBudget)
		return is
	})
	d := plan.Decision{Step: plan.MarkRetiring{Server: "consul-1"}}
	done, failures, err := w.executor.CarryOut(t.Context(), w.seen, d)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(done).To(ConsistOf(HaveField("Action", d.Step)))
	w.Expect(failures).To(ConsistOf(And(
		HaveField("Attempt", "PodDisruptionBudget consul"), HaveField("Reason", reason.QuotaExceeded),
		HaveField("Message", ContainSubstring("exceeded quota: storage")))))

	w.seen.Failures = failures
	_, again, err := w.executor.CarryOut(t.Context(), w.seen, plan.Decision{})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(again).To(Equal(failures), "it is known and not tried again yet")
	w.Expect(*asked).To(HaveLen(1))

	w.executor.Now = func() time.Time { return time.Now().Add(time.Minute) }
	_, later, err := w.executor.CarryOut(t.Context(), w.seen, plan.Decision{})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(later).To(ConsistOf(And(HaveField("Since", failures[0].Since), HaveField("Last", Not(Equal(failures[0].Last))))))
	w.Expect(*asked).To(HaveLen(2))
}

// A claim that a quota refuses uses no serial up.
func TestARefusedServerUsesNoSerialUp(t *testing.T) {
	w := newWorld(t)
	w.refuse(quota, func(verb string, o client.Object) bool { return verb == "create" && o.GetName() == "consul-2" })
	_, failures, err := w.executor.CarryOut(t.Context(), w.seen, plan.Decision{Step: plan.CreateServer{Serial: 2}})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(failures).To(ConsistOf(HaveField("Attempt", "CreateServer Serial:2 BootstrapExpect:0")))
	w.Expect(w.annotations(t)).NotTo(HaveKey(v1alpha1.AnnotationNextSerial))
}

// Webhooks with side effects refuse to be tried out. That is no refusal of the object.
func TestAWebhookThatCannotBeTriedOut(t *testing.T) {
	w := newWorld(t)
	tried := false
	w.refuse(apierrors.NewBadRequest("admission webhook \"x\" does not support dry run"), func(verb string, o client.Object) bool {
		first := verb == "create" && o.GetName() == "consul-2" && !tried
		tried = tried || first
		return first
	})
	w.carryOut(t, plan.Decision{Step: plan.CreateServer{Serial: 2}})
	w.Expect(w.client.Get(t.Context(), key("consul-2"), &corev1.PersistentVolumeClaim{})).To(Succeed())
}

// A StorageClass without expansion keeps no volume from staying with its owner's wish, and no other volume from growing.
func TestAVolumeThatCannotGrow(t *testing.T) {
	w := newWorld(t)
	w.seen.Cluster.Spec.Storage = v1alpha1.Storage{Size: resource.MustParse("2Gi"), Retention: v1alpha1.RetentionRetain}
	for _, claim := range w.seen.Claims {
		claim.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConsulCluster", Name: "consul", UID: clusterUID}}
		w.Expect(w.client.Update(t.Context(), claim)).To(Succeed())
		claim.Status.Phase = corev1.ClaimBound
		w.Expect(w.client.Status().Update(t.Context(), claim)).To(Succeed())
	}
	cannot := errors.New("only dynamically provisioned pvc can be resized")
	w.refuse(apierrors.NewForbidden(schema.GroupResource{}, "consul-0", cannot),
		func(verb string, o client.Object) bool {
			claim, is := o.(*corev1.PersistentVolumeClaim)
			return is && verb == "patch" && claim.Spec.Resources.Requests.Storage().String() == "2Gi"
		})
	for range 2 { // the owner first, then the size
		cluster := w.seen.Cluster
		w.look(t)
		w.seen.Cluster = cluster
		w.seen.Servers = []plan.Server{{Name: "consul-0"}, {Name: "consul-1"}}
		_, w.seen.Failures, _ = w.executor.CarryOut(t.Context(), w.seen, plan.Decision{})
	}
	w.Expect(w.seen.Failures).To(ConsistOf(
		And(HaveField("Attempt", "size of volume claim consul-0"), HaveField("Reason", reason.VolumeCannotGrow)),
		And(HaveField("Attempt", "size of volume claim consul-1"), HaveField("Reason", reason.VolumeCannotGrow))))
	w.look(t)
	for _, claim := range w.seen.Claims {
		w.Expect(claim.OwnerReferences).To(BeEmpty(), "retained")
	}
}

// A volume that fills up grows, and what the spec asks for stays written down. What was written down by nobody, is.
func TestAVolumeGrows(t *testing.T) {
	w := newWorld(t)
	w.seen.Cluster.Spec.Storage.Size = resource.MustParse("1Gi")
	outcome := w.do(t, plan.GrowVolume{Server: "consul-0", Bytes: 2 << 30})
	w.Expect(outcome.Event).To(Equal("the volume of consul-0 fills up: it grows to 2Gi"))
	w.look(t)
	claim := w.seen.Claims["consul-0"]
	w.Expect(claim.Spec.Resources.Requests.Storage().String()).To(Equal("2Gi"))
	w.Expect(claim.Annotations[v1alpha1.AnnotationStorageSize]).NotTo(Equal("2Gi"))
}

// Who refuses is told apart, by what the API server and its admission plugins really answer.
func TestWhoRefuses(t *testing.T) {
	pods := schema.GroupResource{Resource: "pods"}
	status := func(code int32, message string) error {
		return &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: code, Message: message}}
	}
	for message, test := range map[string]struct {
		err    error
		reason reason.Reason
	}{
		"quota": {quota, reason.QuotaExceeded},
		"Kyverno": {
			status(400, `admission webhook "validate.kyverno.svc-fail" denied the request: resource Pod was blocked`),
			reason.AdmissionDenied,
		},
		"policy": {
			status(401, `pods "consul-0" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no`),
			reason.AdmissionDenied,
		},
		"no webhook": {
			apierrors.NewInternalError(errors.New(`failed calling webhook "w": connection refused`)), reason.WebhookUnavailable,
		},
		"Pod Security": {
			apierrors.NewForbidden(pods, "consul-0", errors.New(`violates PodSecurity "restricted:latest"`)),
			reason.AdmissionDenied,
		},
		"own rights": {
			apierrors.NewForbidden(pods, "consul-0", errors.New(
				`User "system:serviceaccount:o:o" cannot create resource "pods" in API group "" in the namespace "n"`)),
			reason.MissingPermission,
		},
		"invalid":       {apierrors.NewInvalid(schema.GroupKind{Kind: "Pod"}, "consul-0", nil), reason.InvalidSpec},
		"slow":          {apierrors.NewTimeoutError("etcd", 1), reason.APIServerUnavailable},
		"Consul's ACL":  {fmt.Errorf("leave: %w", consul.ErrForbidden), reason.ConsulRefuses},
		"network":       {fmt.Errorf("leave: %w", consul.ErrUnreachable), reason.ConsulUnreachable},
		"no API server": {&url.Error{Op: "Patch", URL: "https://10.0.0.1", Err: syscall.ECONNREFUSED}, reason.APIServerUnavailable},
		"anything":      {errors.New("strange"), reason.AttemptFails},
	} {
		t.Run(message, func(t *testing.T) {
			w := newWorld(t)
			w.seen.Servers = []plan.Server{{Name: "consul-0"}} // without any, a NetworkPolicy that is refused holds steps
			w.refuse(test.err, func(string, client.Object) bool { return true })
			_, failures, err := w.executor.CarryOut(t.Context(), w.seen, plan.Decision{Step: plan.MarkFailed{Server: "consul-1"}})
			w.Expect(err).NotTo(HaveOccurred())
			i := slices.IndexFunc(failures, func(f plan.Failure) bool { return strings.HasPrefix(f.Attempt, "MarkFailed") })
			w.Expect(failures[i].Reason).To(Equal(test.reason))
			w.Expect(failures[i].Message).To(ContainSubstring(test.err.Error()))
		})
	}
}

// What somebody else has changed meanwhile is no failure: it is planned again.
func TestAConflictIsNoFailure(t *testing.T) {
	w := newWorld(t)
	w.touch(t, w.seen.Cluster)
	_, failures, err := w.executor.CarryOut(t.Context(), w.seen, plan.Decision{Step: plan.CreateServer{Serial: 2}})
	w.Expect(err).To(HaveOccurred())
	w.Expect(failures).To(BeEmpty())
}
