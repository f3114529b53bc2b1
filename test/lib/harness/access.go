package harness

import (
	"context"
	"crypto/tls"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/pki"
	"github.com/consul-operator/consul-operator/internal/resources"
	"github.com/consul-operator/consul-operator/test/lib/load"
)

// servesHTTPS reports whether all servers do.
func servesHTTPS(c *v1alpha1.ConsulCluster) bool {
	return c.Status.TLS == v1alpha1.TLSRequired || c.Status.TLS == v1alpha1.TLSHTTPSOnly
}

// accessTo is how the servers of a ConsulCluster are called, with what its users find in the cluster. Servers of anything
// else have no certificates.
func accessTo(ctx context.Context, api client.Client, key client.ObjectKey) (load.Access, error) {
	cluster := &v1alpha1.ConsulCluster{}
	err := api.Get(ctx, key, cluster)
	if apierrors.IsNotFound(err) || err == nil && !servesHTTPS(cluster) {
		return load.Access{}, nil
	}
	if err != nil {
		return load.Access{}, err
	}
	secret := &corev1.Secret{}
	name := client.ObjectKey{Namespace: key.Namespace, Name: resources.AuthoritiesSecretName(key.Name)}
	if err := api.Get(ctx, name, secret); err != nil {
		return load.Access{}, fmt.Errorf("reading whom to believe: %w", err)
	}
	return load.Access{TLS: &tls.Config{
		MinVersion: tls.VersionTLS12, RootCAs: pki.Roots(secret.Data[corev1.TLSCertKey]),
		// The name of the Service: clients go by it, and servers have it, too.
		ServerName: fmt.Sprintf("%s.%s.svc", key.Name, key.Namespace),
	}}, nil
}
