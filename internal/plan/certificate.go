package plan

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Certificate is the one that all servers share.
type Certificate struct {
	// Fingerprint identifies it; empty if there is none that can be used.
	Fingerprint string
	// From and Until are when it is valid.
	From, Until time.Time
	// Misnamed reports whether it is for other names than servers have by now, Former whether another authority has issued it
	// than the one that issues now, and Unbelieving whether what comes with it is not what servers are to believe.
	Misnamed, Former, Unbelieving bool
	// Brought reports whether a user provides it: its names and its age are theirs. Superseded reports whether the user provides
	// another one by now, of the authority that issues.
	Brought, Superseded bool
	// ShownAt is when kubelets show it to all pods.
	ShownAt time.Time
}

// renewAfter is the share of its life after which a certificate is replaced: a third is left to notice that it was not.
const renewAfter = 2.0 / 3

// certificates renews the certificate of the servers, and lets those that present another one read it, one after the other. A
// certificate that expires stops a cluster, so this goes on while the cluster is held, and past a server that does not read it.
func (v view) certificates() []Action {
	if v.HasNoTLS() {
		return nil
	}
	if because := v.renewal(); because != "" {
		return []Action{IssueCertificate{Because: because}}
	}
	if v.now.Before(v.Spec.TLS.Certificate.ShownAt) {
		return nil
	}
	another := v.presentingAnother()
	failed := filter(another, func(s Server) bool { return v.failsAt(ReadCertificate{Server: s.Name}) })
	var actions []Action
	for _, s := range another[:min(len(another), len(failed)+1)] {
		actions = append(actions, ReadCertificate{Server: s.Name})
	}
	if len(actions) == 0 {
		return v.authority()
	}
	return actions
}

// HasNoTLS reports whether servers have no certificates, and get none.
func (o Observation) HasNoTLS() bool {
	has := func(s Server) bool { return s.Pod != nil && s.Pod.TLS != TLSOff }
	return o.Spec.TLS.Phase == TLSOff && !slices.ContainsFunc(o.Servers, has)
}

// lookForCertificate is when to look again at a certificate that servers are to read; 0 if there is none.
func (v view) lookForCertificate() time.Duration {
	shownIn := v.Spec.TLS.Certificate.ShownAt.Sub(v.now)
	switch {
	case v.HasNoTLS():
		return 0
	case len(v.presentingAnother()) == 0 && (shownIn <= 0 || !v.rotatesAuthority()):
		return v.lookForAuthority()
	}
	return max(soon, shownIn)
}

// renewal says why the certificate has to be replaced; empty if it does not.
func (v view) renewal() string {
	certificate := v.Spec.TLS.Certificate
	switch {
	case certificate.Fingerprint == "":
		return "there is none that can be used"
	case certificate.Brought && certificate.Unbelieving:
		return "servers are to believe other authorities"
	case certificate.Superseded:
		return fmt.Sprintf("the Secret %s holds another one", v.Spec.TLS.Authority.Replacement.FromSecret)
	case certificate.Brought:
		return ""
	case certificate.Misnamed:
		return "servers have other names"
	case certificate.Former:
		return "another authority issues certificates now"
	case certificate.Unbelieving:
		return "servers are to believe other authorities"
	case v.now.Before(certificate.From):
		return "it is not valid before " + certificate.From.UTC().Format(time.RFC3339)
	case isOver(v.now, certificate.From, certificate.Until, renewAfter) && !v.endsWithItsAuthority():
		return "it expires at " + certificate.Until.UTC().Format(time.RFC3339)
	}
	return ""
}

// endsWithItsAuthority reports whether another certificate would last no longer.
func (v view) endsWithItsAuthority() bool {
	a := v.Spec.TLS.Authority
	return a.Stage != AuthorityUnknown && !v.Spec.TLS.Certificate.Until.Before(a.Until)
}

// presentingAnother are the servers that answer with another certificate than the one that they are to have: those that
// have failed to read it first, since they hold nobody up, and the leader last.
func (v view) presentingAnother() []Server {
	another := filter(v.Servers, func(s Server) bool {
		return s.Agent.Answered && s.Agent.Certificate != "" && s.Agent.Certificate != v.Spec.TLS.Certificate.Fingerprint
	})
	fails := func(s Server) bool { return v.failsAt(ReadCertificate{Server: s.Name}) }
	slices.SortStableFunc(another, func(a, b Server) int {
		return cmp.Or(compareBool(!fails(a), !fails(b)), compareBool(v.leads(a), v.leads(b)))
	})
	return another
}
