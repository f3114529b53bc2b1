package plan

import "github.com/consul-operator/consul-operator/api/reason"

// TLSPhase is a phase of TLS. Servers take RPC from each other if their phases are the same or next to each other: TestTLSPhases
// asks Consul for each pair.
type TLSPhase int

// The phases, in order.
const (
	TLSOff       TLSPhase = iota // without certificates
	TLSAccepting                 // servers have certificates, call RPC without TLS, and take both
	TLSSending                   // they call by TLS, and take both
	TLSRequired                  // they call by TLS, and take RPC from nobody who has no certificate
	TLSOnly                      // the same, and HTTP is closed beside HTTPS
)

var tlsPhases = []string{"Off", "Accepting", "Sending", "Required", "HTTPSOnly"}

// String is the name of a phase in the API.
func (p TLSPhase) String() string { return tlsPhases[p] }

// Word is what a person says when client agents are ready for a phase. Gossip encryption has phases of the same names.
func (p TLSPhase) Word() string { return "TLS" + p.String() }

// ParseTLSPhase returns the phase of a name; an error if it is none. A cluster that never had certificates, whose phase has no
// name, is Off.
func ParseTLSPhase(name string) (TLSPhase, error) {
	phase, err := parsePhase(name, tlsPhases)
	return TLSPhase(phase), err
}

// TLS is the proof by which servers are known to others.
type TLS struct {
	// Phase is that of the wanted revision. Target is where the phases lead.
	Phase, Target TLSPhase
	// Unrecorded reports whether the record of the phase is missing.
	Unrecorded  bool
	Certificate Certificate
	Authority   Authority
}

func (t TLS) next() TLSPhase { return toward(t.Phase, t.Target) }

// secureTLS goes one phase on towards the TLS that is wanted, as SecureGossip does.
func secureTLS(v view) *Decision {
	next := v.Spec.TLS.next()
	if next == v.Spec.TLS.Phase || v.awaitAgentsForTLS(next) != nil {
		return nil
	}
	return v.setTLS(next)
}

func (v view) setTLS(next TLSPhase) *Decision {
	return step(SetTLS{Phase: next}, reason.SecuringTLS, "TLS goes from %s to %s, with a rolling update", v.Spec.TLS.Phase, next)
}
