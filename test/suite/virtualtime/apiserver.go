package virtualtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/apimachinery/pkg/util/validation/field"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// namespace of everything.
const namespace = "default"

// finalizer stands for what keeps a deleted object alive for a while: the grace period of a pod, and pvc-protection.
const finalizer = "sim/in-use"

var (
	scheme  = newScheme()
	decoder = serializer.NewCodecFactory(scheme).UniversalDecoder()
)

func newScheme() *runtime.Scheme {
	s := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(s))
	utilruntime.Must(v1alpha1.AddToScheme(s))
	return s
}

// objectKey names an object; all are in one namespace.
type objectKey struct{ kind, name string }

func (k objectKey) String() string { return k.kind + " " + k.name }

func keyOf(o client.Object) objectKey { return objectKey{kindOf(o), o.GetName()} }

// kindOf an object, or of the objects in a list.
func kindOf(o runtime.Object) string {
	return strings.TrimSuffix(reflect.TypeOf(o).Elem().Name(), "List")
}

// version is what an object became at some time; nil when it was deleted.
type version struct {
	at     time.Time
	key    objectKey
	object client.Object
}

// apiServer keeps objects. It is not safe for concurrent use: the world's lock is its lock.
type apiServer struct {
	fake    client.WithWatch
	tracker testing.ObjectTracker
	live    map[objectKey]client.Object
	// history of each kind, from the first version on.
	history map[string][]version
	tally   tally
	uids    int
}

func newAPIServer(objects []client.Object) *apiServer {
	s := &apiServer{live: map[objectKey]client.Object{}, history: map[string][]version{}}
	// Without managed fields, which nobody here looks at and which cost more than all the rest.
	s.tracker = testing.NewObjectTracker(scheme, decoder)
	builder := fake.NewClientBuilder().WithScheme(scheme).WithGlobalResourceVersionCounter().
		WithObjectTracker(s.tracker).
		WithStatusSubresource(&v1alpha1.ConsulCluster{})
	for _, o := range objects {
		o = o.DeepCopyObject().(client.Object)
		o.SetResourceVersion("")
		builder.WithObjects(o)
	}
	s.fake = builder.Build()
	for _, o := range objects {
		s.refresh(o, time.Time{})
	}
	s.tally = tally{}
	return s
}

// objects are all that there are, in a stable order.
func (s *apiServer) objects() []client.Object {
	keys := slices.SortedFunc(maps.Keys(s.live), func(a, b objectKey) int { return strings.Compare(a.String(), b.String()) })
	var all []client.Object
	for _, key := range keys {
		all = append(all, s.live[key])
	}
	return all
}

func (s *apiServer) note(key objectKey, o client.Object, at time.Time) {
	s.tally.count(key, s.live[key], o)
	if o == nil {
		delete(s.live, key)
	} else {
		s.live[key] = o
	}
	s.history[key.kind] = append(s.history[key.kind], version{at, key, o})
}

// written takes note of an object as the fake client has left it. An API server makes no version of a write that
// changes nothing; the fake does, so it is taken back.
func (s *apiServer) written(o client.Object) {
	now := o.DeepCopyObject().(client.Object)
	now.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
	old := s.live[keyOf(o)]
	if old == nil {
		s.note(keyOf(o), now, time.Now())
		return
	}
	version := now.GetResourceVersion()
	now.SetResourceVersion(old.GetResourceVersion())
	if equality.Semantic.DeepEqual(old, now) {
		o.SetResourceVersion(old.GetResourceVersion())
		must(s.tracker.Update(resourceOf(o), old.DeepCopyObject(), namespace))
		return
	}
	now.SetResourceVersion(version)
	s.note(keyOf(o), now, time.Now())
}

func resourceOf(o client.Object) schema.GroupVersionResource {
	kinds, _, err := scheme.ObjectKinds(o)
	must(err)
	resource, _ := meta.UnsafeGuessKindToResource(kinds[0])
	return resource
}

// refresh takes note of an object that the fake client has changed without telling how.
func (s *apiServer) refresh(o client.Object, at time.Time) {
	fresh, err := s.tracker.Get(resourceOf(o), namespace, o.GetName())
	if apierrors.IsNotFound(err) {
		s.note(keyOf(o), nil, at)
		return
	}
	must(err)
	fresh.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
	s.note(keyOf(o), fresh.(client.Object), at)
}

// must is for what fails only if the simulation itself is wrong.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

func (s *apiServer) create(ctx context.Context, o client.Object) error {
	s.uids++
	o.SetUID(types.UID(uuid.NewSHA1(uuid.NameSpaceOID, fmt.Appendf(nil, "object %d", s.uids)).String()))
	o.SetCreationTimestamp(metav1.NewTime(time.Now().Truncate(time.Second)))
	switch o.(type) {
	case *corev1.Pod, *corev1.PersistentVolumeClaim:
		o.SetFinalizers([]string{finalizer})
	}
	if err := s.fake.Create(ctx, o); err != nil {
		return err
	}
	s.written(o)
	return nil
}

func (s *apiServer) update(ctx context.Context, o client.Object) error {
	if err := s.fake.Update(ctx, o); err != nil {
		return err
	}
	s.written(o)
	return nil
}

