package main

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/test/lib/harness"
)

const joinService = clusterName + "-join"

// createStatefulSet makes Consul the way charts do: a real StatefulSet, rolled by Kubernetes' own controller from the
// highest ordinal down, a server at a time, the next one when the pod is Ready. Consul's defaults apply but for
// leave_on_terminate, which decides what SIGTERM means.
func createStatefulSet(leave bool) createFunc {
	return func(ctx context.Context, s *harness.Scene, replicas int, version string) error {
		for _, object := range statefulSetObjects(s.Key.Namespace, version, replicas, leave) {
			if err := s.Client.Create(ctx, object); err != nil {
				return err
			}
		}
		return nil
	}
}

func upgradeStatefulSet(ctx context.Context, s *harness.Scene, version string) error {
	set := &appsv1.StatefulSet{}
	if err := s.Client.Get(ctx, s.Key, set); err != nil {
		return err
	}
	before := set.DeepCopy()
	set.Spec.Template.Spec.Containers[0].Image = image(version)
	return s.Client.Patch(ctx, set, client.StrategicMergeFrom(before))
}

func image(version string) string { return "hashicorp/consul:" + version }

func statefulSetObjects(namespace, version string, replicas int, leave bool) []client.Object {
	// The label that the observer looks for, and the operator as well: no ConsulCluster has these pods, so it lets
	// them be.
	labels := map[string]string{v1alpha1.LabelCluster: clusterName}
	meta := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels}
	}
	http := corev1.ServicePort{Name: "http", Port: 8500, TargetPort: intstr.FromInt32(8500)}
	serf := corev1.ServicePort{Name: "serf-lan", Port: 8301, TargetPort: intstr.FromInt32(8301)}
	return []client.Object{
		&corev1.Service{ObjectMeta: meta(clusterName), Spec: corev1.ServiceSpec{
			Selector: labels, Ports: []corev1.ServicePort{http},
		}},
		&corev1.Service{ObjectMeta: meta(joinService), Spec: corev1.ServiceSpec{
			Selector: labels, Ports: []corev1.ServicePort{serf},
			ClusterIP: corev1.ClusterIPNone, PublishNotReadyAddresses: true,
		}},
		&appsv1.StatefulSet{ObjectMeta: meta(clusterName), Spec: appsv1.StatefulSetSpec{
			Replicas:            ptr.To(int32(replicas)), //nolint:gosec // a handful
			ServiceName:         joinService,
			PodManagementPolicy: appsv1.ParallelPodManagement,
			Selector:            &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       podSpec(version, replicas, leave),
			},
			VolumeClaimTemplates: []corev1.PersistentVolumeClaim{{
				ObjectMeta: metav1.ObjectMeta{Name: "data"},
				Spec: corev1.PersistentVolumeClaimSpec{
					AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
					Resources: corev1.VolumeResourceRequirements{
						Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")},
					},
				},
			}},
		}},
	}
}

func podSpec(version string, replicas int, leave bool) corev1.PodSpec {
	field := func(name, path string) corev1.EnvVar {
		return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: path}}}
	}
	return corev1.PodSpec{
		TerminationGracePeriodSeconds: ptr.To[int64](30),
		Containers: []corev1.Container{{
			Name:    "consul",
			Image:   image(version),
			Command: []string{"consul"},
			Args: []string{
				"agent", "-server", "-data-dir=/consul/data", "-node=$(POD_NAME)", "-bind=$(POD_IP)", "-client=$(POD_IP)",
				"-retry-join=" + joinService, "-retry-interval=1s", fmt.Sprintf("-bootstrap-expect=%d", replicas),
				"-hcl=disable_update_check=true", fmt.Sprintf("-hcl=leave_on_terminate=%t", leave),
			},
			Env:          []corev1.EnvVar{field("POD_NAME", "metadata.name"), field("POD_IP", "status.podIP")},
			Ports:        []corev1.ContainerPort{{Name: "http", ContainerPort: 8500}},
			VolumeMounts: []corev1.VolumeMount{{Name: "data", MountPath: "/consul/data"}},
			// As the official chart's, which asks for a leader every 3 s: this question has no answer without one.
			ReadinessProbe: &corev1.Probe{
				ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{
					Path: "/v1/operator/raft/configuration", Port: intstr.FromInt32(8500),
				}},
				InitialDelaySeconds: 5, PeriodSeconds: 3, FailureThreshold: 2, TimeoutSeconds: 5,
			},
		}},
	}
}
