package plan

import (
	"slices"
	"time"
)

// AuthorityStage is how far the rotation of the certificate authority is. The Secrets of the authority say so.
type AuthorityStage int

// The stages, in order.
const (
	AuthorityUnknown AuthorityStage = iota // there is none that can be used
	AuthoritySettled                       // there is one authority, and everybody is to believe it alone
	AuthorityComing                        // there is another one beside it, which issues nothing yet
	AuthorityGoing                         // the other one issues, and everybody is to believe the former one as well
)

// AuthorityStep is a step of the rotation of the certificate authority.
type AuthorityStep string

// The steps, in order.
const (
	IntroduceAuthority AuthorityStep = "Introduce" // servers and clients are to believe another authority as well
	PromoteAuthority   AuthorityStep = "Promote"   // the other one issues from now on
	ForgetAuthority    AuthorityStep = "Forget"    // nobody is to believe the former one any more
)

// Word is what a person says when client agents are ready for a step.
func (s AuthorityStep) Word() string { return string(s) + "Authority" }

// Authority issues the certificates of the servers.
type Authority struct {
	Stage AuthorityStage
	// From and Until are when the one that issues is valid.
	From, Until time.Time
	// Replacement are the reasons for another one. Its age is that of its certificate.
	Replacement Replacement
	// Introduced reports whether servers and clients are told to believe the next one, and KnownAt is when clients have had the time
	// to learn that.
	Introduced bool
	KnownAt    time.Time
}

const (
	// replaceAuthorityAfter is the share of its life after which an authority is replaced: of five years, one is left.
	replaceAuthorityAfter = 0.8
	// endsAfter is the share after which nobody is waited for any more: three months are left of five years, as long as a
	// certificate is valid.
	endsAfter = 0.95
)

// authority takes the next step of the rotation of the authority, when every server presents the certificate of the last one, and
// so believes what came with it. An authority that ends stops a cluster, so this goes on while the cluster is held. None begins
// while a snapshot is restored: one thing at a time.
func (v view) authority() []Action {
	if !v.allPresentIt() {
		return nil
	}
	switch v.Spec.TLS.Authority.Stage {
	case AuthoritySettled:
		if because := v.whyAnotherAuthority(); because != "" && !v.isRestoring() {
			return rotateAuthority(IntroduceAuthority, because)
		}
	case AuthorityComing:
		return v.bringAuthority()
	case AuthorityGoing:
		return v.forgetAuthority()
	case AuthorityUnknown: // AwaitCertificate says so
	}
	return nil
}

// bringAuthority has everybody believe the next authority, and then has it issue.
func (v view) bringAuthority() []Action {
	switch a := v.Spec.TLS.Authority; {
	case a.Replacement.takesBack():
		return rotateAuthority(IntroduceAuthority, a.Replacement.Why(v.now))
	case !a.Introduced:
		return rotateAuthority(IntroduceAuthority, "it is there, and nobody was told yet")
	case v.endsSoon():
		return rotateAuthority(PromoteAuthority, "the present one ends at "+a.Until.UTC().Format(time.RFC3339))
	case v.isOverdue():
		until := v.Spec.TLS.Certificate.Until.UTC()
		return rotateAuthority(PromoteAuthority, "the present certificate ends at "+until.Format(time.RFC3339))
	case !v.now.Before(a.KnownAt) && v.awaitAgentsForAuthority() == nil:
		return rotateAuthority(PromoteAuthority, "servers believe it, and clients have had the time to")
	}
	return nil
}

// forgetAuthority has nobody believe the former authority, once no server has a certificate of it. Where a user provides no
// certificate of the one that issues, but one of yet another authority, everybody is to believe that one as well.
func (v view) forgetAuthority() []Action {
	because := v.Spec.TLS.Authority.Replacement
	switch former := v.Spec.TLS.Certificate.Former; {
	case former && because.takesBack():
		return rotateAuthority(IntroduceAuthority, because.Why(v.now))
	case !former && v.awaitAgentsForAuthority() == nil:
		return rotateAuthority(ForgetAuthority, "every server has a certificate of the other one")
	}
	return nil
}

func rotateAuthority(step AuthorityStep, because string) []Action {
	return []Action{RotateAuthority{step, because}}
}

// endsSoon reports whether the authority that issues is about to end while another one comes: then nobody is waited for.
func (v view) endsSoon() bool {
	a := v.Spec.TLS.Authority
	return a.Stage == AuthorityComing && isOver(v.now, a.From, a.Until, endsAfter)
}

// whyAnotherAuthority says why the authority has to be replaced; empty if it does not. One that a user provides is replaced
// by the user.
func (v view) whyAnotherAuthority() string {
	a := v.Spec.TLS.Authority
	if because := a.Replacement.Why(v.now); because != "" {
		return because
	}
	if a.Replacement.FromSecret == "" && isOver(v.now, a.From, a.Until, replaceAuthorityAfter) {
		return "the present one ends at " + a.Until.UTC().Format(time.RFC3339)
	}
	return ""
}

// rotatesAuthority reports whether a rotation is under way, or is to begin.
func (v view) rotatesAuthority() bool {
	switch v.Spec.TLS.Authority.Stage {
	case AuthorityComing, AuthorityGoing:
		return true
	case AuthoritySettled:
		return v.whyAnotherAuthority() != ""
	case AuthorityUnknown:
	}
	return false
}

// isOver reports whether a share of the time between two moments is over.
func isOver(now, from, until time.Time, share float64) bool {
	return !now.Before(partOf(from, until, share))
}

// partOf is when a share of the time between two moments is over.
func partOf(from, until time.Time, share float64) time.Time {
	return from.Add(time.Duration(float64(until.Sub(from)) * share))
}

// allPresentIt reports whether each server is known to present the certificate that it is to have.
func (v view) allPresentIt() bool {
	return v.Spec.Bootstrapped && !slices.ContainsFunc(v.Servers, func(s Server) bool {
		return !s.Agent.Answered || s.Agent.Certificate != v.Spec.TLS.Certificate.Fingerprint
	})
}

// lookForAuthority is when clients have had the time to learn of the next authority; 0 if nobody waits for that.
func (v view) lookForAuthority() time.Duration {
	a := v.Spec.TLS.Authority
	if v.HasNoTLS() || a.Stage != AuthorityComing || !a.Introduced || !v.now.Before(a.KnownAt) {
		return 0
	}
	next := a.KnownAt
	if c := v.Spec.TLS.Certificate; c.Brought && !v.isOverdue() {
		next = earlier(next, partOf(c.From, c.Until, overdueAfter))
	}
	return max(soon, next.Sub(v.now))
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
