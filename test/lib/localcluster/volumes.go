package localcluster

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"
	"unicode/utf8"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const apiTimeout = 10 * time.Second

// mountVolumes makes the container's volumes, links them into its rootfs, and returns what stands for which path.
func (c *container) mountVolumes(pod *corev1.Pod) (rewriter, error) {
	mounts := slices.Clone(c.spec.VolumeMounts)
	slices.SortStableFunc(mounts, func(a, b corev1.VolumeMount) int { return cmp.Compare(len(a.MountPath), len(b.MountPath)) })
	roots := map[string]string{}
	var result []mount
	for i := range mounts {
		target, err := c.volumeRoot(pod, mounts[i].Name, roots)
		if err != nil {
			return nil, fmt.Errorf("MountVolume.SetUp failed for volume %q: %w", mounts[i].Name, err)
		}
		if target, err = c.subPath(pod, &mounts[i], target); err != nil {
			return nil, err
		}
		result = append(result, mount{path: filepath.Clean(mounts[i].MountPath), target: target})
	}
	if at := c.spec.TerminationMessagePath; at != "" {
		if err := os.WriteFile(c.terminationFile(), nil, 0o644); err != nil { //nolint:gosec // read by people
			return nil, err
		}
		result = append(result, mount{path: filepath.Clean(at), target: c.terminationFile()})
	}
	r := newRewriter(result)
	for _, m := range result {
		if err := link(m.target, filepath.Join(c.rootfs(), m.path)); err != nil {
			return nil, err
		}
	}
	c.files.Lock()
	defer c.files.Unlock()
	c.roots, c.paths = roots, r
	// Files come last: they may name every mount of the container.
	for _, name := range sortedKeys(roots) {
		if err := c.writeFiles(c.worker.newest(), name); err != nil {
			return nil, fmt.Errorf("MountVolume.SetUp failed for volume %q: %w", name, err)
		}
	}
	return r, nil
}

// refresh writes files again that show what the pod says of itself, or what a Secret holds, as a kubelet does when it sees
// another version of them.
func (c *container) refresh() error {
	c.files.Lock()
	defer c.files.Unlock()
	pod := c.worker.newest()
	for _, name := range sortedKeys(c.roots) {
		if volume := volumeNamed(pod, name); volume == nil || volume.DownwardAPI == nil && len(secretsOf(volume)) == 0 {
			continue
		}
		if err := c.writeFiles(pod, name); err != nil {
			return err
		}
	}
	return nil
}

// secretsOf are the Secrets that a volume shows.
func secretsOf(v *corev1.Volume) (names []string) {
	if v.Secret != nil {
		names = append(names, v.Secret.SecretName)
	}
	if v.Projected != nil {
		for _, source := range v.Projected.Sources {
			if source.Secret != nil {
				names = append(names, source.Secret.Name)
			}
		}
	}
	return names
}

func volumeNamed(pod *corev1.Pod, name string) *corev1.Volume {
	for i := range pod.Spec.Volumes {
		if pod.Spec.Volumes[i].Name == name {
			return &pod.Spec.Volumes[i]
		}
	}
	return nil
}

// subPath is a directory of the volume that is made when missing, or a file of it.
func (c *container) subPath(pod *corev1.Pod, m *corev1.VolumeMount, root string) (string, error) {
	sub := m.SubPath
	if m.SubPathExpr != "" {
		variables, err := c.environment(pod)
		if err != nil {
			return "", &configError{err}
		}
		sub = expand(m.SubPathExpr, variables.values)
	}
	if sub == "" {
		return root, nil
	}
	if !filepath.IsLocal(sub) {
		return "", &configError{fmt.Errorf("subPath %q leaves its volume", sub)}
	}
	target := filepath.Join(root, sub)
	if volume := volumeNamed(pod, m.Name); hasFiles(volume) {
		return target, nil
	}
	return target, os.MkdirAll(target, 0o755) //nolint:gosec // a volume's directory
}

func hasFiles(v *corev1.Volume) bool {
	return v.ConfigMap != nil || v.Secret != nil || v.DownwardAPI != nil || v.Projected != nil
}

