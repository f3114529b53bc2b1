package virtualtime

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/consul-operator/consul-operator/controllers"
	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/internal/execute"
	"github.com/consul-operator/consul-operator/internal/observe"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// How long calls take.
const (
	liveReadTakes = 2 * time.Millisecond
	writeTakes    = 5 * time.Millisecond
	askTakes      = time.Millisecond
)

// self is known, so new clusters have a NetworkPolicy.
var self = resources.Self{Namespace: "operators", Labels: map[string]string{"app": "consul-operator"}}

// errKilled is what a dead operator gets for each call.
var errKilled = errors.New("this operator was killed")

// call is one call of the operator, to the API server or to Consul.
type call struct {
	verb, kind, name string
	takes            time.Duration
	// effect is set for calls that change something.
	effect bool
}

func (c call) String() string { return c.verb + " " + c.kind + " " + c.name }

// sort of call: the same with any object of the kind.
func (c call) sort() string { return c.verb + " " + c.kind }

// operator is one process of the operator. It dies for good.
type operator struct {
	run        *run
	ctx        context.Context // its life
	cancel     context.CancelFunc
	dead       bool
	cache      *cache
	watcher    *consul.Watcher
	reconciler *controllers.ConsulClusterReconciler
}

func newOperator(r *run, former *cache) *operator {
	o := &operator{run: r, cache: newCache(r.world.api, r.lag, former)}
	o.ctx, o.cancel = context.WithCancel(context.Background())
	o.watcher = consul.NewWatcher(o.dialToWatch, func(types.NamespacedName) { r.wake() }, logr.Discard())
	cached, live := reader{o, false}, reader{o, true}
	writer := o.client(cached)
	o.reconciler = &controllers.ConsulClusterReconciler{
		Client: writer,
		Observer: &observe.Observer{
			Reader: writer, Live: live, SecretDelay: 2 * time.Minute, Nodes: true, Self: self, Dial: o.dial, Now: time.Now,
		},
		Executor: &execute.Executor{Client: writer, Live: live, Self: self, Dial: o.dial, Now: time.Now},
		Watcher:  o.watcher,
		Events:   recorder{r},
		Now:      time.Now,
	}
	return o
}

// reconcile is one pass of this process.
func (o *operator) reconcile() (ctrl.Result, error) {
	return o.reconciler.Reconcile(ctrl.LoggerInto(o.ctx, logr.Discard()), ctrl.Request{NamespacedName: o.run.cluster})
}

// call does one call, unless it is to go wrong. do may say how long the answer takes beyond what such a call takes.
func (o *operator) call(ctx context.Context, c call, do func() (time.Duration, error)) error {
	pause(ctx, c.takes)
	late, err := o.locked(c, do)
	pause(ctx, late)
	return err
}

func (o *operator) locked(c call, do func() (time.Duration, error)) (late time.Duration, err error) {
	w := o.run.world
	w.mu.Lock()
	defer w.mu.Unlock()
	if o.dead {
		return 0, errKilled
	}
	w.advance(time.Now())
	o.run.catchUp(o.cache)
	if c.effect {
		o.run.effects = append(o.run.effects, c)
		w.trace.add("%3d   %s", o.run.before+len(o.run.effects), c)
	}
	verdict := o.run.interfere(c, o.run.before+len(o.run.effects))
	if !verdict.skip {
		late, err = do()
	}
	if verdict.err != nil {
		late, err = verdict.late, verdict.err
		w.trace.add("!     %s: %s (applied: %t)", c, err, !verdict.skip)
	} else if err != nil && c.effect {
		w.trace.add("      refused: %s", err)
	}
	if verdict.kill {
		w.trace.add("!     the operator is killed (%s, applied: %t)", c, !verdict.skip)
		o.dead = true
		o.cancel()
		return 0, errKilled
	}
	return late, err
}

