package plan

import (
	"time"

	"github.com/consul-operator/consul-operator/api/reason"
)

// awaitSecrets says which Secret of a user cannot be used, or ends soon, when nothing else is left to do. A running
// cluster has taken what it needs of it, and goes on.
func awaitSecrets(v view) *Decision {
	if v.Spec.Unusable != nil {
		return wait(steadily, v.Spec.Unusable.Reason, "%s", v.Spec.Unusable.Message)
	}
	a := v.Spec.TLS.Authority
	if a.Replacement.FromSecret != "" && !a.Replacement.Differs && a.Stage == AuthoritySettled && v.isOverdue() {
		return wait(steadily, reason.RenewingCertificate, "the certificate of the servers ends at %s: put another one into the "+
			"Secret %s", v.Spec.TLS.Certificate.Until.UTC().Format(time.RFC3339), a.Replacement.FromSecret)
	}
	if a.Replacement.FromSecret != "" && a.Stage == AuthoritySettled && isOver(v.now, a.From, a.Until, replaceAuthorityAfter) {
		return wait(steadily, reason.RenewingCertificate, "the certificate authority in the Secret %s ends at %s, and the "+
			"certificates of the servers with it: put another one there", a.Replacement.FromSecret, a.Until.UTC().Format(time.RFC3339))
	}
	return nil
}

// overdueAfter is the share of its life after which a certificate that a user provides is asked for: others, such as
// cert-manager, renew at two thirds.
const overdueAfter = 5.0 / 6

// isOverdue reports whether the user has not provided another certificate in time.
func (v view) isOverdue() bool {
	c := v.Spec.TLS.Certificate
	return c.Brought && isOver(v.now, c.From, c.Until, overdueAfter)
}

// awaitsSecret reports whether a new cluster waits for a Secret of a user.
func (v view) awaitsSecret() bool {
	return v.Spec.ReadsSecrets && !v.Spec.Bootstrapped && v.Spec.Invalid != nil
}

// lookForOthers is when to look again whether others have changed what nothing tells of: Secrets of users, and the PodMonitor; 0
// if there are none.
func (v view) lookForOthers() time.Duration {
	if v.Spec.ReadsSecrets || v.Spec.Monitored {
		return othersLook
	}
	return 0
}

// othersLook is long enough to cost next to nothing.
const othersLook = 5 * time.Minute