// link makes path a symbolic link to target.
func link(target, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // a rootfs
		return err
	}
	if err := os.RemoveAll(path); err != nil { // of the run before
		return err
	}
	return os.Symlink(target, path)
}

// volumeRoot returns the directory of a volume. Volumes with files are the container's own, because their content
// depends on where the container mounts what; others are shared.
func (c *container) volumeRoot(pod *corev1.Pod, name string, roots map[string]string) (string, error) {
	if root, ok := roots[name]; ok {
		return root, nil
	}
	volume := volumeNamed(pod, name)
	root := ""
	switch {
	case volume == nil:
		return "", fmt.Errorf("the pod has no such volume")
	case hasFiles(volume):
		root = filepath.Join(c.home(), "volumes", name)
	case volume.EmptyDir != nil:
		root = filepath.Join(c.worker.dir, "volumes", name)
	case volume.HostPath != nil:
		roots[name] = volume.HostPath.Path
		return volume.HostPath.Path, nil
	case claimName(pod, volume) != "":
		path, err := c.worker.kubelet.claimPath(pod.Namespace, claimName(pod, volume))
		roots[name] = path
		return path, err
	default:
		return "", fmt.Errorf("the local cluster does not know this kind of volume")
	}
	roots[name] = root
	return root, os.MkdirAll(root, 0o755) //nolint:gosec // a volume's directory
}

// claimPath is the directory of a bound claim.
func (k *kubelet) claimPath(namespace, name string) (string, error) {
	claim, err := k.claims.PersistentVolumeClaims(namespace).Get(name)
	if err != nil {
		return "", err
	}
	if claim.Spec.VolumeName == "" {
		return "", fmt.Errorf("persistentvolumeclaim %q is not bound", name)
	}
	volume, err := k.volumes.Get(claim.Spec.VolumeName)
	if err != nil {
		return "", err
	}
	switch {
	case volume.Spec.HostPath != nil:
		return volume.Spec.HostPath.Path, nil
	case volume.Spec.Local != nil:
		return volume.Spec.Local.Path, nil
	}
	return "", fmt.Errorf("persistentvolume %q has neither hostPath nor local", volume.Name)
}

// file is one file of a volume before it is written.
type file struct {
	data []byte
	mode *int32
}

// writeFiles fills a volume that consists of files, with the paths in them rewritten.
func (c *container) writeFiles(pod *corev1.Pod, name string) error {
	volume, root := volumeNamed(pod, name), c.roots[name]
	if volume == nil || !hasFiles(volume) {
		return nil
	}
	files, mode, err := c.filesOf(pod, volume)
	if err != nil {
		return err
	}
	for _, name := range sortedKeys(files) {
		f := files[name]
		if !filepath.IsLocal(name) {
			return fmt.Errorf("path %q leaves the volume", name)
		}
		path, perm := filepath.Join(root, name), cmp.Or(f.mode, mode)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // a volume's directory
			return err
		}
		data := f.data
		if utf8.Valid(data) {
			data = localhost.ReplaceAll([]byte(c.paths.apply(string(data))), []byte(c.loopback()))
		}
		filePerm := os.FileMode(0o644)
		if perm != nil {
			filePerm = os.FileMode(*perm) //nolint:gosec // validated by the API server
		}
		if err := replaceFile(path, data, filePerm); err != nil {
			return err
		}
	}
	return nil
}

// replaceFile writes a file that is there as a whole, or as it was.
func replaceFile(path string, data []byte, perm os.FileMode) error {
	half := path + ".new"
	_ = os.Remove(half) // may be read-only
	if err := os.WriteFile(half, data, perm); err != nil {
		return err
	}
	return os.Rename(half, path)
}

