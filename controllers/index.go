package controllers

import (
	"context"
	"reflect"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// indexes are by the labels by which a pass lists objects: without them it would look at those of all clusters of a namespace.
var indexes = []struct {
	kind  client.Object
	list  client.ObjectList
	label string
}{
	{&corev1.Pod{}, &corev1.PodList{}, v1alpha1.LabelCluster},
	{&corev1.PersistentVolumeClaim{}, &corev1.PersistentVolumeClaimList{}, v1alpha1.LabelCluster},
	{&corev1.Secret{}, &corev1.SecretList{}, v1alpha1.LabelCluster},
	{&discoveryv1.EndpointSlice{}, &discoveryv1.EndpointSliceList{}, discoveryv1.LabelServiceName},
}

// addIndexes has the cache keep the indexes. They are fields that have the name of the label.
func addIndexes(cache client.FieldIndexer) error {
	for _, index := range indexes {
		if err := cache.IndexField(context.Background(), index.kind, index.label, valueOf(index.label)); err != nil {
			return err
		}
	}
	return nil
}

func valueOf(label string) client.IndexerFunc {
	return func(o client.Object) []string {
		if value := o.GetLabels()[label]; value != "" {
			return []string{value}
		}
		return nil
	}
}

// indexed is a client whose lists by such a label use the index.
type indexed struct{ client.Client }

func (i indexed) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	var asked client.ListOptions
	asked.ApplyOptions(options)
	for _, index := range indexes {
		if asked.LabelSelector == nil || reflect.TypeOf(index.list) != reflect.TypeOf(list) {
			continue
		}
		if value, exact := asked.LabelSelector.RequiresExactMatch(index.label); exact {
			options = append(options, client.MatchingFields{index.label: value})
		}
	}
	return i.Client.List(ctx, list, options...)
}