// pause lets virtual time pass.
func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// client is the API server as the operator's process sees it: reads come from the cache.
func (o *operator) client(cached reader) client.Client {
	api := o.run.world.api
	return interceptor.NewClient(api.fake, interceptor.Funcs{
		Get: func(ctx context.Context, _ client.WithWatch, key client.ObjectKey, obj client.Object, _ ...client.GetOption) error {
			return cached.Get(ctx, key, obj)
		},
		List: func(ctx context.Context, _ client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			return cached.List(ctx, list, opts...)
		},
		Create: func(ctx context.Context, _ client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
			if options := (&client.CreateOptions{}).ApplyOptions(opts); len(options.DryRun) > 0 {
				return o.tryOut(ctx, obj)
			}
			return o.write(ctx, "create", obj, func() error { return api.create(context.Background(), obj) })
		},
		Update: func(ctx context.Context, _ client.WithWatch, obj client.Object, _ ...client.UpdateOption) error {
			return o.write(ctx, "update", obj, func() error { return api.update(context.Background(), obj) })
		},
		Delete: func(ctx context.Context, _ client.WithWatch, obj client.Object, opts ...client.DeleteOption) error {
			return o.write(ctx, "delete", obj, func() error { return api.delete(context.Background(), obj, opts...) })
		},
		Patch: func(
			ctx context.Context, _ client.WithWatch, obj client.Object, p client.Patch, _ ...client.PatchOption,
		) error {
			return o.write(ctx, "patch", obj, func() error { return api.patch(context.Background(), obj, p) })
		},
		SubResourcePatch: func(
			ctx context.Context, _ client.Client, _ string, obj client.Object, p client.Patch,
			_ ...client.SubResourcePatchOption,
		) error {
			return o.write(ctx, "patch status of", obj, func() error { return api.patchStatus(context.Background(), obj, p) })
		},
	})
}

// tryOut creates an object on trial: it meets with the refusals of a creation, and has no effect.
func (o *operator) tryOut(ctx context.Context, obj client.Object) error {
	key := keyOf(obj)
	return o.call(ctx, call{verb: "try out", kind: key.kind, name: key.name, takes: writeTakes}, func() (time.Duration, error) {
		return 0, nil
	})
}

// write does a write to the API server, judges it, and lets it take effect.
func (o *operator) write(ctx context.Context, verb string, obj client.Object, do func() error) error {
	w, key := o.run.world, keyOf(obj)
	c := call{verb: verb, kind: key.kind, name: key.name, takes: writeTakes, effect: true}
	return o.call(ctx, c, func() (time.Duration, error) {
		before := w.api.live[key]
		if err := do(); err != nil {
			return 0, err
		}
		if after := w.api.live[key]; after != nil {
			o.run.judgeWrite(before, after)
			w.wrote(before, after)
			o.run.catchUp(o.cache)
		}
		return 0, nil
	})
}

// reader reads from the cache, or past it.
type reader struct {
	o    *operator
	live bool
}

func (r reader) call(ctx context.Context, verb, kind, name string, read func(map[objectKey]client.Object) error) error {
	c := call{verb: verb, kind: kind, name: name}
	objects := r.o.cache.seen
	if r.live {
		c.verb, c.takes = "live "+verb, liveReadTakes
		objects = r.o.run.world.api.live
	}
	return r.o.call(ctx, c, func() (time.Duration, error) { return 0, read(objects) })
}

// Get is client.Reader's.
func (r reader) Get(ctx context.Context, key client.ObjectKey, obj client.Object, _ ...client.GetOption) error {
	kind := kindOf(obj)
	return r.call(ctx, "get", kind, key.Name, func(objects map[objectKey]client.Object) error {
		found := objects[objectKey{kind, key.Name}]
		if found == nil {
			return apierrors.NewNotFound(schema.GroupResource{Resource: kind}, key.Name)
		}
		reflect.ValueOf(obj).Elem().Set(reflect.ValueOf(found.DeepCopyObject()).Elem())
		return nil
	})
}

// List is client.Reader's.
func (r reader) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	var options client.ListOptions
	options.ApplyOptions(opts)
	kind := kindOf(list)
	return r.call(ctx, "list", kind, "", func(objects map[objectKey]client.Object) error {
		var found []runtime.Object
		for _, o := range sorted(objects, kind) {
			if options.LabelSelector == nil || options.LabelSelector.Matches(labels.Set(o.GetLabels())) {
				found = append(found, o.DeepCopyObject())
			}
		}
		return meta.SetList(list, found)
	})
}

// recorder keeps events in the trace.
type recorder struct{ run *run }

// Eventf is events.EventRecorder's.
func (e recorder) Eventf(_, _ runtime.Object, _, reason, _, note string, args ...any) {
	e.run.world.mu.Lock()
	defer e.run.world.mu.Unlock()
	e.run.world.trace.add("event %s: %s", reason, fmt.Sprintf(note, args...))
}
