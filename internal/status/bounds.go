package status

import (
	"fmt"
	"strings"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// A status has bounds, whatever is in Consul's catalog, in a container's log or in a refusal: the API server refuses an object
// of more than 1.5 MB, and then the operator's memory is lost as well. No cluster that works comes near them.
const (
	maxServers       = 100
	maxDisagreements = 20
	maxName          = 256
	maxMessage       = 1 << 10
	// maxCondition leaves room for a command that names many servers.
	maxCondition = 4 << 10
)

func bound(status *v1alpha1.ConsulClusterStatus) {
	status.Servers = status.Servers[:min(len(status.Servers), maxServers)]
	for i := range status.Servers {
		one := &status.Servers[i]
		one.Version, one.Message = shorten(one.Version, maxName), shorten(one.Message, maxMessage)
	}
	status.Version = shorten(status.Version, maxName)
	for i := range status.Failures {
		status.Failures[i].Message = shorten(status.Failures[i].Message, maxMessage)
	}
	for i := range status.Conditions {
		status.Conditions[i].Message = shorten(status.Conditions[i].Message, maxCondition)
	}
	boundDisagreements(status)
}

func boundDisagreements(status *v1alpha1.ConsulClusterStatus) {
	if more := len(status.Disagreements) - maxDisagreements; more > 0 {
		status.Disagreements = append(status.Disagreements[:maxDisagreements:maxDisagreements], v1alpha1.Disagreement{
			Name: fmt.Sprintf("and %d more", more), Problem: "too many nodes for this list",
			Action: "they appear here when others are gone",
		})
	}
	for i := range status.Disagreements {
		one := &status.Disagreements[i]
		one.Name, one.ID = shorten(one.Name, maxName), shorten(one.ID, maxName)
		one.Problem, one.Action = shorten(one.Problem, maxMessage), shorten(one.Action, maxMessage)
	}
}

func shorten(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
