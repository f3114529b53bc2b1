package controllers

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// askAgainAfter is the pause between two questions to an API server that does not answer.
const askAgainAfter = time.Second

// AwaitAPIServer waits until the API server has told where it serves what the controllers watch, and returns what it told, for a
// manager. A manager does not wait: it would end, and the longer the API server is away, the later a kubelet starts the operator
// again. A kind that is not there is an error.
func AwaitAPIServer(
	ctx context.Context, log logr.Logger, server *rest.Config, scheme *runtime.Scheme,
) (meta.RESTMapper, error) {
	client, err := rest.HTTPClientFor(server)
	if err != nil {
		return nil, err
	}
	mapper, err := apiutil.NewDynamicRESTMapper(server, client)
	if err != nil {
		return nil, err
	}
	watched := append(slices.Collect(maps.Keys(Cache(nil).ByObject)), &v1alpha1.ConsulCluster{}, &v1alpha1.ConsulSnapshot{},
		&v1alpha1.ConsulSnapshotSchedule{}, &v1alpha1.ConsulRestore{})
	return mapper, awaitKinds(ctx, log, mapper, scheme, watched)
}

func awaitKinds(
	ctx context.Context, log logr.Logger, mapper meta.RESTMapper, scheme *runtime.Scheme, watched []client.Object,
) error {
	for _, o := range watched {
		kind, err := apiutil.GVKForObject(o, scheme)
		if err != nil {
			return err
		}
		for {
			_, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
			if err == nil {
				break
			}
			if meta.IsNoMatchError(err) {
				return fmt.Errorf("the API server does not serve %s: install the CustomResourceDefinition: %w", kind, err)
			}
			log.Info("The API server does not answer yet", "reason", err.Error())
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(askAgainAfter):
			}
		}
	}
	return nil
}
