package virtualtime

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http"
)

// proofs remembers who is believed: to verify takes long.
type proofs map[proof]bool

type proof struct {
	by        *http.Transport
	presented string
}

// believes asks the connections of an operator whether they would verify who presents a certificate.
func (p *proofs) believes(by *http.Transport, presented []byte) bool {
	key := proof{by, string(presented)}
	if known, is := (*p)[key]; is {
		return known
	}
	if *p == nil {
		*p = proofs{}
	}
	(*p)[key] = by.TLSClientConfig.VerifyConnection(tls.ConnectionState{PeerCertificates: parse(presented)}) == nil
	return (*p)[key]
}

func parse(text []byte) (all []*x509.Certificate) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		certificate, err := x509.ParseCertificate(block.Bytes)
		must(err)
		all = append(all, certificate)
	}
	return all
}
