package plan

import "github.com/consul-operator/consul-operator/api/reason"

// awaitCertificate says which servers do not present the certificate yet that they are to have.
// On the way to no TLS nobody waits for another one: it may be that there is none any more, and that this is the way out.
func awaitCertificate(v view) *Decision {
	if v.HasNoTLS() || v.Spec.TLS.Target < v.Spec.TLS.Phase {
		return nil
	}
	if because := v.renewal(); because != "" {
		return wait(steadily, reason.RenewingCertificate, "the servers' certificate has to be replaced: %s", because)
	}
	another := v.presentingAnother()
	if len(another) == 0 {
		return v.awaitAuthority()
	}
	return wait(steadily, reason.RenewingCertificate, "%d of %d servers present the new certificate, without a restart; next is %s",
		len(v.Servers)-len(another), len(v.Servers), another[0].Name)
}

// awaitAuthority says that there is no authority that another one could be introduced by.
func (v view) awaitAuthority() *Decision {
	a := v.Spec.TLS.Authority
	switch {
	case a.Stage != AuthorityUnknown:
		return nil
	case v.Spec.TLS.Certificate.Brought && a.Replacement.FromSecret != "":
		return wait(steadily, reason.RenewingCertificate, "the Secret of the certificate authority does not hold the one that servers "+
			"believe: delete it, and the operator writes it again")
	case v.Spec.TLS.Certificate.Brought:
		return wait(steadily, reason.RenewingCertificate, "the Secret of the certificate authority does not hold the one that servers "+
			"believe: name the Secret with their certificate in spec.tls.certSecretRef again")
	case a.Replacement.FromSecret != "":
		return wait(steadily, reason.RenewingCertificate, "the present certificate authority is lost, or servers do not believe it, "+
			"and the Secret %s does not hold it: put it there once more, and another one afterwards", a.Replacement.FromSecret)
	case !a.Replacement.Asked:
		return nil
	}
	return wait(steadily, reason.RenewingCertificate, "another certificate authority was asked for, and the present one is lost, "+
		"or servers do not believe it: restore its Secret from a backup, or switch TLS off and on again")
}
