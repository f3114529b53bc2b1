package localcluster

import (
	"context"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// variables is an environment in the order it was declared.
type variables struct {
	names  []string
	values map[string]string
}

func (v *variables) set(name, value string) {
	if _, ok := v.values[name]; !ok {
		v.names = append(v.names, name)
	}
	v.values[name] = value
}

// environment resolves envFrom and env.
func (c *container) environment(pod *corev1.Pod) (*variables, error) {
	result := &variables{values: map[string]string{}}
	for _, source := range c.spec.EnvFrom {
		data, err := c.envFrom(pod, source)
		if err != nil {
			return nil, err
		}
		for _, key := range sortedKeys(data) {
			result.set(source.Prefix+key, string(data[key]))
		}
	}
	for _, env := range c.spec.Env {
		if env.ValueFrom == nil {
			result.set(env.Name, expand(env.Value, result.values))
			continue
		}
		value, ok, err := c.valueFrom(pod, env.ValueFrom)
		if err != nil {
			return nil, err
		}
		if ok {
			result.set(env.Name, value)
		}
	}
	return result, nil
}

func (c *container) envFrom(pod *corev1.Pod, source corev1.EnvFromSource) (map[string][]byte, error) {
	switch {
	case source.ConfigMapRef != nil:
		return c.configMap(pod.Namespace, source.ConfigMapRef.Name, source.ConfigMapRef.Optional)
	case source.SecretRef != nil:
		return c.secret(pod.Namespace, source.SecretRef.Name, source.SecretRef.Optional)
	}
	return nil, nil
}

// valueFrom is false when an optional source is missing.
func (c *container) valueFrom(pod *corev1.Pod, source *corev1.EnvVarSource) (string, bool, error) {
	switch {
	case source.FieldRef != nil:
		value, err := c.worker.fieldValue(pod, source.FieldRef.FieldPath)
		return value, true, err
	case source.ResourceFieldRef != nil:
		value, err := c.worker.resourceValue(pod, c.spec.Name, source.ResourceFieldRef)
		return value, true, err
	case source.ConfigMapKeyRef != nil:
		ref := source.ConfigMapKeyRef
		data, err := c.configMap(pod.Namespace, ref.Name, ref.Optional)
		return keyOf(data, ref.Key, "ConfigMap", ref.Name, ref.Optional, err)
	case source.SecretKeyRef != nil:
		ref := source.SecretKeyRef
		data, err := c.secret(pod.Namespace, ref.Name, ref.Optional)
		return keyOf(data, ref.Key, "Secret", ref.Name, ref.Optional, err)
	}
	return "", false, fmt.Errorf("the local cluster does not know this source of an environment variable")
}

func keyOf(data map[string][]byte, key, kind, name string, optional *bool, err error) (string, bool, error) {
	value, ok := data[key]
	switch {
	case err != nil:
		return "", false, err
	case ok:
		return string(value), true, nil
	case optional != nil && *optional:
		return "", false, nil
	}
	return "", false, fmt.Errorf("couldn't find key %s in %s %s", key, kind, name)
}

// configMap returns its data and binary data; nothing when it is optional and missing.
func (c *container) configMap(namespace, name string, optional *bool) (map[string][]byte, error) {
	ctx, cancel := context.WithTimeout(c.ctx, apiTimeout)
	defer cancel()
	configMap, err := c.worker.kubelet.client.CoreV1().ConfigMaps(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, unlessOptional(err, optional)
	}
	data := map[string][]byte{}
	for key, value := range configMap.Data {
		data[key] = []byte(value)
	}
	for key, value := range configMap.BinaryData {
		data[key] = value
	}
	return data, nil
}

func (c *container) secret(namespace, name string, optional *bool) (map[string][]byte, error) {
	ctx, cancel := context.WithTimeout(c.ctx, apiTimeout)
	defer cancel()
	secret, err := c.worker.kubelet.client.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, unlessOptional(err, optional)
	}
	return secret.Data, nil
}

func unlessOptional(err error, optional *bool) error {
	if apierrors.IsNotFound(err) && optional != nil && *optional {
		return nil
	}
	return err
}

var subscript = regexp.MustCompile(`^metadata\.(labels|annotations)\['(.+)'\]$`)

// fieldValue is the downward API.
func (w *podWorker) fieldValue(pod *corev1.Pod, path string) (string, error) {
	if m := subscript.FindStringSubmatch(path); m != nil {
		if m[1] == "labels" {
			return pod.Labels[m[2]], nil
		}
		return pod.Annotations[m[2]], nil
	}
	switch path {
	case "metadata.name":
		return pod.Name, nil
	case "metadata.namespace":
		return pod.Namespace, nil
	case "metadata.uid":
		return string(pod.UID), nil
	case "metadata.labels":
		return formatMap(pod.Labels), nil
	case "metadata.annotations":
		return formatMap(pod.Annotations), nil
	case "spec.nodeName":
		return pod.Spec.NodeName, nil
	case "spec.serviceAccountName":
		return pod.Spec.ServiceAccountName, nil
	case "status.hostIP":
		return w.node.addresses[0], nil
	case "status.hostIPs":
		return strings.Join(w.node.addresses, ","), nil
	case "status.podIP": // not from the object: it may not be written yet
		return w.addresses[0], nil
	case "status.podIPs":
		return strings.Join(w.addresses, ","), nil
	}
	return "", fmt.Errorf("unsupported fieldPath: %s", path)
}

func formatMap(m map[string]string) string {
	lines := make([]string, 0, len(m))
	for key, value := range m {
		lines = append(lines, fmt.Sprintf("%s=%q", key, value))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// resourceValue gives the limits and requests of a container; a missing limit is what the node has.
func (w *podWorker) resourceValue(pod *corev1.Pod, own string, ref *corev1.ResourceFieldSelector) (string, error) {
	name := ref.ContainerName
	if name == "" {
		name = own
	}
	c := w.container(name)
	kind, resourceName, _ := strings.Cut(ref.Resource, ".")
	if c == nil || (kind != "limits" && kind != "requests") {
		return "", fmt.Errorf("unsupported resource field %s of container %q in pod %s", ref.Resource, name, pod.Name)
	}
	quantity, ok := c.spec.Resources.Limits[corev1.ResourceName(resourceName)]
	if kind == "requests" {
		quantity = c.spec.Resources.Requests[corev1.ResourceName(resourceName)]
	} else if !ok {
		quantity = w.node.status().Allocatable[corev1.ResourceName(resourceName)]
	}
	divisor := ref.Divisor
	if divisor.IsZero() {
		divisor = resource.MustParse("1")
	}
	value := math.Ceil(quantity.AsApproximateFloat64() / divisor.AsApproximateFloat64())
	return strconv.FormatInt(int64(value), 10), nil
}

// expand replaces $(NAME) where the variable is known; $$ is a dollar.
func expand(text string, values map[string]string) string {
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		rest := text[i:]
		if strings.HasPrefix(rest, "$$") {
			out.WriteByte('$')
			i++
			continue
		}
		if name, _, ok := strings.Cut(strings.TrimPrefix(rest, "$("), ")"); ok && strings.HasPrefix(rest, "$(") {
			if value, known := values[name]; known {
				out.WriteString(value)
			} else {
				out.WriteString("$(" + name + ")")
			}
			i += len(name) + 2
			continue
		}
		out.WriteByte(text[i])
	}
	return out.String()
}
