package main

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/pki"
	"github.com/consul-operator/consul-operator/internal/resources"
	"github.com/consul-operator/consul-operator/test/lib/harness"
)

// change is what a user asks of a cluster that runs.
type change struct {
	what string
	ask  func(*v1alpha1.ConsulCluster)
	// done tells from what there was before whether it has come about, apart from Ready.
	done func(before, now state) bool
}

// changes are in the order in which one cluster goes through them.
var changes = []change{
	{"replacement of all servers, open", annotate(v1alpha1.AnnotationRestartedAt), replaced},
	{"gossip encryption on", func(c *v1alpha1.ConsulCluster) { c.Spec.GossipEncryption.Enabled = new(true) },
		func(_, now state) bool { return now.cluster.Status.GossipEncryption == v1alpha1.GossipRequired }},
	{"TLS on, beside HTTP", func(c *v1alpha1.ConsulCluster) { c.Spec.TLS.Enabled = new(true) },
		func(_, now state) bool { return now.cluster.Status.TLS == v1alpha1.TLSRequired }},
	{"HTTPS only", func(c *v1alpha1.ConsulCluster) { c.Spec.TLS.HTTPSOnly = new(true) },
		func(_, now state) bool { return now.cluster.Status.TLS == v1alpha1.TLSHTTPSOnly }},
	{"ACLs on, nobody is denied", func(c *v1alpha1.ConsulCluster) { c.Spec.ACLs.Enabled = new(true) },
		func(_, now state) bool { return now.cluster.Status.ACLs == v1alpha1.ACLsAllow }},
	{"ACLs deny", func(c *v1alpha1.ConsulCluster) { c.Spec.ACLs.DefaultPolicy = v1alpha1.ACLDefaultDeny },
		func(_, now state) bool { return now.cluster.Status.ACLs == v1alpha1.ACLsDeny }},
	{"replacement of all servers, secured", annotate(v1alpha1.AnnotationRestartedAt), replaced},
	{"another gossip key", annotate(v1alpha1.AnnotationRotateGossipKey), func(before, now state) bool {
		return differs(before.gossip, now.gossip, "key") && resources.GossipStageOf(now.gossip) == resources.GossipSettled
	}},
	{"other certificates", func(c *v1alpha1.ConsulCluster) { c.Spec.TLS.AdditionalDNSNames = []string{"consul.example.com"} },
		func(before, now state) bool {
			return differs(before.certificate, now.certificate, corev1.TLSCertKey) && presented(now)
		}},
	{"another authority", annotate(v1alpha1.AnnotationRotateAuthority), func(before, now state) bool {
		believed := now.authorities.Data[corev1.TLSCertKey]
		return len(believed) > 0 && !pki.Believes(believed, before.authorities.Data[corev1.TLSCertKey]) &&
			pki.Same(resources.Authorities(now.certificate), believed) && presented(now)
	}},
	{"other ACL tokens", annotate(v1alpha1.AnnotationRotateTokens), func(before, now state) bool {
		return differs(before.management, now.management, "token") && resources.TokenStageOf(now.tokens) == resources.TokensRevoked
	}},
}

// annotate asks for what an annotation asks for. Its value is of no account as long as it is another one.
func annotate(key string) func(*v1alpha1.ConsulCluster) {
	return func(c *v1alpha1.ConsulCluster) {
		if c.Annotations == nil {
			c.Annotations = map[string]string{}
		}
		c.Annotations[key] += "again"
	}
}

func differs(before, now *corev1.Secret, key string) bool {
	return string(before.Data[key]) != string(now.Data[key])
}

// presented tells whether the cluster became Ready after its servers got their newest certificate: that is when all present it.
func presented(now state) bool {
	ready := apimeta.FindStatusCondition(now.cluster.Status.Conditions, v1alpha1.ConditionReady)
	return ready != nil && ready.LastTransitionTime.After(resources.KeysChanged(now.certificate))
}

func replaced(before, now state) bool {
	for _, server := range now.cluster.Status.Servers {
		for _, former := range before.cluster.Status.Servers {
			if former.Name == server.Name {
				return false
			}
		}
	}
	return true
}

// state is what a change leaves in the API server. Secrets that are not there are empty.
type state struct {
	cluster *v1alpha1.ConsulCluster

	gossip, certificate, authorities, management, tokens *corev1.Secret
}

func look(ctx context.Context, s *harness.Scene) (state, error) {
	cluster, err := s.Get(ctx)
	seen := state{cluster: cluster}
	for name, secret := range map[string]**corev1.Secret{
		resources.GossipSecretName(s.Key.Name):      &seen.gossip,
		resources.CertificateSecretName(s.Key.Name): &seen.certificate,
		resources.AuthoritiesSecretName(s.Key.Name): &seen.authorities,
		resources.ManagementSecretName(s.Key.Name):  &seen.management,
		resources.TokensSecretName(s.Key.Name):      &seen.tokens,
	} {
		*secret = &corev1.Secret{}
		key := client.ObjectKey{Namespace: s.Key.Namespace, Name: name}
		if err == nil {
			err = client.IgnoreNotFound(s.Client.Get(ctx, key, *secret))
		}
	}
	return seen, err
}
