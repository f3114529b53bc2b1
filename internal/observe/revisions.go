package observe

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// revisions fills in what the Secret of each revision in use has to hold. Pods are created from it, and who may write Secrets
// may not be allowed to create pods.
func (o *Observer) revisions(ctx context.Context, s *Snapshot) error {
	var secrets corev1.SecretList
	if err := o.Reader.List(ctx, &secrets, client.InNamespace(s.Cluster.Namespace), client.MatchingLabels{
		v1alpha1.LabelCluster: s.Cluster.Name, v1alpha1.LabelClusterUID: string(s.Cluster.UID),
	}); err != nil {
		return fmt.Errorf("listing revisions: %w", err)
	}
	present := map[string]string{}
	for i := range secrets.Items {
		if secret := &secrets.Items[i]; resources.Belongs(s.Cluster, secret) {
			present[secret.Labels[v1alpha1.LabelRevision]] = resources.CachedDigest(secret)
		}
	}
	s.rendered = rendered(s.Cluster)
	s.Revisions = believed(s, present)
	return nil
}

// believed are the digests that count.
func believed(s *Snapshot, present map[string]string) []v1alpha1.RevisionStatus {
	recorded := map[string]string{}
	if resources.HasOwnStatus(s.Cluster) {
		for _, revision := range s.Cluster.Status.Revisions {
			recorded[revision.Name] = revision.Digest
		}
	}
	noneRecorded := s.Cluster.Status.ObservedGeneration > 0 && len(recorded) == 0 && len(s.Servers) > 0
	var all []v1alpha1.RevisionStatus
	for _, name := range inUse(s) {
		digest := recorded[name]
		if digest == "" && noneRecorded {
			digest = present[name]
		}
		if digest = s.believe(name, digest, present[name]); digest != "" {
			all = append(all, v1alpha1.RevisionStatus{Name: name, Digest: digest})
		}
	}
	return all
}

// believe is what a Secret has to hold. What the status has recorded counts, and of the wanted revision also what this operator
// would write, which it may have written since. Without a record, a revision that is not wanted any more is believed while pods
// run that were created from it.
func (s *Snapshot) believe(revision, recorded, present string) string {
	isWanted := revision == s.Spec.Revision
	switch {
	case isWanted && s.rendered != "" && present == s.rendered:
		return present
	case recorded != "":
		return recorded
	case isWanted:
		return s.rendered
	case runs(s, revision):
		return present
	}
	return ""
}

// inUse are the revisions that servers run or are to run, by name.
func inUse(s *Snapshot) []string {
	names := []string{s.Spec.Revision}
	for _, server := range s.Servers {
		names = append(names, server.Revision)
		if server.Pod != nil {
			names = append(names, server.Pod.Revision)
		}
	}
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), func(name string) bool { return name == "" })
}

func runs(s *Snapshot, revision string) bool {
	for _, server := range s.Servers {
		if server.Pod != nil && server.Pod.Revision == revision {
			return true
		}
	}
	return false
}

// rendered is the digest of the wanted revision as this operator writes it; empty if spec.config cannot be parsed.
func rendered(c *v1alpha1.ConsulCluster) string {
	secret, err := resources.RevisionSecret(c)
	if err != nil {
		return ""
	}
	return resources.Digest(secret)
}

// HasWritten reports whether a Secret holds what the operator has written for a revision.
func (s *Snapshot) HasWritten(revision string, secret *corev1.Secret) bool {
	digest := resources.Digest(secret)
	return slices.Contains(s.Revisions, v1alpha1.RevisionStatus{Name: revision, Digest: digest}) ||
		revision == s.Spec.Revision && digest != "" && digest == s.rendered
}
