package plan

import "github.com/consul-operator/consul-operator/api/reason"

// ACLPhase is a phase of ACLs. Servers take part in one cluster whatever their phases are: what differs is what clients may do.
type ACLPhase int

// The phases, in order.
const (
	ACLsOff   ACLPhase = iota // without ACLs
	ACLsAllow                 // servers check tokens, and allow what no policy speaks of
	ACLsDeny                  // they check tokens, and deny what no policy speaks of
)

var aclPhases = []string{"Off", "Allow", "Deny"}

// String is the name of a phase in the API.
func (p ACLPhase) String() string { return aclPhases[p] }

// ParseACLPhase returns the phase of a name; an error if it is none. A cluster that never had ACLs, whose phase has no name, is
// Off.
func ParseACLPhase(name string) (ACLPhase, error) {
	phase, err := parsePhase(name, aclPhases)
	return ACLPhase(phase), err
}

// ACLs says how far ACLs have got.
type ACLs struct {
	// Phase is that of the wanted revision. Target is where the phases lead.
	Phase, Target ACLPhase
	// Unrecorded reports whether the record of the phase is missing.
	Unrecorded bool
	// Missing reports whether the Secret with the tokens is not there, though servers have ACLs: nothing can be asked.
	Missing bool
	// Made reports whether the tokens of the operator and of the servers were made in Consul.
	Made bool
	// DNS reports whether those who have no token are to look up services and nodes, and DNSGranted whether they may.
	DNS, DNSGranted bool
	// RefusedBy is the server that leads and refuses the operator's token; empty if it does not.
	RefusedBy string
	// Rotation is how far the rotation of the tokens is.
	Rotation TokenRotation
}

func (a ACLs) next() ACLPhase { return toward(a.Phase, a.Target) }

// secureACLs goes one phase on towards the ACLs that are wanted. Servers do not deny before the operator's token was made.
func secureACLs(v view) *Decision {
	next := v.Spec.ACLs.next()
	switch {
	case next == v.Spec.ACLs.Phase:
		return nil
	case next == ACLsDeny && !v.Spec.ACLs.Made:
		return wait(often, reason.MakingTokens, "the ACL tokens of the operator and of the servers are being made")
	}
	return v.setACLs(next)
}

func (v view) setACLs(next ACLPhase) *Decision {
	return step(SetACLs{Phase: next}, reason.SecuringACLs, "ACLs go from %s to %s, with a rolling update", v.Spec.ACLs.Phase, next)
}
