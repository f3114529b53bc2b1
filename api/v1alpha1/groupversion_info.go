// Package v1alpha1 contains the API of the consul-operator: types, conditions, labels and annotations.
//
// +kubebuilder:object:generate=true
// +groupName=consuloperator.io
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var (
	// GroupVersion identifies this API.
	GroupVersion = schema.GroupVersion{Group: "consuloperator.io", Version: "v1alpha1"}

	// SchemeBuilder collects the functions that add these types to a scheme.
	SchemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

	// AddToScheme adds these types to a scheme.
	AddToScheme = SchemeBuilder.AddToScheme
)

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&ConsulCluster{}, &ConsulClusterList{},
		&ConsulSnapshot{}, &ConsulSnapshotList{},
		&ConsulSnapshotSchedule{}, &ConsulSnapshotScheduleList{},
		&ConsulRestore{}, &ConsulRestoreList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
