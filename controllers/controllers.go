// Package controllers holds the reconcilers, one for each kind of the API. They are thin: observe, plan, execute, report.
package controllers

import (
	"context"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// Options of the controllers.
type Options struct {
	// Concurrent is the maximum number of concurrent reconciles of each kind.
	Concurrent int
	// Nodes is set if the operator may read nodes, and so sees which of them are draining.
	Nodes bool
	// Kubelets asks kubelets how full volumes are; nil if nobody does. It needs Nodes.
	Kubelets *http.Client
	// SecretDelay is how long kubelets may take to show pods a changed Secret.
	SecretDelay time.Duration
	// Self is which pods are the operator's own.
	Self resources.Self
	// Image is the operator's own image, which Jobs run; empty if it is not known.
	Image string
	// Dial makes the clients of Consul agents.
	Dial consul.Dialer
}

// kinds are the controllers: one for each kind of the API.
var kinds = []func(manager.Manager, Options) error{
	setupConsulCluster,
	setupConsulSnapshot,
	setupConsulSnapshotSchedule,
	setupConsulRestore,
}

// Setup adds the controllers of all kinds to a manager.
func Setup(mgr manager.Manager, o Options) error {
	for _, setup := range kinds {
		if err := setup(mgr, o); err != nil {
			return err
		}
	}
	return nil
}

// clusterOf is the cluster that an object is labeled with.
func clusterOf(_ context.Context, o client.Object) []reconcile.Request {
	name := o.GetLabels()[v1alpha1.LabelCluster]
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: o.GetNamespace(), Name: name}}}
}
