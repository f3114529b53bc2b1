package plugin

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// evidence is what a report is made of, secrets included: redactor takes them out.
type evidence struct {
	picture
	at time.Time
	// versions are of what takes part.
	versions []fact
	kinds    []objects
	nodes    []corev1.Node
	events   []corev1.Event
	// secrets are names and types. Nothing else of a Secret is read.
	secrets []secretName
	logs    []logText
	// gaps are what could not be read.
	gaps []gap
}

// objects are those of a kind, in a file.
type objects struct {
	file, title string
	items       []client.Object
}

type secretName struct{ name, kind string }

type logText struct{ file, text string }

type gap struct {
	what string
	why  error
}

func (e *evidence) miss(what string, why error) { e.gaps = append(e.gaps, gap{what, why}) }

// source is a list of objects that belong to a cluster.
type source struct {
	file, title string
	list        client.ObjectList
	labels      client.MatchingLabels
}

// sources are what a report has beside the ConsulCluster. Those without a label name their cluster.
func sources(cluster string) []source {
	ours := client.MatchingLabels{v1alpha1.LabelCluster: cluster}
	return []source{
		{"snapshots.yaml", "ConsulSnapshots", &v1alpha1.ConsulSnapshotList{}, nil},
		{"schedules.yaml", "ConsulSnapshotSchedules", &v1alpha1.ConsulSnapshotScheduleList{}, nil},
		{"restores.yaml", "ConsulRestores", &v1alpha1.ConsulRestoreList{}, nil},
		{"pods.yaml", "pods of the servers", &corev1.PodList{}, ours},
		{"job-pods.yaml", "pods of Jobs", &corev1.PodList{}, client.MatchingLabels{v1alpha1.LabelSnapshotsOf: cluster}},
		{"claims.yaml", "volume claims", &corev1.PersistentVolumeClaimList{}, ours},
		{"budgets.yaml", "disruption budget", &policyv1.PodDisruptionBudgetList{}, ours},
		{"services.yaml", "Services", &corev1.ServiceList{}, ours},
		{"networkpolicies.yaml", "NetworkPolicies", &networkingv1.NetworkPolicyList{}, ours},
		{"jobs.yaml", "Jobs", &batchv1.JobList{}, ours},
	}
}

// gather reads everything that a report has.
func (s *session) gather(ctx context.Context) (*evidence, error) {
	p, err := s.look(ctx, nil)
	if err != nil {
		return nil, err
	}
	e := &evidence{picture: p, at: time.Now()}
	e.kinds = []objects{{"cluster.yaml", "the ConsulCluster", []client.Object{p.ConsulCluster}}}
	for _, from := range sources(s.key.Name) {
		options := []client.ListOption{client.InNamespace(s.key.Namespace)}
		if from.labels != nil {
			options = append(options, from.labels)
		}
		if err := s.client.List(ctx, from.list, options...); err != nil {
			e.miss(from.file, err)
			continue
		}
		e.kinds = append(e.kinds, objects{from.file, from.title, itemsOf(from.list, s.key.Name)})
	}
	var nodes corev1.NodeList
	if err := s.client.List(ctx, &nodes); err != nil {
		e.miss("nodes.yaml", err)
	}
	e.nodes = nodes.Items
	var events corev1.EventList
	if err := s.client.List(ctx, &events, client.InNamespace(s.key.Namespace)); err != nil {
		e.miss("events.txt", err)
	}
	e.events = e.about(events.Items)
	s.gatherSecrets(ctx, e)
	return e, s.gatherLogs(ctx, e)
}

// itemsOf are the objects of a list that belong to a cluster.
func itemsOf(list client.ObjectList, cluster string) (items []client.Object) {
	_ = meta.EachListItem(list, func(item runtime.Object) error { // no error: it is a list
		o, isObject := item.(client.Object)
		if isObject && isAbout(o, cluster) {
			items = append(items, o)
		}
		return nil
	})
	return items
}

// isAbout reports whether an object is about a cluster. What is found by a label is.
func isAbout(o client.Object, cluster string) bool {
	switch o := o.(type) {
	case *v1alpha1.ConsulSnapshot:
		return o.Spec.ClusterName == cluster
	case *v1alpha1.ConsulSnapshotSchedule:
		return o.Spec.ClusterName == cluster
	case *v1alpha1.ConsulRestore:
		return o.Spec.ClusterName == cluster
	}
	return true
}

// about are the events of the cluster, of what belongs to it, and of servers that are gone, by time.
func (e *evidence) about(all []corev1.Event) []corev1.Event {
	names := map[string]bool{}
	for _, kind := range e.kinds {
		for _, o := range kind.items {
			names[o.GetName()] = true
		}
	}
	events := slices.DeleteFunc(slices.Clone(all), func(event corev1.Event) bool {
		_, isServer := resources.Serial(e.Name, event.InvolvedObject.Name)
		return !names[event.InvolvedObject.Name] && !isServer
	})
	slices.SortStableFunc(events, func(a, b corev1.Event) int { return happened(a).Compare(happened(b)) })
	return events
}

