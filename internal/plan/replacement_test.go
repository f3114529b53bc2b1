package plan_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/internal/plan"
)

func TestWhySecretsAreReplaced(t *testing.T) {
	const day = 24 * time.Hour
	for name, test := range map[string]struct {
		facts plan.Replacement
		why   string
	}{
		"nothing speaks for it":       {plan.Replacement{Since: noon.Add(-day)}, ""},
		"it is asked for":             {plan.Replacement{Asked: true}, "on request"},
		"it is not old yet":           {plan.Replacement{Since: noon.Add(time.Second - day), Every: day}, ""},
		"it is old":                   {plan.Replacement{Since: noon.Add(-day), Every: day}, "older than 24h0m0s"},
		"a user provides another one": {plan.Replacement{FromSecret: "mine", Differs: true}, "the Secret mine holds another value"},
		"a user has provided it": {
			plan.Replacement{FromSecret: "mine", Asked: true, Since: noon.Add(-day), Every: day}, "",
		},
	} {
		t.Run(name, func(t *testing.T) { NewWithT(t).Expect(test.facts.Why(noon)).To(Equal(test.why)) })
	}
}
