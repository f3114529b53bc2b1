package localcluster

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	storagelisters "k8s.io/client-go/listers/storage/v1"
	"k8s.io/client-go/tools/cache"
)

const (
	storageClassName       = "standard"
	parameterOnNode        = "onNode" // of a storage class: "true" if its volumes stay on the node where they were made
	provisionerName        = "consuloperator.io/local"
	defaultClassAnnotation = "storageclass.kubernetes.io/is-default-class"
	provisionedBy          = "pv.kubernetes.io/provisioned-by"
	// selectedNodeAnnotation is how the scheduler tells a provisioner that a claim's first consumer has a node.
	selectedNodeAnnotation = "volume.kubernetes.io/selected-node"
)

// provisioner makes a directory for each claim of the class `standard`, and removes it with its volume. Volumes are
// tied to no node, like disks on a network, unless another class of its asks for that.
type provisioner struct {
	claimLoop, volumeLoop *loop
	client                kubernetes.Interface
	dir                   string
	claims                corelisters.PersistentVolumeClaimLister
	volumes               corelisters.PersistentVolumeLister
	classes               storagelisters.StorageClassLister
}

// Provision provides the storage class and its volumes, in folders of dir, to a cluster whose nodes all see this folder.
// It returns when the context ends.
func Provision(ctx context.Context, client kubernetes.Interface, dir string, log logr.Logger) error {
	factory := informers.NewSharedInformerFactory(client, 0)
	p := newProvisioner(client, dir, log, factory)
	if err := p.createClass(ctx); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	var loops sync.WaitGroup
	loops.Go(func() { p.claimLoop.run(ctx) })
	loops.Go(func() { p.volumeLoop.run(ctx) })
	loops.Wait()
	return nil
}

func newProvisioner(
	client kubernetes.Interface, dir string, log logr.Logger, factory informers.SharedInformerFactory,
) *provisioner {
	p := &provisioner{
		client:  client,
		dir:     dir,
		claims:  factory.Core().V1().PersistentVolumeClaims().Lister(),
		volumes: factory.Core().V1().PersistentVolumes().Lister(),
		classes: factory.Storage().V1().StorageClasses().Lister(),
	}
	p.claimLoop = newLoop("provisioner", log, p.syncClaim)
	p.volumeLoop = newLoop("reclaimer", log, p.syncVolume)
	onChange(factory.Core().V1().PersistentVolumeClaims().Informer(), p.claimLoop.put)
	onChange(factory.Core().V1().PersistentVolumes().Informer(), p.volumeLoop.put)
	factory.Storage().V1().StorageClasses().Informer()
	return p
}

