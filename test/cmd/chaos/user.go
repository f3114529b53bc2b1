package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// Versions that users go between. Consul bears going back within a minor version.
var versions = []string{"1.22.0", "1.22.7"}

// userSpec is what the user wants now, as far as it changes.
type userSpec struct {
	version  string
	replicas int
	ttl      int // seconds; a setting that means nothing here but another configuration
	names    int // that clients have had for the servers
	update   v1alpha1.UpdateType
}

// initialSpec is what the user begins with. One seed of three has servers that are updated in place.
func initialSpec(seed uint64) userSpec {
	spec := userSpec{version: versions[0], replicas: 3, update: v1alpha1.UpdateSurge}
	if seed%3 == 0 {
		spec.update = v1alpha1.UpdateInPlace
	}
	return spec
}

// fewestVoters is how many there always are: one server less while another is updated in place.
func (s userSpec) fewestVoters() int {
	if s.update == v1alpha1.UpdateInPlace {
		return s.replicas - 1
	}
	return s.replicas
}

// newCluster is the first cluster of this spec. A server that stays away is replaced soon, so that it happens in a run of
// minutes: a server that is killed again and again is restarted after minutes only. The quorum may be lost for good, although
// no fault takes the disks of most servers: where one has lost its disk, and another one's pod is deleted right then, that one
// leaves in good order, and two are left to agree of which one is dead.
func (s userSpec) newCluster(name string) *v1alpha1.ConsulCluster {
	return &v1alpha1.ConsulCluster{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: metav1.NamespaceDefault},
		Spec: v1alpha1.ConsulClusterSpec{
			Replicas: int32(s.replicas), Version: s.version, //nolint:gosec // three or five
			Storage:            v1alpha1.Storage{Size: resource.MustParse("1Gi")},
			Update:             v1alpha1.Update{Type: s.update, LeaderStableFor: &metav1.Duration{Duration: 5 * time.Second}},
			FailureReplacement: v1alpha1.FailureReplacement{After: &metav1.Duration{Duration: 45 * time.Second}},
			TLS:                v1alpha1.TLS{CAGracePeriod: &metav1.Duration{Duration: 2 * readSecretsEvery}},
			Recovery: v1alpha1.Recovery{
				Mode: v1alpha1.RecoveryAutomatic, After: &metav1.Duration{Duration: recoverAfter},
			},
		},
	}
}

// None of what a user does is a fault: all invariants have to hold through it.

func (f *faults) changeVersion(ctx context.Context) (string, error) {
	f.spec.version = versions[(slices.Index(versions, f.spec.version)+1)%len(versions)]
	return f.spec.version, f.Patch(ctx, func(c *v1alpha1.ConsulCluster) { c.Spec.Version = f.spec.version })
}

func (f *faults) changeConfig(ctx context.Context) (string, error) {
	f.spec.ttl++
	ttl := fmt.Sprintf("%ds", f.spec.ttl)
	config, err := v1alpha1.NewConfig(map[string]any{"dns_config": map[string]any{"node_ttl": ttl}})
	if err != nil {
		return "", err
	}
	return "dns_config.node_ttl " + ttl, f.Patch(ctx, func(c *v1alpha1.ConsulCluster) { c.Spec.Config = config })
}

func (f *faults) scale(ctx context.Context) (string, error) {
	f.spec.replicas = 3 + 5 - f.spec.replicas
	f.Observer.SetWanted(f.spec.fewestVoters())
	return fmt.Sprint(f.spec.replicas), f.Patch(ctx, func(c *v1alpha1.ConsulCluster) {
		c.Spec.Replicas = int32(f.spec.replicas) //nolint:gosec // three or five
	})
}

// transfer asks for a server by name, or for the best one.
func (f *faults) transfer(ctx context.Context) (string, error) {
	to := ""
	if server, err := f.victim(exists); err == nil && f.random.IntN(2) == 0 {
		to = server.Name
	}
	what := "to " + to
	if to == "" {
		what = "to the best server"
	}
	return what, f.Patch(ctx, func(c *v1alpha1.ConsulCluster) {
		metav1.SetMetaDataAnnotation(&c.ObjectMeta, v1alpha1.AnnotationTransferLeadership, to)
	})
}

// renameServers adds a name by which clients know the servers, in the place of the last one: servers get another certificate.
func (f *faults) renameServers(ctx context.Context) (string, error) {
	f.spec.names++
	name := f.clientName()
	return name, f.Patch(ctx, func(c *v1alpha1.ConsulCluster) { c.Spec.TLS.AdditionalDNSNames = []string{name} })
}

func (f *faults) clientName() string { return fmt.Sprintf("consul-%d.example", f.spec.names) }

// unwantedNames says that the certificate of the servers is not for the name by which clients know them.
func (f *faults) unwantedNames(ctx context.Context) []string {
	if f.spec.names == 0 {
		return nil
	}
	secret := &corev1.Secret{}
	key := client.ObjectKey{Namespace: f.Key.Namespace, Name: resources.CertificateSecretName(f.Key.Name)}
	if err := f.Client.Get(ctx, key, secret); err != nil {
		return []string{err.Error()}
	}
	pair, err := tls.X509KeyPair(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	if err == nil {
		err = pair.Leaf.VerifyHostname(f.clientName())
	}
	if err != nil {
		return []string{err.Error()}
	}
	return nil
}

// ask is a request by an annotation, which has to have another value each time.
func (f *faults) ask(annotation string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		at := time.Now().Format(time.RFC3339Nano)
		return at, f.Patch(ctx, func(c *v1alpha1.ConsulCluster) { metav1.SetMetaDataAnnotation(&c.ObjectMeta, annotation, at) })
	}
}