func (c *container) filesOf(pod *corev1.Pod, v *corev1.Volume) (map[string]file, *int32, error) {
	switch {
	case v.ConfigMap != nil:
		data, err := c.configMap(pod.Namespace, v.ConfigMap.Name, v.ConfigMap.Optional)
		files, err := pick(data, v.ConfigMap.Items, v.ConfigMap.Optional, err)
		return files, v.ConfigMap.DefaultMode, err
	case v.Secret != nil:
		data, err := c.secret(pod.Namespace, v.Secret.SecretName, v.Secret.Optional)
		files, err := pick(data, v.Secret.Items, v.Secret.Optional, err)
		return files, v.Secret.DefaultMode, err
	case v.DownwardAPI != nil:
		files, err := c.downwardFiles(pod, v.DownwardAPI.Items)
		return files, v.DownwardAPI.DefaultMode, err
	}
	all := map[string]file{}
	for i := range v.Projected.Sources {
		files, err := c.projected(pod, &v.Projected.Sources[i])
		if err != nil {
			return nil, nil, err
		}
		maps.Copy(all, files)
	}
	return all, v.Projected.DefaultMode, nil
}

func (c *container) projected(pod *corev1.Pod, source *corev1.VolumeProjection) (map[string]file, error) {
	switch {
	case source.ConfigMap != nil:
		data, err := c.configMap(pod.Namespace, source.ConfigMap.Name, source.ConfigMap.Optional)
		return pick(data, source.ConfigMap.Items, source.ConfigMap.Optional, err)
	case source.Secret != nil:
		data, err := c.secret(pod.Namespace, source.Secret.Name, source.Secret.Optional)
		return pick(data, source.Secret.Items, source.Secret.Optional, err)
	case source.DownwardAPI != nil:
		return c.downwardFiles(pod, source.DownwardAPI.Items)
	case source.ServiceAccountToken != nil:
		return c.tokenFile(pod, source.ServiceAccountToken)
	}
	return nil, fmt.Errorf("the local cluster does not know this projection")
}

// pick chooses the items, or everything when there are none.
func pick(data map[string][]byte, items []corev1.KeyToPath, optional *bool, err error) (map[string]file, error) {
	if err != nil {
		return nil, err
	}
	files := map[string]file{}
	if len(items) == 0 {
		for key, value := range data {
			files[key] = file{data: value}
		}
		return files, nil
	}
	for _, item := range items {
		value, ok := data[item.Key]
		if !ok {
			if optional != nil && *optional {
				continue
			}
			return nil, fmt.Errorf("references non-existent key: %s", item.Key)
		}
		files[item.Path] = file{data: value, mode: item.Mode}
	}
	return files, nil
}

func (c *container) downwardFiles(pod *corev1.Pod, items []corev1.DownwardAPIVolumeFile) (map[string]file, error) {
	files := map[string]file{}
	for _, item := range items {
		var value string
		var err error
		switch {
		case item.FieldRef != nil:
			value, err = c.worker.fieldValue(pod, item.FieldRef.FieldPath)
		case item.ResourceFieldRef != nil:
			value, err = c.worker.resourceValue(pod, c.spec.Name, item.ResourceFieldRef)
		}
		if err != nil {
			return nil, err
		}
		files[item.Path] = file{data: []byte(value), mode: item.Mode}
	}
	return files, nil
}

// tokenFile asks for a token bound to the pod. It is not renewed: local clusters do not live that long.
func (c *container) tokenFile(pod *corev1.Pod, source *corev1.ServiceAccountTokenProjection) (map[string]file, error) {
	ctx, cancel := context.WithTimeout(c.ctx, apiTimeout)
	defer cancel()
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		ExpirationSeconds: source.ExpirationSeconds,
		BoundObjectRef: &authenticationv1.BoundObjectReference{
			APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID,
		},
	}}
	if source.Audience != "" {
		request.Spec.Audiences = []string{source.Audience}
	}
	token, err := c.worker.kubelet.client.CoreV1().ServiceAccounts(pod.Namespace).
		CreateToken(ctx, pod.Spec.ServiceAccountName, request, metav1.CreateOptions{})
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("service account %q not found", pod.Spec.ServiceAccountName)
	}
	if err != nil {
		return nil, err
	}
	return map[string]file{source.Path: {data: []byte(token.Status.Token)}}, nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
