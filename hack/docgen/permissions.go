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
	"nodes": "tells a node that is drained or lost from one that works; not asked for with `watchNodes: false`",
	"nodes/stats": "asks kubelets how full the volumes of servers are; not asked for with `volumeUsage.enabled: false` or " +
		"`watchNodes: false`",
	"persistentvolumeclaims": "the volumes of servers",
	"pods":                   "the servers",
	"pods/status":            "their readiness gate, by which a server gets clients and loses them",
	"secrets": "revisions, keys, certificates and tokens. " +
		"RBAC knows no names that begin with that of a cluster: set `watchNamespaces`",
	"serviceaccounts": "the identity of the servers, which has no permissions",
	"services":        "the Service for clients, and the one by which servers join",
	"consulclusters": "reads them, and writes its records; " +
		"`record` is no verb of Kubernetes: by it, an admission policy knows who writes them",
	"consulsnapshots":                    "takes snapshots before upgrades and on schedules, and deletes those that are not kept",
	"consulsnapshots/finalizers":         "as for consulclusters",
	"consulsnapshots/status":             "the status",
	"consulsnapshotschedules":            "reads them",
	"consulsnapshotschedules/finalizers": "as for consulclusters",
	"consulsnapshotschedules/status":     "the status",
	"consulrestores":                     "reads them, and asks for the one with which a new cluster begins",
	"consulrestores/finalizers":          "as for consulclusters",
	"consulrestores/status":              "the status",
	"jobs":                               "the Jobs that save, verify, restore and delete snapshots",
	"consulclusters/finalizers":          "makes objects go with their cluster, where the API server checks who may do that",
	"consulclusters/status":              "the status",
	"endpointslices":                     "waits until a server that retires gets no more connections",
	"events":                             "reads why the pod of a snapshot's Job does not start",
	"events.events.k8s.io":               "tells what it does",
	"podmonitors":                        "the PodMonitor of `spec.metrics`",
	"networkpolicies":                    "the NetworkPolicy of the servers",
	"poddisruptionbudgets":               "the PodDisruptionBudget of the servers",
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
			why := whyPermitted[keyOf(rule, resource)]
			if why == "" {
				return "", fmt.Errorf("%s: nothing says why the operator needs %s", role, keyOf(rule, resource))
			}
			delete(unused, keyOf(rule, resource))
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", resource, strings.Join(rule.Verbs, ", "), why)
		}
	}
	if len(unused) > 0 {
		return "", fmt.Errorf("%s does not have %s any more", role, strings.Join(slices.Sorted(maps.Keys(unused)), ", "))
	}
	b.WriteString("\n")
	return b.String(), nil
}

// keyOf is the name of a resource; that of events differs from the older ones of the same name.
func keyOf(rule rbacv1.PolicyRule, resource string) string {
	if resource == "events" && slices.Contains(rule.APIGroups, "events.k8s.io") {
		return "events.events.k8s.io"
	}
	return resource
}
