package v1alpha1_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// A Go program builds a cluster like this. The API server sets defaults for the fields that are left out. Always set
// storage.size: a Go client sends an empty Quantity as "0", which validation refuses.
func ExampleConsulCluster() {
	config, err := v1alpha1.NewConfig(map[string]any{"log_level": "INFO"})
	if err != nil {
		panic(err)
	}
	cluster := &v1alpha1.ConsulCluster{
		TypeMeta: metav1.TypeMeta{
			APIVersion: v1alpha1.GroupVersion.String(),
			Kind:       "ConsulCluster",
		},
		ObjectMeta: metav1.ObjectMeta{Name: "consul", Namespace: "default"},
		Spec: v1alpha1.ConsulClusterSpec{
			Replicas: 5,
			Version:  "1.22.7",
			Storage:  v1alpha1.Storage{Size: resource.MustParse("20Gi"), Retention: v1alpha1.RetentionRetain},
			Config:   config,
			Update: v1alpha1.Update{
				MaxSurge:        2,
				LeaderStableFor: &metav1.Duration{Duration: 30 * time.Second},
			},
		},
	}

	sent, err := yaml.Marshal(cluster.Spec)
	if err != nil {
		panic(err)
	}
	fmt.Print(string(sent))
	// Output:
	// config:
	//   log_level: INFO
	// failureReplacement: {}
	// podTemplate:
	//   metadata: {}
	//   resources: {}
	// recovery: {}
	// replicas: 5
	// storage:
	//   retention: Retain
	//   size: 20Gi
	// update:
	//   leaderStableFor: 30s
	//   maxSurge: 2
	// version: 1.22.7
}

// A client that reads and writes ConsulClusters needs their types in its scheme.
func ExampleAddToScheme() {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		panic(err)
	}
	kinds, _, err := scheme.ObjectKinds(&v1alpha1.ConsulCluster{})
	if err != nil {
		panic(err)
	}
	fmt.Println(kinds[0])
	// Output:
	// consuloperator.io/v1alpha1, Kind=ConsulCluster
}

// Conditions say whether a cluster is as wanted, whether it serves clients, and whether a person has to act. While
// observedGeneration is lower than generation, the status does not reflect the latest spec yet.
func ExampleConsulClusterStatus() {
	cluster := &v1alpha1.ConsulCluster{
		ObjectMeta: metav1.ObjectMeta{Name: "consul", Generation: 2},
		Status: v1alpha1.ConsulClusterStatus{
			ObservedGeneration: 2,
			Conditions: []metav1.Condition{
				{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: "WaitingForVoter",
					Message: "consul-3 is not a voter yet"},
				{Type: v1alpha1.ConditionAvailable, Status: metav1.ConditionTrue, Reason: "Available"},
				{Type: v1alpha1.ConditionStalled, Status: metav1.ConditionFalse, Reason: "WaitingForVoter"},
			},
		},
	}

	conditions := cluster.Status.Conditions
	current := cluster.Status.ObservedGeneration == cluster.Generation
	fmt.Println("as wanted:", current && meta.IsStatusConditionTrue(conditions, v1alpha1.ConditionReady))
	fmt.Println("serves clients:", meta.IsStatusConditionTrue(conditions, v1alpha1.ConditionAvailable))
	fmt.Println("needs a person:", meta.IsStatusConditionTrue(conditions, v1alpha1.ConditionStalled))
	if ready := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady); ready != nil {
		fmt.Printf("%s: %s\n", ready.Reason, ready.Message)
	}
	// Output:
	// as wanted: false
	// serves clients: true
	// needs a person: false
	// WaitingForVoter: consul-3 is not a voter yet
}

// NewConfig makes Consul agent configuration from a map; Values returns it as a map.
func ExampleNewConfig() {
	config, err := v1alpha1.NewConfig(map[string]any{
		"log_level": "INFO",
		"telemetry": map[string]any{"prometheus_retention_time": "1m"},
	})
	if err != nil {
		panic(err)
	}
	values, err := config.Values()
	if err != nil {
		panic(err)
	}
	fmt.Println(values["log_level"], values["telemetry"])
	// Output:
	// INFO map[prometheus_retention_time:1m]
}

// A Config keeps what the user wrote, including keys that the operator does not know and integers too large for a float64.
func ExampleConfig() {
	written := []byte(`{"limits":{"rpc_rate":9007199254740993},"ports":{"grpc_tls":8503}}`)

	var config v1alpha1.Config
	if err := json.Unmarshal(written, &config); err != nil {
		panic(err)
	}
	read, err := json.Marshal(config)
	if err != nil {
		panic(err)
	}
	fmt.Println(slices.Equal(read, written))

	values, err := config.Values()
	if err != nil {
		panic(err)
	}
	fmt.Println(values["limits"])
	// Output:
	// true
	// map[rpc_rate:9007199254740993]
}
