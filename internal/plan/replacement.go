package plan

import (
	"fmt"
	"time"
)

// Replacement is what speaks for replacing a secret that servers share: the gossip key, the ACL tokens, or the certificate
// authority.
type Replacement struct {
	// Asked reports whether a user asks for another one than the newest.
	Asked bool
	// Since is when it became what it is, and Every the age at which it is replaced; 0 for none, as for an authority.
	Since time.Time
	Every time.Duration
	// Brought is the name of a person's Secret that it comes from; empty if the operator makes it. Differs reports whether that
	// Secret holds another one.
	Brought string
	Differs bool
}

// Why says why it is to be replaced; empty if it is not. Where a person brings it, the person replaces it.
func (r Replacement) Why(now time.Time) string {
	switch {
	case r.Differs:
		return fmt.Sprintf("the Secret %s holds another value", r.Brought)
	case r.Brought != "":
		return ""
	case r.Asked:
		return "on request"
	case r.Every > 0 && !now.Before(r.Since.Add(r.Every)):
		return fmt.Sprintf("older than %s", r.Every)
	}
	return ""
}
