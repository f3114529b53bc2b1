package plugin

// Right is what a person has to be allowed in the namespace of the cluster, or in all, to run a command.
type Right struct {
	// Group is the API group; empty for the core.
	Group string
	// Resource is the plural, with its subresource if it is one.
	Resource string
	Verbs    []string
	// For says what is missing without it, if the command works without it all the same; empty if it does not work.
	For string
}

const group = "consuloperator.io"

var (
	readClusters  = Right{Group: group, Resource: "consulclusters", Verbs: []string{"get", "list"}}
	watchClusters = Right{Group: group, Resource: "consulclusters", Verbs: []string{"get", "list", "watch"}}
	patchClusters = Right{Group: group, Resource: "consulclusters", Verbs: []string{"get", "list", "watch", "patch"}}
	listPods      = Right{Resource: "pods", Verbs: []string{"list"}}
	readSecrets   = Right{Resource: "secrets", Verbs: []string{"get"}}
	// API servers ask for "get" of a WebSocket and for "create" of SPDY, newer ones for both of a WebSocket.
	forwardPorts = Right{Resource: "pods/portforward", Verbs: []string{"create", "get"}}
)

// rights are what each command needs. That a user may do a thing with `kubectl consul` is never more than that he may do it with
// kubectl.
var rights = map[string][]Right{
	"status": {
		watchClusters,
		{Resource: "pods", Verbs: []string{"list"}, For: "nodes and ages of the servers"},
		{Resource: "nodes", Verbs: []string{"list"}, For: "zones of the servers"},
		{Group: group, Resource: "consulsnapshots", Verbs: []string{"list"}, For: "the last snapshot"},
	},
	"explain":  {readClusters},
	"upgrade":  {patchClusters},
	"scale":    {patchClusters},
	"restart":  {patchClusters},
	"transfer": {patchClusters},
	"rotate":   {patchClusters},
	"pause":    {{Group: group, Resource: "consulclusters", Verbs: []string{"get", "list", "patch"}}},
	"resume":   {{Group: group, Resource: "consulclusters", Verbs: []string{"get", "list", "patch"}}},
	"replace":  {watchClusters, {Resource: "persistentvolumeclaims", Verbs: []string{"get", "delete"}}},
	"recover": {
		patchClusters,
		{Resource: "pods", Verbs: []string{"list"}, For: "which servers have pods"},
		{Resource: "persistentvolumeclaims", Verbs: []string{"list"}, For: "which servers have volumes"},
		{Group: group, Resource: "consulsnapshots", Verbs: []string{"list"}, For: "the last snapshot"},
	},
	"drain": { // in all namespaces
		readClusters, listPods,
		{Resource: "nodes", Verbs: []string{"get", "list"}, For: "whether another node takes a server"},
		{Group: "policy", Resource: "poddisruptionbudgets", Verbs: []string{"list"}, For: "whether the operator sees nodes"},
	},
	"report": {
		readClusters,
		{Resource: "pods", Verbs: []string{"list"}, For: "pods, and all logs"},
		{Resource: "pods/log", Verbs: []string{"get"}, For: "logs of servers and Jobs, and of the operator"},
		{Resource: "persistentvolumeclaims", Verbs: []string{"list"}, For: "volumes"},
		{Resource: "services", Verbs: []string{"list"}, For: "Services"},
		{Resource: "secrets", Verbs: []string{"list"}, For: "names and types of Secrets; nothing else of them is asked for"},
		{Resource: "events", Verbs: []string{"list"}, For: "events"},
		{Resource: "nodes", Verbs: []string{"list"}, For: "labels, taints and conditions of nodes"},
		{Group: "policy", Resource: "poddisruptionbudgets", Verbs: []string{"list"}, For: "the disruption budget"},
		{Group: "networking.k8s.io", Resource: "networkpolicies", Verbs: []string{"list"}, For: "NetworkPolicies"},
		{Group: "batch", Resource: "jobs", Verbs: []string{"list"}, For: "Jobs of snapshots"},
		{Group: group, Resource: "consulsnapshots", Verbs: []string{"list"}, For: "ConsulSnapshots"},
		{Group: group, Resource: "consulsnapshotschedules", Verbs: []string{"list"}, For: "ConsulSnapshotSchedules"},
		{Group: group, Resource: "consulrestores", Verbs: []string{"list"}, For: "ConsulRestores"},
	},
	"version": {
		readClusters,
		{Resource: "pods", Verbs: []string{"list"}, For: "the version of the operator; in all namespaces"},
	},
	"logs": {readClusters, listPods, {Resource: "pods/log", Verbs: []string{"get"}}},
	"exec": {readClusters, listPods, {Resource: "pods/exec", Verbs: []string{"create", "get"}}},
	"ui": {
		readClusters, forwardPorts, {Resource: "pods", Verbs: []string{"get", "list", "watch"}},
		{Resource: "secrets", Verbs: []string{"get"}, For: "`--show-token`"},
	},
	"token": {readClusters, readSecrets},
	"snapshot save": {
		readClusters, {Group: group, Resource: "consulsnapshots", Verbs: []string{"create", "get", "list", "watch"}},
		{Resource: "pods", Verbs: []string{"list"}, For: "`--to`"},
		{Resource: "pods/portforward", Verbs: []string{"create", "get"}, For: "`--to`"},
		{Resource: "secrets", Verbs: []string{"get"}, For: "`--to`, with ACLs"},
	},
	"snapshot list":    {{Group: group, Resource: "consulsnapshots", Verbs: []string{"list"}}},
	"snapshot inspect": {{Group: group, Resource: "consulsnapshots", Verbs: []string{"get"}}},
	"snapshot restore": {
		readClusters, {Group: group, Resource: "consulsnapshots", Verbs: []string{"get"}},
		{Group: group, Resource: "consulrestores", Verbs: []string{"create", "get", "list", "watch"}},
		{Resource: "pods", Verbs: []string{"create"}, For: "all but `--from`, where the chart's admission policies are"},
		{Resource: "pods", Verbs: []string{"list"}, For: "`--from`"},
		{Resource: "pods/portforward", Verbs: []string{"create", "get"}, For: "`--from`"},
		{Resource: "secrets", Verbs: []string{"get"}, For: "`--from`, with ACLs"},
	},
}

// Rights returns what a person needs for a command, such as "upgrade" or "snapshot save".
func Rights(command string) []Right { return rights[command] }
