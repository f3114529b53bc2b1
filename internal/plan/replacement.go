package plan

import (
	"fmt"
	"time"
)

// Replacement is what decides whether a secret is replaced that servers share: the gossip key, the ACL tokens, or the certificate
// authority.
type Replacement struct {
	// Asked reports whether a user asks for another one than the newest.
	Asked bool
	// Since is when it became what it is, and Every the age at which it is replaced; 0 for none, as for an authority.
	Since time.Time
	Every time.Duration
	// FromSecret is the name of the user's Secret that it comes from; empty if the operator makes it. Differs reports whether that
	// Secret holds another one.
	FromSecret string
	Differs    bool
	// Withdrawn reports whether the user names no Secret any more, and the operator cannot go on without.
	Withdrawn bool
}

// takesBack reports whether a user does not provide the newest one any more.
func (r Replacement) takesBack() bool { return r.Differs || r.Withdrawn }

// Why says why it is to be replaced; empty if it is not. What a user provides, only the user replaces.
func (r Replacement) Why(now time.Time) string {
	switch {
	case r.Differs:
		return fmt.Sprintf("the Secret %s holds another value", r.FromSecret)
	case r.FromSecret != "":
		return ""
	case r.Withdrawn:
		return "the operator is to issue certificates again"
	case r.Asked:
		return "on request"
	case r.Every > 0 && !now.Before(r.Since.Add(r.Every)):
		return fmt.Sprintf("older than %s", r.Every)
	}
	return ""
}
