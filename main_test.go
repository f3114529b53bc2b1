package main

import (
	"testing"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/cache"
)

func TestNamespaces(t *testing.T) {
	for list, wanted := range map[string]map[string]cache.Config{
		"":         nil,
		" ":        nil,
		"a":        {"a": {}},
		"a, b":     {"a": {}, "b": {}},
		"a,":       {"a": {}},
		",a,, b ,": {"a": {}, "b": {}},
	} {
		NewWithT(t).Expect(namespaces(list)).To(Equal(wanted), "%q", list)
	}
}