func (s *apiServer) updateStatus(ctx context.Context, o client.Object) error {
	if err := s.fake.Status().Update(ctx, o); err != nil {
		return err
	}
	s.written(o)
	return nil
}

func (s *apiServer) patch(ctx context.Context, o client.Object, p client.Patch) error {
	return s.patchWith(o, p, func() error { return s.update(ctx, o) })
}

func (s *apiServer) patchStatus(ctx context.Context, o client.Object, p client.Patch) error {
	return s.patchWith(o, p, func() error { return s.updateStatus(ctx, o) })
}

// patchWith makes of o what the patch makes of the live object, and writes it if it differs. The fake client can patch,
// too, and takes ten times as long.
func (s *apiServer) patchWith(o client.Object, p client.Patch, write func() error) error {
	live := s.live[keyOf(o)]
	if live == nil {
		return apierrors.NewNotFound(schema.GroupResource{Resource: kindOf(o)}, o.GetName())
	}
	change, err := p.Data(o)
	if err != nil {
		return err
	}
	patched, err := applyPatch(live, p.Type(), change)
	if err != nil {
		return err
	}
	if patched.GetUID() != live.GetUID() { // the patch names another object that had this name
		return apierrors.NewInvalid(schema.GroupKind{Kind: kindOf(live)}, live.GetName(),
			field.ErrorList{field.Invalid(field.NewPath("metadata", "uid"), patched.GetUID(), "field is immutable")})
	}
	reflect.ValueOf(o).Elem().Set(reflect.ValueOf(patched).Elem())
	if equality.Semantic.DeepEqual(live, patched) {
		return nil
	}
	return write()
}

func applyPatch(live client.Object, kind types.PatchType, change []byte) (client.Object, error) {
	before, err := json.Marshal(live)
	if err != nil {
		return nil, err
	}
	after, empty := before, reflect.New(reflect.TypeOf(live).Elem()).Interface().(client.Object)
	switch kind {
	case types.MergePatchType:
		after, err = mergePatch(before, change)
	case types.StrategicMergePatchType:
		after, err = strategicpatch.StrategicMergePatch(before, change, empty)
	default:
		err = fmt.Errorf("no patch of type %s", kind)
	}
	if err != nil {
		return nil, err
	}
	return empty, json.Unmarshal(after, empty)
}

// mergePatch is RFC 7386.
func mergePatch(before, change []byte) ([]byte, error) {
	var base, over map[string]any
	if err := errors.Join(json.Unmarshal(before, &base), json.Unmarshal(change, &over)); err != nil {
		return nil, err
	}
	merge(base, over)
	return json.Marshal(base)
}

func merge(base, over map[string]any) {
	for key, value := range over {
		inner, isObject := value.(map[string]any)
		below, wasObject := base[key].(map[string]any)
		switch {
		case value == nil:
			delete(base, key)
		case isObject && wasObject:
			merge(below, inner)
		default:
			base[key] = value
		}
	}
}

// delete marks an object that has a finalizer; it goes when finish is called. The fake client does not look at the UID,
// and would mark an object a second time.
func (s *apiServer) delete(ctx context.Context, o client.Object, opts ...client.DeleteOption) error {
	var options client.DeleteOptions
	options.ApplyOptions(opts)
	live := s.live[keyOf(o)]
	if err := precondition(live, options.Preconditions); err != nil {
		return err
	}
	if live != nil && live.GetDeletionTimestamp() != nil {
		return nil
	}
	if err := s.fake.Delete(ctx, o, opts...); err != nil {
		return err
	}
	s.refresh(o, time.Now())
	return nil
}

func precondition(live client.Object, wanted *metav1.Preconditions) error {
	if live == nil || wanted == nil {
		return nil
	}
	sameUID := wanted.UID == nil || *wanted.UID == live.GetUID()
	sameVersion := wanted.ResourceVersion == nil || *wanted.ResourceVersion == live.GetResourceVersion()
	if sameUID && sameVersion {
		return nil
	}
	return apierrors.NewConflict(schema.GroupResource{Resource: kindOf(live)}, live.GetName(),
		errors.New("the precondition does not match the object in record"))
}

// finish removes an object for good, deleted before or not.
func (s *apiServer) finish(key objectKey) {
	live := s.live[key]
	if live == nil {
		return
	}
	ctx := context.Background()
	o := live.DeepCopyObject().(client.Object)
	if o.GetDeletionTimestamp() == nil {
		must(s.fake.Delete(ctx, o))
	}
	if len(o.GetFinalizers()) > 0 {
		must(s.fake.Get(ctx, client.ObjectKeyFromObject(o), o))
		o.SetFinalizers(nil)
		must(s.fake.Update(ctx, o))
	}
	s.note(key, nil, time.Now())
}

// garbage is what belongs to an owner that is gone.
func (s *apiServer) garbage() []client.Object {
	uids := map[types.UID]bool{}
	for _, o := range s.live {
		uids[o.GetUID()] = true
	}
	var all []client.Object
	for _, o := range s.objects() {
		owner := metav1.GetControllerOf(o)
		if owner != nil && !uids[owner.UID] && o.GetDeletionTimestamp() == nil {
			all = append(all, o)
		}
	}
	return all
}
