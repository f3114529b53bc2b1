package resources

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

const (
	volumeSettings = "settings"
	pathSettings   = "/consul/settings"
	keySettings    = "settings.json"

	keyNodeMeta = "node_meta"
	// NoSettings is the file that servers read if spec.config has nothing that can be read again.
	NoSettings = "{}"
)

// Reloadable are the keys of spec.config that a server reads again while it runs, each with its parents before it. All others
// are a part of the revision, so a key that is added here changes the revision of each spec that has it (I6). Each was seen to
// take effect: TestWhatConsulReloads. None is secret: they are in an annotation of the pod.
var Reloadable = []string{
	"discard_check_output",
	"enable_debug",
	"limits.http_max_conns_per_client",
	"limits.request_limits",
	"log_level",
	keyNodeMeta,
	"raft_snapshot_interval",
	"raft_snapshot_threshold",
	"telemetry.prefix_filter",
}

// Settings returns what servers read again while they run, as a file, and its hash. The hash is in the file as well, as metadata
// of the node, where the agent shows what it has read. It is empty if there are no settings.
func Settings(c *v1alpha1.ConsulCluster) (file, hash string, err error) {
	parts, err := divide(c)
	if err != nil || len(parts.settings) == 0 {
		return NoSettings, "", err
	}
	meta, isObject := single(parts.settings[keyNodeMeta]).(map[string]any)
	if parts.settings[keyNodeMeta] != nil && !isObject {
		return NoSettings, "", fmt.Errorf("spec.config.%s: it must be an object", keyNodeMeta)
	}
	if _, taken := meta[v1alpha1.NodeMetaSettings]; taken {
		return NoSettings, "", fmt.Errorf("spec.config.%s.%s: it belongs to the operator: choose another key",
			keyNodeMeta, v1alpha1.NodeMetaSettings)
	}
	text, err := json.Marshal(parts.settings)
	if err != nil {
		return NoSettings, "", fmt.Errorf("spec.config: %w", err)
	}
	sum := sha256.Sum256(text)
	hash = hex.EncodeToString(sum[:])[:10]
	marked := maps.Clone(meta)
	if marked == nil {
		marked = map[string]any{}
	}
	marked[v1alpha1.NodeMetaSettings] = hash
	parts.settings[keyNodeMeta] = marked
	text, err = json.Marshal(parts.settings)
	return string(text), hash, err
}

// configParts is spec.config by the way in which it reaches Consul; autopilot's settings, which go to the API, are left out.
type configParts struct {
	// file is read when a server starts, and a part of its revision. settings are read again while it runs.
	file, settings map[string]any
}

// divide returns the parts of spec.config.
func divide(c *v1alpha1.ConsulCluster) (configParts, error) {
	values, err := c.Spec.Config.Values()
	if err != nil {
		return configParts{}, fmt.Errorf("spec.%w", err)
	}
	delete(values, spelling(values, keyAutopilot))
	parts := configParts{file: values, settings: map[string]any{}}
	for _, key := range Reloadable {
		if value, found := take(values, strings.Split(key, ".")); found {
			put(parts.settings, strings.Split(key, "."), value)
		}
	}
	return parts, nil
}

// take removes a key, and the objects around it that are empty then.
func take(object map[string]any, path []string) (value any, found bool) {
	name := spelling(object, path[0])
	if len(path) == 1 {
		value = object[name]
		if value != nil { // null is not set
			delete(object, name)
		}
		return value, value != nil
	}
	inner, isObject := single(object[name]).(map[string]any)
	if !isObject {
		return nil, false
	}
	value, found = take(inner, path[1:])
	if found && len(inner) == 0 {
		delete(object, name)
	}
	return value, found
}

// put adds a key, and the objects around it that are missing.
func put(object map[string]any, path []string, value any) {
	for _, name := range path[:len(path)-1] {
		inner, isObject := object[name].(map[string]any)
		if !isObject {
			inner = map[string]any{}
			object[name] = inner
		}
		object = inner
	}
	object[path[len(path)-1]] = value
}

// GiveSettings gives a pod what its server reads again while it runs. The kubelet writes what an annotation says into the pod's
// file as soon as it changes.
func GiveSettings(pod *corev1.Pod, file string) {
	if pod.Annotations == nil {
		pod.Annotations = map[string]string{}
	}
	pod.Annotations[v1alpha1.AnnotationSettings] = file
}

// mountSettings makes the server of a pod read what an annotation says.
func mountSettings(pod *corev1.Pod, consul *corev1.Container) {
	pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: volumeSettings, VolumeSource: corev1.VolumeSource{
		DownwardAPI: &corev1.DownwardAPIVolumeSource{Items: []corev1.DownwardAPIVolumeFile{{
			Path:     keySettings,
			FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.annotations['" + v1alpha1.AnnotationSettings + "']"},
		}}},
	}})
	consul.VolumeMounts = append(consul.VolumeMounts, corev1.VolumeMount{
		Name: volumeSettings, MountPath: pathSettings, ReadOnly: true,
	})
	consul.Args = append(consul.Args, "-config-file="+pathSettings+"/"+keySettings)
}

// SettingsOf returns the hash of the settings that a pod was given, and whether its server can read others while it runs: a pod
// of an older operator cannot be given any.
func SettingsOf(pod *corev1.Pod) (hash string, reloads bool) {
	reloads = slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == volumeSettings })
	if !reloads {
		return "", false
	}
	var file struct {
		NodeMeta map[string]any `json:"node_meta"`
	}
	if err := json.Unmarshal([]byte(pod.Annotations[v1alpha1.AnnotationSettings]), &file); err != nil {
		return "damaged", true
	}
	hash, _ = file.NodeMeta[v1alpha1.NodeMetaSettings].(string)
	return hash, true
}
