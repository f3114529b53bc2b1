package consul

import (
	"errors"
	"testing"

	"github.com/hashicorp/consul/api"
	. "github.com/onsi/gomega"
)

// What members say may have keys in it, and ends up in conditions and events.
func TestErrorsOfTheKeyringHaveNoKeys(t *testing.T) {
	for body, wanted := range map[string]string{
		"error: 1/4 nodes reported failure: could not decrypt SECRET": "1/4 nodes reported failure",
		"error: 3/3 nodes reported failure: Keyring is empty SECRET":  "3/3 nodes reported failure: Keyring is empty",
		"Failed to decode key query response: [SECRET]":               "is not shown",
		"error: 2/4 nodes reported success":                           "2/4 nodes reported success",
		"rpc error making call: EOF SECRET":                           "rpc error making call: EOF",
	} {
		err := withoutKeys(api.StatusError{Code: 500, Body: body})
		g := NewWithT(t)
		g.Expect(err).To(MatchError(ContainSubstring(wanted)))
		g.Expect(err.Error()).NotTo(ContainSubstring("SECRET"))
	}
	g := NewWithT(t)
	g.Expect(withoutKeys(nil)).To(Succeed())
	other := errors.New("no route")
	g.Expect(withoutKeys(other)).To(BeIdenticalTo(other))
	denied := api.StatusError{Code: 403, Body: "Permission denied: token lacks permission 'keyring:read'"}
	g.Expect(withoutKeys(denied)).To(Equal(denied), "a person has to see which right is missing")
}
