package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

const (
	permissionsPage = "docs/security.md"
	role            = "config/rbac/role.yaml"
)

// whyPermitted says what the operator does with each resource. A permission that nobody explains is none that it needs.
var whyPermitted = map[string]string{
	"nodes":                  "tells a node that is drained or lost from one that works; not asked for with `watchNodes: false`",
	"persistentvolumeclaims": "the volumes of servers",
	"pods":                   "the servers",
	"pods/status":            "their readiness gate, by which a server gets clients and loses them",
	"secrets": "revisions, keys, certificates and tokens. " +
		"RBAC knows no names that begin with that of a cluster: set `watchNamespaces`",
	"serviceaccounts": "the identity of the servers, which has no permissions",
	"services":        "the Service for clients, and the one by which servers join",
	"consulclusters": "reads them, and writes its records; " +
		"`record` is no verb of Kubernetes: by it, an admission policy knows who writes them",
	"consulclusters/finalizers": "makes objects go with their cluster, where the API server checks who may do that",
	"consulclusters/status":     "the status",
	"endpointslices":            "waits until a server that retires gets no more connections",
	"events":                    "tells what it does",
	"podmonitors":               "the PodMonitor of `spec.metrics`",
	"networkpolicies":           "the NetworkPolicy of the servers",
	"poddisruptionbudgets":      "the PodDisruptionBudget of the servers",
}

// permissions is the table of what the operator may do in Kubernetes.
func permissions() (string, error) {
	text, err := os.ReadFile(role)
	if err != nil {
		return "", err
	}
	var permitted rbacv1.ClusterRole
	if err := yaml.UnmarshalStrict(text, &permitted); err != nil {
		return "", fmt.Errorf("%s: %w", role, err)
	}
	var b strings.Builder
	b.WriteString("\n| resource | the operator may | why |\n|---|---|---|\n")
	unused := maps.Clone(whyPermitted)
	for _, rule := range permitted.Rules {
		for _, resource := range rule.Resources {
			why := whyPermitted[resource]
			if why == "" {
				return "", fmt.Errorf("%s: nothing says why the operator needs %s", role, resource)
			}
			delete(unused, resource)
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", resource, strings.Join(rule.Verbs, ", "), why)
		}
	}
	if len(unused) > 0 {
		return "", fmt.Errorf("%s does not have %s any more", role, strings.Join(slices.Sorted(maps.Keys(unused)), ", "))
	}
	b.WriteString("\n")
	return b.String(), nil
}
