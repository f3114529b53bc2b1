package execute

import (
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/internal/plan"
)

// explain says to people who refused an attempt, and why; nil if it only has to be planned again.
func explain(err error) *plan.Problem {
	var refused *apierrors.StatusError
	var unreached *url.Error
	var taken *TakenError
	switch {
	case errors.Is(err, ErrStale), apierrors.IsConflict(err):
		return nil
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return nil // garbage collection deletes the cluster next
	case errors.As(err, &taken):
		return &plan.Problem{Reason: reason.NameTaken, Message: taken.Error()}
	case errors.Is(err, errCannotGrow):
		return &plan.Problem{Reason: reason.VolumeCannotGrow, Message: "spec.storage.size: " + err.Error()}
	case errors.As(err, &refused):
		return explainStatus(refused)
	case errors.Is(err, consul.ErrForbidden):
		return &plan.Problem{Reason: reason.ConsulRefuses, Message: "Consul's ACLs refuse the operator: " + err.Error()}
	case errors.Is(err, consul.ErrUnreachable), errors.Is(err, consul.ErrUnanswered), errors.Is(err, consul.ErrUntrusted):
		return &plan.Problem{Reason: reason.ConsulUnreachable, Message: err.Error()}
	case errors.As(err, &unreached):
		return &plan.Problem{Reason: reason.APIServerUnavailable, Message: "the API server is not reached: " + err.Error()}
	}
	return &plan.Problem{Reason: reason.AttemptFails, Message: err.Error()}
}

// permission is how the API server's own authorizer refuses.
var permission = regexp.MustCompile(`User "[^"]*" cannot \w+ resource`)

// denials are how admission refuses, whatever code a webhook or a policy gives:
// https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#response and
// https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/.
var denials = regexp.MustCompile(
	`admission webhook ".*" denied the request|ValidatingAdmissionPolicy '.*' with binding '.*' denied request`)

// explainStatus tells apart who refuses, by what the API server itself and its admission plugins answer.
func explainStatus(err *apierrors.StatusError) *plan.Problem {
	words := err.Error()
	switch {
	case denials.MatchString(words):
		return &plan.Problem{Reason: reason.AdmissionDenied, Message: "an admission policy refuses: " + words}
	case strings.Contains(words, "failed calling webhook"):
		return &plan.Problem{Reason: reason.WebhookUnavailable, Message: "the API server cannot ask an admission webhook: " + words}
	case apierrors.IsForbidden(err) && strings.Contains(words, "exceeded quota"):
		return &plan.Problem{Reason: reason.QuotaExceeded, Message: "a quota of the namespace is used up: " + words}
	case apierrors.IsForbidden(err) && permission.MatchString(words):
		return &plan.Problem{Reason: reason.MissingPermission, Message: "the operator's ServiceAccount lacks a permission: " + words}
	case apierrors.IsForbidden(err): // Pod Security, a LimitRange, a PriorityClass or ServiceAccount that is not there
		return &plan.Problem{Reason: reason.AdmissionDenied, Message: "the API server refuses: " + words}
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return &plan.Problem{Reason: reason.InvalidSpec, Message: "the API server refuses what the spec asks for: " + words}
	case err.ErrStatus.Code >= http.StatusInternalServerError, apierrors.IsTooManyRequests(err), apierrors.IsTimeout(err):
		return &plan.Problem{Reason: reason.APIServerUnavailable, Message: "the API server does not carry it out: " + words}
	}
	return &plan.Problem{Reason: reason.AttemptFails, Message: words}
}