// createClass creates the default storage class. It waits for a claim's first consumer, as the classes of real
// clusters do, so that nothing here relies on volumes being made at once.
func (p *provisioner) createClass(ctx context.Context) error {
	mode, reclaim, expand := storagev1.VolumeBindingWaitForFirstConsumer, corev1.PersistentVolumeReclaimDelete, true
	_, err := p.client.StorageV1().StorageClasses().Create(ctx, &storagev1.StorageClass{
		ObjectMeta: metav1.ObjectMeta{
			Name: storageClassName, Annotations: map[string]string{defaultClassAnnotation: "true"},
		},
		Provisioner: provisionerName, VolumeBindingMode: &mode, ReclaimPolicy: &reclaim, AllowVolumeExpansion: &expand,
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("creating the storage class %s: %w", storageClassName, err)
	}
	return nil
}

func (p *provisioner) syncClaim(ctx context.Context, key string) error {
	namespace, name, _ := cache.SplitMetaNamespaceKey(key)
	claim, err := p.claims.PersistentVolumeClaims(namespace).Get(name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil || claim.DeletionTimestamp != nil || claim.Spec.StorageClassName == nil {
		return err
	}
	class, err := p.classes.Get(*claim.Spec.StorageClassName)
	if apierrors.IsNotFound(err) || (err == nil && class.Provisioner != provisionerName) {
		return nil
	}
	if err != nil {
		return err
	}
	if claim.Spec.VolumeName != "" {
		return p.expand(ctx, claim)
	}
	waits := class.VolumeBindingMode != nil && *class.VolumeBindingMode == storagev1.VolumeBindingWaitForFirstConsumer
	if waits && claim.Annotations[selectedNodeAnnotation] == "" {
		return nil
	}
	return p.provision(ctx, claim, class)
}

// provision creates the volume, already reserved for its claim; the volume controller binds the two.
func (p *provisioner) provision(ctx context.Context, claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass) error {
	name := "pvc-" + string(claim.UID)
	if _, err := p.volumes.Get(name); err == nil {
		return nil
	}
	path := filepath.Join(p.dir, name)
	if err := os.MkdirAll(p.dir, 0o700); err != nil { // nobody else gets to what is in it
		return err
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	// A kubelet gives a volume of the node's file system to no group; whatever the server runs as may write to it.
	if err := os.Chmod(path, 0o777); err != nil {
		return err
	}
	reclaim := corev1.PersistentVolumeReclaimDelete
	if class.ReclaimPolicy != nil {
		reclaim = *class.ReclaimPolicy
	}
	_, err := p.client.CoreV1().PersistentVolumes().Create(ctx, &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{provisionedBy: provisionerName}},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:                      claim.Spec.Resources.Requests,
			AccessModes:                   claim.Spec.AccessModes,
			VolumeMode:                    claim.Spec.VolumeMode,
			StorageClassName:              class.Name,
			PersistentVolumeReclaimPolicy: reclaim,
			ClaimRef: &corev1.ObjectReference{
				APIVersion: "v1", Kind: "PersistentVolumeClaim",
				Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID,
			},
			PersistentVolumeSource: corev1.PersistentVolumeSource{
				HostPath: &corev1.HostPathVolumeSource{Path: path},
			},
			NodeAffinity: nodeAffinity(class, claim),
		},
	}, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// nodeAffinity keeps a volume on the node of its claim's first consumer where the class wants it, as disks of nodes are.
func nodeAffinity(class *storagev1.StorageClass, claim *corev1.PersistentVolumeClaim) *corev1.VolumeNodeAffinity {
	if class.Parameters[parameterOnNode] != "true" {
		return nil
	}
	return &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
		MatchExpressions: []corev1.NodeSelectorRequirement{{
			Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{claim.Annotations[selectedNodeAnnotation]},
		}},
	}}}}
}

// expand grants what a bound claim asks for: directories have no size.
func (p *provisioner) expand(ctx context.Context, claim *corev1.PersistentVolumeClaim) error {
	want := claim.Spec.Resources.Requests[corev1.ResourceStorage]
	have := claim.Status.Capacity[corev1.ResourceStorage]
	if claim.Status.Phase != corev1.ClaimBound || want.Cmp(have) <= 0 {
		return nil
	}
	capacity := corev1.ResourceList{corev1.ResourceStorage: want}
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"capacity": capacity}})
	if err != nil {
		return err
	}
	if _, err = p.client.CoreV1().PersistentVolumes().Patch(ctx, claim.Spec.VolumeName,
		types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return err
	}
	if patch, err = json.Marshal(map[string]any{"status": map[string]any{"capacity": capacity}}); err != nil {
		return err
	}
	_, err = p.client.CoreV1().PersistentVolumeClaims(claim.Namespace).Patch(ctx, claim.Name,
		types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	return err
}

// syncVolume removes released volumes whose policy is Delete, the directory first: a volume that is gone has no data.
func (p *provisioner) syncVolume(ctx context.Context, name string) error {
	volume, err := p.volumes.Get(name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil || volume.Annotations[provisionedBy] != provisionerName || volume.Spec.HostPath == nil {
		return err
	}
	released := volume.Status.Phase == corev1.VolumeReleased &&
		volume.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimDelete
	if !released {
		return nil
	}
	if err := os.RemoveAll(filepath.Join(p.dir, name)); err != nil {
		return err
	}
	options := metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(volume.UID))}
	err = p.client.CoreV1().PersistentVolumes().Delete(ctx, name, options)
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// claimName is the claim a volume of a pod uses, if it uses one.
func claimName(pod *corev1.Pod, volume *corev1.Volume) string {
	switch {
	case volume.PersistentVolumeClaim != nil:
		return volume.PersistentVolumeClaim.ClaimName
	case volume.Ephemeral != nil:
		return pod.Name + "-" + volume.Name
	}
	return ""
}