// happened is when something happened last.
func happened(event corev1.Event) time.Time {
	for _, at := range []time.Time{event.LastTimestamp.Time, event.EventTime.Time, event.FirstTimestamp.Time} {
		if event.Series != nil && event.Series.LastObservedTime.After(at) {
			at = event.Series.LastObservedTime.Time
		}
		if !at.IsZero() {
			return at
		}
	}
	return event.CreationTimestamp.Time
}

// secretTypes are those that are told apart. Metadata have no type, but the API server selects by it.
var secretTypes = []corev1.SecretType{
	corev1.SecretTypeOpaque, corev1.SecretTypeTLS, corev1.SecretTypeDockerConfigJson, corev1.SecretTypeDockercfg,
	corev1.SecretTypeBasicAuth, corev1.SecretTypeServiceAccountToken,
}

// gatherSecrets reads the names of the Secrets that belong to the cluster, or that its spec names, and their types. It asks for
// metadata alone: the API server does not send what is in them.
func (s *session) gatherSecrets(ctx context.Context, e *evidence) {
	listed := func(options ...client.ListOption) (names []string, err error) {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("SecretList"))
		err = s.client.List(ctx, list, append(options, client.InNamespace(s.key.Namespace))...)
		for _, secret := range list.Items {
			if secret.Labels[v1alpha1.LabelCluster] == s.key.Name || slices.Contains(secretsNamed(e.ConsulCluster), secret.Name) {
				names = append(names, secret.Name)
			}
		}
		return names, err
	}
	names, err := listed()
	if err != nil {
		e.miss("secrets.txt", err)
		return
	}
	types := map[string]string{}
	for _, kind := range secretTypes {
		typed, err := listed(client.MatchingFields{"type": string(kind)})
		if err != nil {
			e.miss("the types of the Secrets", err)
			break
		}
		for _, name := range typed {
			types[name] = string(kind)
		}
	}
	for _, name := range slices.Sorted(slices.Values(names)) {
		e.secrets = append(e.secrets, secretName{name, types[name]})
	}
}

// secretsNamed are the names of the Secrets that the spec of a cluster names.
func secretsNamed(c *v1alpha1.ConsulCluster) (names []string) {
	raw, err := json.Marshal(c.Spec)
	if err != nil {
		return nil
	}
	spec, _ := leadingJSON(string(raw))
	var walk func(value any, isReference bool)
	walk = func(value any, isReference bool) {
		switch v := value.(type) {
		case []any:
			for _, item := range v {
				walk(item, isReference)
			}
		case map[string]any:
			for key, field := range v {
				lower := strings.ToLower(key)
				name, isText := field.(string)
				if isText && (isReference && key == "name" || key == "secretName") {
					names = append(names, name)
				}
				walk(field, strings.HasSuffix(lower, "secretref") || lower == "secretkeyref" || lower == "imagepullsecrets")
			}
		}
	}
	walk(spec, false)
	return names
}

// knownIDs are the UUIDs that are no secrets: those of the servers that there are and were, and of the objects.
func (e *evidence) knownIDs() (ids []string) {
	for _, server := range e.Status.Servers {
		ids = append(ids, server.ID)
	}
	next, _ := strconv.Atoi(e.Annotations[v1alpha1.AnnotationNextSerial]) // a damaged one hides some ids
	for serial := max(0, next-300); serial < next; serial++ {
		ids = append(ids, resources.NodeID(resources.Identity(e.ConsulCluster), resources.ServerName(e.Name, serial)))
	}
	for _, kind := range e.kinds {
		for _, o := range kind.items {
			ids = append(ids, string(o.GetUID()), o.GetLabels()[v1alpha1.LabelClusterUID])
			for _, owner := range o.GetOwnerReferences() {
				ids = append(ids, string(owner.UID))
			}
		}
	}
	for _, event := range e.events {
		ids = append(ids, string(event.InvolvedObject.UID))
	}
	return ids
}

// versionsOf are the versions of what takes part.
func versionsOf(plugin, kubernetes string, operators []corev1.Pod, c *v1alpha1.ConsulCluster) []fact {
	all := []fact{{"plugin", plugin}, {"Kubernetes", dash(kubernetes)}}
	for _, pod := range operators {
		for _, container := range pod.Spec.Containers {
			all = append(all, fact{"operator", fmt.Sprintf("%s (%s/%s)", container.Image, pod.Namespace, pod.Name)})
		}
	}
	for _, server := range c.Status.Servers {
		all = append(all, fact{"Consul", fmt.Sprintf("%s (%s)", dash(server.Version), server.Name)})
	}
	return all
}
